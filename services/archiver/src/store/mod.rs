//! What the archiver needs of an object store, and how it looks again after an unclear answer.

pub mod probe;
pub mod s3;
pub mod tip;

#[cfg(test)]
pub mod memory;

use std::collections::HashMap;
use std::future::Future;

use bytes::Bytes;

use crate::object::{Malformed, ObjectMetadata, Source};

/// The outcome of a conditional PUT that the store has answered clearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Stored,
    /// There is an object of that name (412).
    Exists,
}

/// Anything else: no answer, a conflict with a PUT under way (409), a store that is overloaded, access denied. Whether
/// the object was stored is not known.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {key}: {reason}")]
pub struct Unclear {
    pub operation: &'static str,
    pub key: String,
    pub reason: String,
    /// The store said that it does not know the condition (400 or 501).
    pub unsupported: bool,
}

impl Unclear {
    fn new(operation: &'static str, key: &str, reason: impl Into<String>) -> Unclear {
        Unclear {
            operation,
            key: key.to_owned(),
            reason: reason.into(),
            unsupported: false,
        }
    }
}

/// A reason to leave a partition alone until a person has looked at it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Conflict {
    #[error(
        "object {key} was written for topic id {found:?} of cluster {cluster:?}, but the topic is now {now:?}: it was \
         recreated, or this is another cluster. Ways out: set topics.dir or s3.bucket.name to a new place, or move the \
         objects under the topic's directory away"
    )]
    OtherSource {
        key: String,
        found: String,
        cluster: String,
        now: String,
    },
    #[error(
        "object {key} was not written by this archiver ({reason}). Ways out: set topics.dir or s3.bucket.name to a place \
         of the archiver's own, or move that object away"
    )]
    Foreign { key: String, reason: String },
    #[error(
        "object {key} was written with another s3.compression.type. Ways out: go back to that compression, or set \
         topics.dir to a new place"
    )]
    OtherCompression { key: String },
    #[error("object {key} says that the next offset is {next}, which is not behind its own start")]
    Impossible { key: String, next: i64 },
}

/// Why a look-up ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unclear(#[from] Unclear),
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// An object store. Each call is one try: the callers know what may be tried again.
pub trait Objects: Send + Sync {
    fn put_if_absent(
        &self,
        key: &str,
        body: Bytes,
        metadata: &HashMap<String, String>,
    ) -> impl Future<Output = Result<Put, Unclear>> + Send;

    /// The metadata of an object, or `None` when there is none of that name.
    fn head(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<HashMap<String, String>>, Unclear>> + Send;

    /// One page of the keys with this prefix that sort behind `after`, in the order of text; an empty page is the end.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<String>, Unclear>> + Send;

    fn delete(&self, key: &str) -> impl Future<Output = Result<(), Unclear>> + Send;
}

/// Puts the object unless there is one of that name, and returns the metadata of the object that is there then: this one
/// or another owner's. After an unknown outcome the store is looked at again. A PUT that is still under way carries the
/// same condition as every later try, so it does no harm when it arrives.
pub async fn put_then_look<O: Objects>(
    objects: &O,
    key: &str,
    body: Bytes,
    metadata: HashMap<String, String>,
) -> Result<HashMap<String, String>, Unclear> {
    let outcome = objects.put_if_absent(key, body, &metadata).await;
    if matches!(outcome, Ok(Put::Stored)) {
        return Ok(metadata);
    }
    match (objects.head(key).await, outcome) {
        (Ok(Some(found)), _) => Ok(found),
        (Ok(None), Err(unclear)) | (Err(_), Err(unclear)) => Err(unclear),
        (Ok(None), Ok(_)) => Err(Unclear::new(
            "HEAD",
            key,
            "the object that was in the way is gone",
        )),
        (Err(unclear), Ok(_)) => Err(unclear),
    }
}

/// The next offset that an object's metadata says, checked against where the records come from.
pub fn next_offset(
    key: &str,
    start: i64,
    fields: &HashMap<String, String>,
    source: &Source,
) -> Result<i64, Conflict> {
    let metadata = ObjectMetadata::decode(fields).map_err(|malformed| foreign(key, &malformed))?;
    check_source(key, &metadata.source, source)?;
    if metadata.next <= start {
        return Err(Conflict::Impossible {
            key: key.to_owned(),
            next: metadata.next,
        });
    }
    Ok(metadata.next)
}

fn check_source(key: &str, found: &Source, now: &Source) -> Result<(), Conflict> {
    if found == now {
        return Ok(());
    }
    Err(Conflict::OtherSource {
        key: key.to_owned(),
        found: found.topic_id.clone(),
        cluster: found.cluster_id.clone(),
        now: format!("{} of cluster {}", now.topic_id, now.cluster_id),
    })
}

fn foreign(key: &str, malformed: &Malformed) -> Conflict {
    Conflict::Foreign {
        key: key.to_owned(),
        reason: malformed.to_string(),
    }
}
