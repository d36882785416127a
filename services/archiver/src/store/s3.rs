//! The S3 client. Every call is one request with a deadline; nothing is retried behind the caller's back, because a PUT
//! that is sent twice answers 412 to itself.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use telemetry::traces::{self, KeyValue, Span, SpanKind};

use super::{Objects, Put, Unclear};
use crate::connector::{Compression, Connector};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One request, body included: 64 MiB at 1 MiB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

pub struct S3 {
    client: Client,
    bucket: String,
    content_encoding: Option<&'static str>,
}

/// Where the bucket is: the file's word first, then the environment's.
#[derive(Debug, Clone)]
pub struct Location {
    pub bucket: String,
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
}

impl S3 {
    pub async fn connect(connector: &Connector, location: Location) -> S3 {
        let region = location.region.clone().map(Region::new);
        let fallback = Region::new(Connector::default_region());
        let mut shared = aws_config::defaults(aws_config::BehaviorVersion::latest()).region(
            aws_config::meta::region::RegionProviderChain::first_try(region)
                .or_default_provider()
                .or_else(fallback),
        );
        if let Some(keys) = &connector.credentials {
            let (id, secret) = (keys.access_key_id.clone(), keys.secret_access_key.clone());
            shared = shared.credentials_provider(Credentials::new(
                id,
                secret,
                None,
                None,
                "s3_conn_config.json",
            ));
        }
        let shared = shared.load().await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(REQUEST_TIMEOUT)
            .build();
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // Checksum trailers need aws-chunked bodies, which some stores keep as the object's Content-Encoding.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(url) = &location.endpoint_url {
            config = config
                .endpoint_url(url)
                .force_path_style(connector.path_style);
        }
        let content_encoding = match connector.compression {
            Compression::None => None,
            Compression::Gzip(_) => Some("gzip"),
        };
        S3 {
            client: Client::from_conf(config.build()),
            bucket: location.bucket,
            content_encoding,
        }
    }

    /// Creates the bucket unless it exists.
    pub async fn create_bucket(&self) -> Result<(), Unclear> {
        match self
            .client
            .create_bucket()
            .bucket(&self.bucket)
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.code(),
                    Some("BucketAlreadyOwnedByYou" | "BucketAlreadyExists")
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(unclear("create bucket", &self.bucket, &error)),
        }
    }
}

impl Objects for S3 {
    async fn put_if_absent(
        &self,
        key: &str,
        body: Bytes,
        metadata: &HashMap<String, String>,
    ) -> Result<Put, Unclear> {
        let content_type = if key.ends_with(".json") || key.ends_with(".gz") {
            "application/json"
        } else {
            "text/plain"
        };
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type(content_type)
            .set_content_encoding(
                self.content_encoding
                    .filter(|_| key.ends_with(".gz"))
                    .map(str::to_owned),
            )
            .set_metadata(Some(metadata.clone()))
            .body(ByteStream::from(body));
        let span = put_span(&self.bucket, key);
        let outcome = match span.around(request.send()).await {
            Ok(_) => Ok((200, Put::Stored)),
            Err(error) if status(&error) == Some(412) => Ok((412, Put::Exists)),
            Err(error) => Err(unclear("PUT", key, &error)),
        };
        match &outcome {
            Ok((status, _)) => span.set("http.response.status_code", *status),
            Err(unclear) => span.fail("_OTHER", || unclear.to_string()),
        }
        outcome.map(|(_, put)| put)
    }

    async fn head(&self, key: &str) -> Result<Option<HashMap<String, String>>, Unclear> {
        match self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
        {
            Ok(found) => Ok(Some(found.metadata.unwrap_or_default())),
            Err(error)
                if matches!(error.as_service_error(), Some(HeadObjectError::NotFound(_))) =>
            {
                Ok(None)
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(unclear("HEAD", key, &error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Unclear> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix);
        let page = request
            .set_start_after(after.map(str::to_owned))
            .send()
            .await;
        let page = page.map_err(|error| unclear("list", prefix, &error))?;
        Ok(page
            .contents
            .into_iter()
            .flatten()
            .filter_map(|object| object.key)
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Unclear> {
        let sent = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| unclear("DELETE", key, &error))
    }
}

/// One conditional PUT, by OpenTelemetry's conventions for AWS's APIs: a part of its batch's span.
fn put_span(bucket: &str, key: &str) -> Span {
    traces::child(
        SpanKind::Client,
        || "S3/PutObject".into(),
        || {
            vec![
                KeyValue::new("rpc.system", "aws-api"),
                KeyValue::new("rpc.service", "S3"),
                KeyValue::new("rpc.method", "PutObject"),
                KeyValue::new("http.request.method", "PUT"),
                KeyValue::new("aws.s3.bucket", bucket.to_owned()),
                KeyValue::new("aws.s3.key", key.to_owned()),
            ]
        },
    )
}

type Raw = aws_sdk_s3::config::http::HttpResponse;

fn status<E>(error: &SdkError<E, Raw>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

fn unclear<E>(operation: &'static str, key: &str, error: &SdkError<E, Raw>) -> Unclear
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let status = status(error);
    let unsupported = status == Some(501) || error.code() == Some("NotImplemented");
    let reason = match (status, error.code()) {
        (Some(status), code) => format!(
            "HTTP {status} {} {}",
            code.unwrap_or_default(),
            error.message().unwrap_or_default()
        )
        .trim_end()
        .to_owned(),
        (None, _) => DisplayErrorContext(error).to_string(),
    };
    Unclear {
        operation,
        key: key.to_owned(),
        reason,
        unsupported,
    }
}
