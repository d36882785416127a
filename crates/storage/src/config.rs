//! Settings of one log, each the topic-level setting of the same name in Kafka.

/// Defaults are Kafka's. Changing them applies to what is written from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is full before it exceeds this size. Default 1 GiB.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when it is this old. Default 7 days.
    pub segment_ms: u64,
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
