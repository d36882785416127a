//! Between the words of the engine, the storage and the configuration.

use engine::epochs::{EpochStart, Epochs};
use engine::ids::{LeaderEpoch, Offset, ProducerId};
use engine::metadata::PartitionId;
use engine::producer::{Producer, Producers, Remembered};
use engine::replica::Options;
use storage::{Log, ProducerEntry};

use crate::config::TopicConfig;

/// Whether the topic asks for an fsync before a record counts.
fn flushes_each(topic: &TopicConfig) -> bool {
    topic.flush_messages == 1
}

pub(super) fn options(topic: &TopicConfig, lag_max_ms: u64) -> Options {
    Options {
        min_insync_replicas: usize::try_from(topic.min_insync_replicas).unwrap_or(1),
        flush_each: flushes_each(topic),
        lag_max_ms,
    }
}

/// Another number for each partition, and the same one at each start.
fn jitter_seed(id: PartitionId) -> u64 {
    let halves = id.topic.0.as_chunks::<8>().0.iter().copied();
    let topic = halves.map(u64::from_be_bytes).fold(0, |a, b| a ^ b);
    topic.wrapping_add((id.index as u64) << 32)
}

/// The storage's share of a topic's configuration.
pub fn log_config(
    id: PartitionId,
    topic: &TopicConfig,
    producer_expiration_ms: u64,
) -> storage::LogConfig {
    let limit = |value: i64| u64::try_from(value).ok().filter(|v| *v != i64::MAX as u64);
    let at_least_0 = |value: i64| u64::try_from(value).unwrap_or(0);
    storage::LogConfig {
        segment_bytes: u64::from(topic.segment_bytes),
        segment_ms: at_least_0(topic.segment_ms),
        segment_jitter_ms: at_least_0(topic.segment_jitter_ms),
        jitter_seed: jitter_seed(id),
        segment_index_bytes: u64::from(topic.segment_index_bytes),
        index_interval_bytes: u64::from(topic.index_interval_bytes),
        retention_ms: topic.retention_ms.and_then(limit),
        retention_bytes: topic.retention_bytes.and_then(limit),
        delete: topic.delete,
        compact: topic.compact,
        delete_retention_ms: at_least_0(topic.delete_retention_ms),
        min_compaction_lag_ms: at_least_0(topic.min_compaction_lag_ms),
        max_compaction_lag_ms: limit(topic.max_compaction_lag_ms),
        min_cleanable_dirty_ratio: topic.min_cleanable_ratio,
        flush_messages: at_least_0(topic.flush_messages),
        flush_ms: limit(topic.flush_ms),
        producer_expiration_ms,
        ..storage::LogConfig::default()
    }
}

pub(super) fn epochs(stored: &[(i32, i64)]) -> Epochs {
    let entry = |&(epoch, start)| EpochStart {
        epoch: LeaderEpoch(epoch),
        start: Offset(start),
    };
    Epochs::new(stored.iter().map(entry))
}

/// The producers that a log tells of. A snapshot keeps only the last batch of each; where the log was read, as many are
/// known as a client may repeat.
pub(super) fn producers(log: &Log) -> Producers {
    let entries = log.producers();
    Producers::new(entries.iter().map(|entry| {
        let mut read = Producers::default();
        log.recent_batches(entry.producer_id)
            .for_each(|header| read.on_appended(header));
        let last = |p: &Producer| p.batches.back().map(|b| (p.epoch, b.last_sequence));
        let stored = producer(entry);
        let known = read
            .into_iter()
            .map(|(_, p)| p)
            .find(|p| last(p) == last(&stored))
            .map(|p| Producer {
                without_gap: stored.without_gap,
                ..p
            });
        (ProducerId(entry.producer_id), known.unwrap_or(stored))
    }))
}

fn producer(entry: &ProducerEntry) -> Producer {
    let known = entry.last_sequence >= 0 && entry.last_offset >= 0;
    // Sequences wrap from the largest to 0.
    let first = i64::from(entry.last_sequence) - i64::from(entry.offset_delta);
    let last = Remembered {
        first_sequence: (first & i64::from(i32::MAX)) as i32,
        last_sequence: entry.last_sequence,
        base_offset: Offset(entry.last_offset - i64::from(entry.offset_delta)),
        last_offset: Offset(entry.last_offset),
        timestamp_ms: entry.timestamp,
    };
    Producer {
        epoch: entry.producer_epoch,
        batches: known.then_some(last).into_iter().collect(),
        without_gap: if known { entry.without_gap } else { 0 },
    }
}
