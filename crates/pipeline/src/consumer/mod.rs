//! The consumer loop: a group member that keeps its positions where its data is.
//!
//! - `router` owns the Kafka consumer. It never stops polling and never waits for a store: it routes records into the
//!   bounded buffer of their partition, pauses a partition whose buffer is full, and answers rebalances.
//! - `worker` is one task per assigned partition: it asks the sink for the position, checks it against the log, cuts
//!   batches, and writes them until they are stored.
//! - `budget` bounds the memory of all workers' batches together.
//! - `monitor` looks at the cluster from time to time: lag, and whether a topic is still the same one.
//!
//! An assigned partition starts paused. Its worker finds the position in its own time and then has the router seek there.
//! A revoked partition's worker finishes the write under way, for a bounded time; then the partition is given back.

mod batch;
mod budget;
mod context;
mod metrics;
mod monitor;
mod router;
mod shared;
mod worker;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use telemetry::traces::Tracer;
use telemetry::{Readiness, Registry};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use batch::{Batch, BatchLimits};
pub use metrics::Stages;

use self::router::End;
use crate::cluster::TopicIdentity;
use crate::{KafkaOptions, Record};

/// A consumer that is fenced sooner than so long after it took another's place has a rival.
const FENCED_AGAIN: Duration = Duration::from_secs(60);

/// A topic and the index of one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub topic: Arc<str>,
    pub index: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// The offsets that a consumer can read: `start` is the log start offset, `end` the one after the last stable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    pub start: i64,
    pub end: i64,
}

/// What a sink is asked to store: a partition of one certain topic of one certain cluster.
#[derive(Clone, Debug)]
pub struct Source {
    pub partition: Partition,
    pub identity: TopicIdentity,
    /// The log when the partition was opened.
    pub log: LogRange,
    /// Where the writer says how long each stage takes.
    pub stages: Stages,
}

/// Offsets that retention took before the sink could read them: from `from`, below `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
}

/// Why a sink could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is away or busy; the same call is made again after a pause, as often as it takes.
    #[error("{}", reason(.0))]
    Retry(anyhow::Error),
    /// It will not work without a person; the partition is stopped, the others go on.
    #[error("{}", reason(.0))]
    Stop(anyhow::Error),
}

/// The error and its causes in one line. Many an error repeats its cause in its own text; that is said once.
pub(crate) fn reason(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A store of records that remembers for each partition which offset comes next.
pub trait Sink: Send + Sync + 'static {
    type Writer: Writer;

    /// The sink's name in metrics, dead letters and messages.
    fn name(&self) -> &'static str;

    /// The writer of a partition and the offset at which it continues. A partition never seen before continues at 0, so
    /// that what retention took earlier shows as a gap; or wherever the sink fixes it.
    fn open(
        &self,
        source: &Source,
    ) -> impl Future<Output = Result<(Self::Writer, i64), Error>> + Send;

    /// Whether a record counts towards [`BatchLimits::max_records`]. One that the sink is going to refuse need not.
    fn counts(&self, _record: &Record) -> bool {
        true
    }
}

/// Stores batches of one partition.
pub trait Writer: Send + 'static {
    /// Stores the batch and gives the position after it: `batch.next_offset` when all of it is stored; something else when
    /// another owner of the partition moved the position, in which case the batch's records from there on are offered
    /// again. May be cancelled at any await point, with the process or with the partition.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<i64, Error>> + Send;

    /// Records that the offsets of `gap` are gone, moves the position behind it, and gives the position.
    fn skip(&mut self, gap: Gap) -> impl Future<Output = Result<i64, Error>> + Send;
}

/// What [`run`] needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: KafkaOptions,
    pub group_id: String,
    /// A name of this process that stays the same when it is started again (group.instance.id): then it gets its
    /// partitions back at once, where a nameless member that was killed holds them until its session ends.
    pub instance_id: Option<String>,
    pub topics: Vec<String>,
    pub limits: BatchLimits,
    /// For records received but not yet in a batch, over all partitions.
    pub buffer_bytes: usize,
    /// For batches, over all partitions: those that grow, and twice those that are being written, since what is made of
    /// them takes as much again. When it is used up, the largest batch is written early.
    pub batch_bytes: usize,
    /// Makes the spans of batches.
    pub tracer: Tracer,
    /// Within so long after its timestamp a record should be stored. Only counted by.
    pub objective: Duration,
}

impl Settings {
    /// Batches of up to 1,000 records, 4 MiB or half a second, 64 MiB of buffers and 256 MiB for all batches; an objective
    /// of ten seconds; no traces.
    pub fn new(kafka: KafkaOptions, group_id: impl Into<String>, topics: Vec<String>) -> Settings {
        Settings {
            kafka,
            group_id: group_id.into(),
            instance_id: None,
            topics,
            limits: BatchLimits::default(),
            buffer_bytes: 64 << 20,
            batch_bytes: 256 << 20,
            tracer: Tracer::off(),
            objective: Duration::from_secs(10),
        }
    }
}

/// Feeds the sink until `stop` is cancelled, then finishes the writes under way, leaves the group and returns.
///
/// A consumer that is fenced is replaced by a new one. That need not mean that another process has its name: librdkafka,
/// whose session ends while it cannot reach its coordinator, commits once more without a member id, and every broker
/// answers that with FENCED_INSTANCE_ID (confluentinc/librdkafka#3437, mended by its #5585).
///
/// # Errors
/// When the Kafka client's settings are refused, it fails for good, or it is fenced twice within a minute: then there is
/// another process of that name. Outages of Kafka or of the store are waited out.
pub async fn run<S: Sink>(
    settings: Settings,
    sink: S,
    registry: &Registry,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let metrics =
        metrics::Metrics::new(sink.name(), &settings.topics, settings.objective, registry);
    let sink = Arc::new(sink);
    let mut fenced: Option<Instant> = None;
    loop {
        let (metrics, readiness) = (metrics.clone(), readiness.clone());
        let router = router::Router::new(settings.clone(), sink.clone(), metrics, readiness)?;
        if router.run(stop.clone()).await? == End::Stopped || stop.is_cancelled() {
            return Ok(());
        }
        let name = settings.instance_id.as_deref().unwrap_or_default();
        if fenced.is_some_and(|before| before.elapsed() < FENCED_AGAIN) {
            anyhow::bail!(
                "fenced again: another process is a member of group {} by the name {name} too; each needs one of its own",
                settings.group_id
            );
        }
        fenced = Some(Instant::now());
        tracing::warn!(
            sink = sink.name(),
            instance_id = name,
            "the group has another member by this name, or takes a late request for one: joining it anew"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_reason_says_each_cause_once() {
        let error = anyhow!("refused")
            .context("cannot connect: refused")
            .context("PostgreSQL");
        assert_eq!(
            Error::Retry(error).to_string(),
            "PostgreSQL: cannot connect: refused"
        );
    }
}
