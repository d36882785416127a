//! What a store seems to answer to a request: what it has answered, or, in a storm, that it is too busy.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::http::{request, response};
use hyper::{Request, Response, StatusCode};
use rand::{Rng, rng};
use tokio::sync::Mutex;

use super::bulk::Bulk;

/// Of a hundred requests in a storm, so many never reach the store.
const REFUSED: u32 = 50;
/// So many are carried out by it, and seem not to be.
const LOST: u32 = 15;
/// Of so many it gets a part, where they have parts; the others never reach it.
const PARTLY: u32 = 15;

/// Whose words are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Opensearch,
    S3,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Carried,
    Refused,
    Lost,
    Partly,
}

type Answer = Response<Full<Bytes>>;

/// Answers one request; `storm` says whose storm it is.
pub async fn answer(
    request: Request<Incoming>,
    store: &Mutex<SendRequest<Full<Bytes>>>,
    storm: Option<Store>,
    felt: &AtomicU64,
) -> Result<Answer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let Some(busy) = storm else {
        return carry(store, head, body).await;
    };
    let fate = fate(head.uri.path(), rng().random_range(0..100));
    if fate != Fate::Carried {
        felt.fetch_add(1, Ordering::Relaxed);
    }
    match fate {
        Fate::Carried => carry(store, head, body).await,
        Fate::Refused => busy.refusal(),
        Fate::Lost => {
            carry(store, head, body).await?;
            busy.lost()
        }
        Fate::Partly => partly(store, head, &body, busy).await,
    }
}

fn fate(path: &str, dice: u32) -> Fate {
    match dice {
        _ if dice < REFUSED => Fate::Refused,
        _ if dice < REFUSED + LOST => Fate::Lost,
        _ if dice >= REFUSED + LOST + PARTLY => Fate::Carried,
        _ if path.ends_with("/_bulk") => Fate::Partly,
        _ => Fate::Refused,
    }
}

/// The store's own answer.
async fn carry(
    store: &Mutex<SendRequest<Full<Bytes>>>,
    mut head: request::Parts,
    body: Bytes,
) -> Result<Answer> {
    // The body is whole by now, and has a length.
    head.headers.remove(TRANSFER_ENCODING);
    let request = Request::from_parts(head, Full::new(body));
    let answer = store.lock().await.send_request(request).await?;
    let (mut head, body): (response::Parts, Incoming) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(head, Full::new(body)))
}

/// The store's own answer about some documents, and refusals of the others.
async fn partly(
    store: &Mutex<SendRequest<Full<Bytes>>>,
    mut head: request::Parts,
    body: &Bytes,
    busy: Store,
) -> Result<Answer> {
    let bulk = Bulk::cut(body, || rng().random())?;
    if bulk.is_empty() {
        return busy.refusal();
    }
    head.headers.remove(CONTENT_LENGTH);
    let (mut head, answer) = carry(store, head, bulk.carried.clone()).await?.into_parts();
    let answer = answer.collect().await?.to_bytes();
    head.headers.remove(CONTENT_LENGTH);
    let whole = bulk.whole(&answer).unwrap_or(answer);
    Ok(Response::from_parts(head, Full::new(whole)))
}

impl Store {
    /// It has not been carried out.
    fn refusal(self) -> Result<Answer> {
        match self {
            Store::Opensearch => self.say(
                StatusCode::TOO_MANY_REQUESTS,
                r#"{"error":{"type":"rejected_execution_exception","reason":"a storm"},"status":429}"#,
            ),
            Store::S3 => self.say(
                StatusCode::SERVICE_UNAVAILABLE,
                "<Error><Code>SlowDown</Code><Message>a storm</Message></Error>",
            ),
        }
    }

    /// It has been carried out, and who asked cannot know.
    fn lost(self) -> Result<Answer> {
        match self {
            Store::Opensearch => self.say(
                StatusCode::GATEWAY_TIMEOUT,
                r#"{"error":"a storm","status":504}"#,
            ),
            Store::S3 => self.say(
                StatusCode::INTERNAL_SERVER_ERROR,
                "<Error><Code>InternalError</Code><Message>a storm</Message></Error>",
            ),
        }
    }

    fn say(self, status: StatusCode, text: &'static str) -> Result<Answer> {
        let kind = match self {
            Store::Opensearch => "application/json",
            Store::S3 => "application/xml",
        };
        Ok(Response::builder()
            .status(status)
            .header(CONTENT_TYPE, kind)
            .header(RETRY_AFTER, "1")
            .body(Full::from(text))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_occurs_and_only_bulk_requests_have_parts() {
        let fates = |path: &str| (0..100).map(|dice| fate(path, dice)).collect::<Vec<_>>();
        for fate in [Fate::Carried, Fate::Refused, Fate::Lost, Fate::Partly] {
            assert!(fates("/_bulk").contains(&fate), "{fate:?}");
        }
        assert!(!fates("/millrace/topics/web-logs").contains(&Fate::Partly));
    }
}
