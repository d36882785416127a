//! Spans of appends, sampled: the broker's own part of the traces of records that pass through it.
//!
//! The broker never opens a record, so it knows nothing of the trace contexts in their headers. Its spans say which offsets
//! they are about instead, and are joined with those of producers and consumers by topic, partition and offset. Whether an
//! append has a span is a function of its place, so every replica would decide alike; and a limit per second keeps spans
//! from ever costing more than a little, whatever the load.
//!
//! What has happened is handed as plain data to the [`SpanSink`] of the [`crate::env::Env`], which in a simulation is the
//! test's own. Where that wants none, an append does not even look at a clock for it.

pub mod otlp;

use std::sync::Arc;
use std::time::Duration;

use engine::ids::{LeaderEpoch, Offset};
use parking_lot::Mutex;
use telemetry::Registry;
use telemetry::traces::SpanCounters;
use tokio::time::Instant;
use wire::{ErrorCode, Str};

use crate::env::{Env, Plane};
use crate::partition::{Appended, CommitWait, Partition};

/// How long it is waited for the high watermark.
const PATIENCE: Duration = Duration::from_secs(30);

/// An append from its request to the moment when its records are committed.
#[derive(Clone, Debug)]
pub struct AppendSpan {
    pub topic: Str,
    pub partition: i32,
    pub leader_epoch: LeaderEpoch,
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub records: i32,
    pub size_bytes: usize,
    pub client_id: Option<Str>,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_ms: i64,
    /// From there until the leader's log had it.
    pub written: Duration,
    /// From there until the leader had fsynced it, of a topic with `flush.messages=1`.
    pub flushed: Option<Duration>,
    /// From there until the high watermark passed it, or why it did not.
    pub replicated: Result<Duration, (Duration, ErrorCode)>,
}

/// Where spans go.
pub trait SpanSink: Send + Sync + 'static {
    /// The part of all appends that spans are wanted of, from 0 to 1.
    fn ratio(&self) -> f64;
    /// Takes a span; never waits.
    fn record(&self, span: AppendSpan);
    /// Shows in the broker's registry what becomes of them.
    fn register(&self, registry: &Registry);
}

/// Wants none.
#[derive(Clone, Copy, Debug)]
pub struct NoSpans;

impl SpanSink for NoSpans {
    fn ratio(&self) -> f64 {
        0.0
    }

    fn record(&self, _: AppendSpan) {}

    fn register(&self, registry: &Registry) {
        SpanCounters::default().register(registry);
    }
}

/// Decides which appends have spans, and follows those that do.
pub struct Spans {
    sink: Arc<dyn SpanSink>,
    ratio: f64,
    per_second: u32,
    /// The second at hand, and how many spans it has had.
    used: Mutex<(u64, u32)>,
}

/// The moment before an append that may have a span.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    at: Instant,
    wall_ms: i64,
}

/// What the request says of an append.
#[derive(Debug)]
pub struct Request<'a> {
    pub records: i32,
    pub size_bytes: usize,
    pub client_id: Option<&'a Str>,
}

impl Spans {
    /// At most `per_second` spans a second.
    pub fn new(sink: Arc<dyn SpanSink>, per_second: u32) -> Spans {
        let ratio = if per_second == 0 { 0.0 } else { sink.ratio() };
        Spans {
            sink,
            ratio,
            per_second,
            used: Mutex::new((0, 0)),
        }
    }

    /// To be called before an append. `None` where spans are not wanted.
    pub fn begin(&self, env: &Env) -> Option<Began> {
        (self.ratio > 0.0).then(|| Began {
            at: env.now(),
            wall_ms: env.wall_ms(),
        })
    }

    /// Follows an append until its records are committed, if it is one of those that have a span.
    pub fn follow(
        &self,
        env: &Env,
        began: Began,
        partition: &Arc<Partition>,
        appended: &Appended,
        request: &Request<'_>,
    ) {
        // What had been appended before, and is sent again, has had its span.
        let (Some(leader_epoch), Some(base_offset)) = (appended.written_in, appended.base_offset)
        else {
            return;
        };
        let id = partition.id();
        if !is_sampled(self.ratio, &id.topic.0, id.index, base_offset) || !self.admit(env) {
            return;
        }
        let written = env.now() - began.at;
        let span = AppendSpan {
            topic: partition.topic().clone(),
            partition: id.index,
            leader_epoch,
            base_offset,
            last_offset: Offset(appended.next_offset.0 - 1),
            records: request.records,
            size_bytes: request.size_bytes,
            client_id: request.client_id.map(|name| Str::copy_from(name)),
            began_ms: began.wall_ms,
            written,
            flushed: None,
            replicated: Ok(written),
        };
        let is_flushed = partition.config().flush_messages == 1;
        let (durable, committed) = partition.watch(appended.next_offset, is_flushed);
        let (clock, sink, at) = (env.clone(), self.sink.clone(), began.at);
        let following = async move {
            let deadline = at + PATIENCE;
            let (flushed, replicated) = tokio::join!(
                biased;
                until(&clock, durable, at, written, deadline),
                until(&clock, committed, at, written, deadline),
            );
            sink.record(AppendSpan {
                flushed: is_flushed.then(|| flushed.unwrap_or_else(|(after, _)| after)),
                replicated,
                ..span
            });
        };
        // Bounded by the limit per second and the patience of each.
        env.spawn(Plane::Data, "span", following);
    }

    fn admit(&self, env: &Env) -> bool {
        let second = env.elapsed_ms() / 1_000;
        let mut used = self.used.lock();
        if used.0 != second {
            *used = (second, 0);
        }
        used.1 += 1;
        used.1 <= self.per_second
    }
}

async fn until(
    env: &Env,
    wait: Option<CommitWait>,
    began: Instant,
    already: Duration,
    deadline: Instant,
) -> Result<Duration, (Duration, ErrorCode)> {
    let Some(wait) = wait else {
        return Ok(already);
    };
    let answer = wait.wait(deadline).await;
    let after = env.now() - began;
    answer.map(|()| after).map_err(|code| (after, code))
}

/// Whether the batch at this place is one of the part `ratio`: by a hash, so that the answer is always the same.
fn is_sampled(ratio: f64, topic_id: &[u8; 16], partition: i32, base_offset: Offset) -> bool {
    if ratio >= 1.0 {
        return true;
    }
    let mut hash = 0_u64;
    let (high, low) = topic_id.split_at(8);
    for part in [high, low] {
        let part = part
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = mix(hash ^ part);
    }
    hash = mix(hash ^ u64::from(partition.unsigned_abs()));
    hash = mix(hash ^ base_offset.0.unsigned_abs());
    // The upper 53 bits, as a fraction.
    ((hash >> 11) as f64) < ratio * (1_u64 << 53) as f64
}

/// The mixing step of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(ratio: f64) -> usize {
        let is_in = |offset: &i64| is_sampled(ratio, &[7; 16], 3, Offset(offset * 100));
        (0..10_000).filter(is_in).count()
    }

    #[test]
    fn the_wanted_part_of_all_batches_is_sampled_and_always_the_same() {
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 10_000));
        let tenth = sampled(0.1);
        assert!((900..1_100).contains(&tenth), "{tenth}");
        assert_eq!(sampled(0.1), tenth);
    }
}
