//! What verify asks of a sink's store, whichever it is.

use std::future::Future;
use std::pin::Pin;

use pipeline::Record;
use serde_json::Value;

use super::source::{Range, Topic};

/// What a record must have become, or what is stored: one JSON object whose fields are compared one by one.
pub type Fields = serde_json::Map<String, Value>;

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 'a>>;

/// What a store gives for a stretch of offsets.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Everything stored for these offsets, in any order; an offset may come several times.
    pub stored: Vec<(i64, Fields)>,
    /// What is wrong with the store as a whole.
    pub problems: Vec<String>,
}

/// Offsets that retention took before the sink could read them, as the sink recorded it: inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub partition: i32,
    pub first: i64,
    pub last: i64,
}

impl Gap {
    /// Of what a sink wrote down: from `from`, below `to`.
    pub fn between(partition: i32, from: i64, to: i64) -> Gap {
        Gap {
            partition,
            first: from,
            last: to - 1,
        }
    }
}

/// A problem when what a sink remembers of a partition is of another topic or cluster than the one that is verified.
pub fn check_identity(
    topic: &Topic,
    what: &str,
    cluster_id: &str,
    topic_id: &str,
) -> Option<String> {
    let now = &topic.identity;
    (cluster_id != now.cluster_id || topic_id != now.topic_id).then(|| {
        format!("{what} belongs to topic id {topic_id} of cluster {cluster_id}, not to this topic")
    })
}

/// What a store holds of a partition below the log start.
#[derive(Debug, Default)]
pub struct Below {
    /// Offsets that are stored more than once.
    pub doubled: Vec<i64>,
    /// What the sink recorded as lost to retention.
    pub gaps: Vec<Gap>,
}

/// One sink's store, read beside the log.
pub trait Store: Send {
    /// The sink's name, as its dead letters have it.
    fn name(&self) -> &'static str;

    /// Checks whether the store holds this topic's records or another's; gives what is wrong.
    fn begin<'a>(&'a mut self, topic: &'a Topic) -> Answer<'a, Vec<String>>;

    /// What this record must have become, or why it cannot become anything.
    fn expect(&self, topic: &Topic, partition: i32, record: &Record) -> Result<Fields, String>;

    /// Everything stored for the offsets from `from` to before `below`. Called with rising offsets; `again` asks for
    /// the last stretch once more, because the sink may have stored more of it.
    fn load<'a>(
        &'a mut self,
        topic: &'a Topic,
        partition: i32,
        from: i64,
        below: i64,
        again: bool,
    ) -> Answer<'a, Loaded>;

    /// The offset that the sink goes on at; none where it has stored nothing of the partition.
    fn position<'a>(&'a mut self, topic: &'a Topic, partition: i32) -> Answer<'a, Option<i64>>;

    /// What lies below the log start, of which the records are gone: only doubles can be looked for.
    fn below<'a>(&'a mut self, topic: &'a Topic, range: Range) -> Answer<'a, Below>;
}
