//! One HTTP call to OpenSearch, and what its failure means.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use opensearch::OpenSearch;
use opensearch::auth::Credentials;
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use opensearch::http::{Method, Url};
use pipeline::Error;
use serde_json::Value;

use crate::spans;

const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Client {
    client: OpenSearch,
    /// The address, without what is secret in it.
    server: String,
}

/// The status and body of an answer.
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Client {
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> anyhow::Result<Client> {
        let mut url = Url::parse(url).context("OPENSEARCH_URL cannot be read")?;
        // Without this the first request would fail, and be tried again for ever.
        if !["http", "https"].contains(&url.scheme()) {
            anyhow::bail!(
                "OPENSEARCH_URL begins with {}://, but http:// and https:// are spoken here",
                url.scheme()
            );
        }
        let credentials = (!url.username().is_empty()).then(|| {
            Credentials::Basic(
                url.username().to_owned(),
                url.password().unwrap_or_default().to_owned(),
            )
        });
        // In the header, not in the address: addresses end up in messages.
        if credentials.is_some()
            && (url.set_username("").is_err() || url.set_password(None).is_err())
        {
            anyhow::bail!("OPENSEARCH_URL cannot carry a user name");
        }
        let server = url.to_string();
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(TIMEOUT)
            .disable_proxy();
        if let Some(credentials) = credentials {
            builder = builder.auth(credentials);
        }
        if let Some(file) = ca_file {
            builder = builder.cert_validation(CertificateValidation::Full(certificates(file)?));
        }
        let transport = builder
            .build()
            .context("cannot build the OpenSearch client")?;
        Ok(Client {
            client: OpenSearch::new(transport),
            server,
        })
    }

    /// A call with a JSON body, or none.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        self.send(
            method,
            path,
            query,
            body.map(Value::to_string),
            "application/json",
        )
        .await
    }

    /// Stores `documents` with one request.
    pub(super) async fn bulk(&self, body: String, documents: usize) -> Result<Answer, Error> {
        let span = spans::bulk(&self.server, documents);
        let sending = self.send(
            Method::Post,
            "/_bulk",
            &[],
            Some(body),
            "application/x-ndjson",
        );
        let answer = span.around(sending).await;
        spans::ended(&span, &answer);
        if let Ok(answer) = &answer {
            span.set("http.response.status_code", i64::from(answer.status));
        }
        answer
    }

    /// An answer that says "busy" or "broken" is a failure to try again; any other is the caller's to judge.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<String>,
        content_type: &'static str,
    ) -> Result<Answer, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let sent = self
            .client
            .send(method, path, headers, Some(query), body, Some(TIMEOUT))
            .await;
        let response =
            sent.map_err(|error| Error::Retry(anyhow::Error::new(error).context("OpenSearch")))?;
        let status = response.status_code().as_u16();
        let text = response
            .text()
            .await
            .map_err(|error| Error::Retry(anyhow::Error::new(error).context("OpenSearch")))?;
        if status == 429 || status >= 500 || status == 401 || status == 403 {
            return Err(Error::Retry(anyhow!(
                "OpenSearch answers {status} to {path}: {}",
                shortened(&text)
            )));
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }
}

fn certificates(file: &Path) -> anyhow::Result<Certificate> {
    let what = || format!("OPENSEARCH_CA_FILE {}", file.display());
    let text = std::fs::read(file).with_context(what)?;
    Certificate::from_pem(&text).with_context(what)
}

impl Answer {
    /// An answer that should not have come: reported, and tried again, because a person may mend it.
    pub(super) fn unexpected(&self, what: &str) -> Error {
        Error::Retry(anyhow!(
            "OpenSearch answers {} to {what}: {}",
            self.status,
            shortened(&self.body.to_string())
        ))
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(500)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_work_is_refused_at_the_start() {
        for url in ["http://me:secret@localhost:9200", "https://localhost:9200"] {
            assert!(Client::new(url, None).is_ok(), "{url}");
        }
        for url in ["ftp://localhost:9200", "localhost:9200", "opensearch"] {
            assert!(Client::new(url, None).is_err(), "{url}");
        }
        let refused = Client::new("https://localhost:9200", Some(Path::new("/nowhere.pem")));
        let reason = refused.err().map(|error| format!("{error:#}"));
        assert!(reason.is_some_and(|reason| reason.contains("OPENSEARCH_CA_FILE /nowhere.pem")));
    }
}
