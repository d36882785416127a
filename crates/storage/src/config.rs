//! Settings of one log, each the topic-level setting of the same name in Kafka.

/// Defaults are Kafka's. Changing them applies to what is written from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is full before it exceeds this size. Default 1 GiB.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when it is this old. Default 7 days.
    pub segment_ms: u64,
    /// `segment.jitter.ms`: a segment is closed earlier by up to this, each by another time, so that not all logs begin
    /// new segments at once. Default 0.
    pub segment_jitter_ms: u64,
    /// Differs from log to log; with a segment's base offset it decides its share of the jitter. Default 0.
    pub jitter_seed: u64,
    /// `segment.index.bytes`: a segment is closed when an index reaches this size. Default 10 MiB.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: one index entry per this many bytes of log. Default 4 KiB.
    pub index_interval_bytes: u64,
    /// `retention.ms`: segments whose newest record is older are deleted; `None` keeps them. Default 7 days.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`: the oldest segments beyond this size are deleted; `None` keeps them. Default `None`.
    pub retention_bytes: Option<u64>,
    /// Whether `cleanup.policy` contains `delete`. Default true.
    pub delete: bool,
    /// Whether `cleanup.policy` contains `compact`. Default false.
    pub compact: bool,
    /// `delete.retention.ms`: how long compaction keeps tombstones. Default 1 day.
    pub delete_retention_ms: u64,
    /// `min.compaction.lag.ms`: younger records are not compacted. Default 0.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`: older records are compacted however small their share. Default: never.
    pub max_compaction_lag_ms: Option<u64>,
    /// `min.cleanable.dirty.ratio`: the share of bytes not yet compacted from which it is worth it. Default 0.5.
    pub min_cleanable_dirty_ratio: f64,
    /// `flush.messages`: fsync when this many offsets are not synced. Default: leave it to the system.
    pub flush_messages: u64,
    /// `flush.ms`: fsync at least this often. Default: leave it to the system.
    pub flush_ms: Option<u64>,
    /// `producer.id.expiration.ms`: idle producers are forgotten after this time. Default 1 day.
    pub producer_expiration_ms: u64,
    /// Most bytes that one compressed batch may become where records must be decoded. Default 128 MiB.
    pub decompressed_bytes_max: usize,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            jitter_seed: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            delete: true,
            compact: false,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: None,
            min_cleanable_dirty_ratio: 0.5,
            flush_messages: u64::MAX,
            flush_ms: None,
            producer_expiration_ms: DAY_MS,
            decompressed_bytes_max: 128 << 20,
        }
    }
}

impl LogConfig {
    /// The age at which the segment that begins at `base_offset` is closed.
    pub(crate) fn roll_ms(&self, base_offset: i64) -> u64 {
        let most = self.segment_jitter_ms.min(self.segment_ms);
        // SplitMix64: neighbouring offsets and seeds give unrelated numbers.
        let z = (self.jitter_seed ^ (base_offset as u64)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.segment_ms - (z ^ (z >> 31)).checked_rem(most).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_closed_earlier_each_by_another_time() {
        let config = LogConfig {
            segment_ms: 1000,
            segment_jitter_ms: 100,
            jitter_seed: 7,
            ..LogConfig::default()
        };
        let times: Vec<u64> = (0..1000).map(|offset| config.roll_ms(offset)).collect();
        assert!(times.iter().all(|ms| (901..=1000).contains(ms)));
        let spread: std::collections::BTreeSet<_> = times.iter().collect();
        assert!(spread.len() > 90, "{} different times", spread.len());
        let other = LogConfig {
            jitter_seed: 8,
            ..config.clone()
        };
        assert_ne!(
            times,
            (0..1000).map(|o| other.roll_ms(o)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn without_jitter_every_segment_has_its_whole_time() {
        let config = LogConfig::default();
        assert!((0..1000).all(|offset| config.roll_ms(offset) == config.segment_ms));
        let more = LogConfig {
            segment_ms: 5,
            segment_jitter_ms: u64::MAX,
            ..config
        };
        assert!((0..1000).all(|offset| (1..=5).contains(&more.roll_ms(offset))));
    }
}
