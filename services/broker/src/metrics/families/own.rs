//! Our own names: what Kafka's exporters have no name for.

use telemetry::metrics::{By, Family};

/// Upper bounds of what clients wait for, seconds.
const LATENCY: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Upper bounds of what one call to the disk takes, seconds.
pub const FSYNC_BOUNDS: &[f64] = &[
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

pub static INFO: Family = Family::gauge(
    "millrace_broker_info",
    &["node_id", "rack", "cluster_id"],
    "1; which broker this is",
);
pub static REQUEST_SECONDS: Family = Family::histogram(
    "millrace_broker_request_duration_seconds",
    &["request"],
    LATENCY,
    "From the arrival of the whole request to the end of its answer",
);
pub static PHASE_SECONDS: Family = Family::histogram(
    "millrace_broker_request_phase_seconds",
    &["request", "phase"],
    LATENCY,
    "The parts of a request: queue (waiting for its handler), local (working here), remote (waiting for other brokers, for records or for a group), response (writing the answer)",
);
pub static APPEND_SECONDS: Family = Family::histogram(
    "millrace_broker_append_seconds",
    &[],
    FSYNC_BOUNDS,
    "Appending one batch to its log, the wait for the partition's lock included",
);
pub static FSYNC_SECONDS: Family = Family::histogram(
    "millrace_broker_fsync_seconds",
    &["log"],
    FSYNC_BOUNDS,
    "Duration of fsyncs: of partition logs and of the metadata log",
);
pub static LAG_RECORDS: Family = Family::gauge(
    "millrace_broker_replication_lag_records",
    &["topic", "partition", "follower"],
    "Records that a follower does not have yet",
)
.unit("records")
.by(By::Leader);
pub static LAG_SECONDS: Family = Family::gauge(
    "millrace_broker_replication_lag_seconds",
    &["topic", "partition", "follower"],
    "Time since a follower last had everything; 0 if it has",
)
.unit("seconds")
.by(By::Leader);
pub static LAG_SAMPLES: Family = Family::histogram(
    "millrace_broker_replication_lag_sample_seconds",
    &[],
    LATENCY,
    "The replication lag of each follower of each partition led here, looked at once a second",
);
pub static DISK_FREE: Family = Family::gauge(
    "millrace_broker_disk_free_bytes",
    &["dir"],
    "Free space where a log directory is",
)
.unit("bytes");
pub static DIR_BYTES: Family = Family::gauge(
    "millrace_broker_log_dir_bytes",
    &["dir"],
    "Size of the logs in a log directory",
)
.unit("bytes");
pub static DIR_ONLINE: Family = Family::gauge(
    "millrace_broker_log_dir_online",
    &["dir"],
    "1 if a log directory is in service, else 0",
);
pub static SCRUBBED_BYTES: Family = Family::counter(
    "millrace_broker_log_scrubbed_bytes_total",
    &[],
    "Bytes of logs that were read again to find what the disk has changed",
)
.unit("bytes");
pub static DAMAGE_FOUND: Family = Family::counter(
    "millrace_broker_log_damage_found_total",
    &["source"],
    "Places of logs that are not what was written, by who has found them: recovery (at a start), scrub (in the background), read (a client, a follower or compaction); and replication: batches that a leader has not sent so",
);
pub static REPAIRED_SEGMENTS: Family = Family::counter(
    "millrace_broker_log_repaired_segments_total",
    &[],
    "Segments that were put right with what another replica has",
)
.unit("segments");
pub static DAMAGED_OFFSETS: Family = Family::gauge(
    "millrace_broker_log_damaged_offsets",
    &["dir"],
    "Offsets of the logs in a log directory that cannot be read because the disk has changed them",
)
.unit("offsets");
pub static BUDGET_LIMIT: Family = Family::gauge(
    "millrace_broker_memory_limit_bytes",
    &["budget"],
    "What a budget of memory allows",
)
.unit("bytes");
pub static BUDGET_USED: Family = Family::gauge(
    "millrace_broker_memory_used_bytes",
    &["budget"],
    "What is taken of a budget of memory",
)
.unit("bytes");
pub static CACHE_READS: Family = Family::counter(
    "millrace_broker_cache_reads_total",
    &["result"],
    "Reads of logs that recent batches in memory answered (hit), or not (miss)",
)
.unit("reads");
pub static MESSAGES_OUT: Family = Family::counter(
    "millrace_broker_topic_messages_out_total",
    &["topic"],
    "Records of the batches that consumers were sent",
)
.unit("records");
pub static REFUSED: Family = Family::counter(
    "millrace_broker_connections_refused_total",
    &["reason"],
    "Connections that were turned away: total (max.connections), per_ip (max.connections.per.ip), or cut off: slow (it kept memory that others needed, and was the slowest)",
)
.unit("connections");
pub static SNAPSHOT_AGE: Family = Family::gauge(
    "millrace_metadata_age_seconds",
    &[],
    "Time since the partitions were last looked at for these metrics; it grows while a disk hangs",
)
.unit("seconds");
pub static ELECTIONS: Family = Family::counter(
    "millrace_controller_leader_elections_total",
    &["kind"],
    "Partitions that got another leader, as this broker has seen: clean (from the ISR or the ELR) or unclean",
)
.unit("elections")
.by(By::Controller);
pub static PENDING: Family = Family::gauge(
    "millrace_controller_pending_proposals",
    &[],
    "Commands that the active controller has accepted and not yet applied",
)
.unit("commands")
.by(By::Controller);
pub static TERM: Family = Family::gauge(
    "millrace_quorum_term",
    &[],
    "The term of the metadata quorum",
);
pub static COMMIT_INDEX: Family = Family::gauge(
    "millrace_quorum_commit_index",
    &[],
    "The last committed index of the metadata log that this node knows of",
)
.unit("index");
pub static LAST_INDEX: Family = Family::gauge(
    "millrace_quorum_last_log_index",
    &[],
    "The last index of this node's metadata log",
)
.unit("index");
pub static APPLIED_INDEX: Family = Family::gauge(
    "millrace_quorum_applied_index",
    &[],
    "The last index of the metadata log that this node has applied",
)
.unit("index");
pub static APPLY_LAG: Family = Family::gauge(
    "millrace_quorum_apply_lag_entries",
    &[],
    "Entries of this node's metadata log that it has not applied",
)
.unit("entries");
pub static GROUP_STATE: Family = Family::gauge(
    "millrace_consumergroup_state",
    &["consumergroup", "state"],
    "1 for the state that the group is in",
)
.by(By::Coordinator);
pub static GROUP_LAG_SECONDS: Family = Family::gauge(
    "millrace_consumergroup_lag_seconds",
    &["consumergroup", "topic", "partition"],
    "How long ago the log end passed the group's committed offset, from looks at the log end; 0 without lag",
)
.unit("seconds")
.by(By::Coordinator);
pub static PROBE_RECORDS: Family = Family::counter(
    "millrace_probe_records_total",
    &["outcome"],
    "Records of the built-in probe: acked, failed (not acknowledged), lost (acknowledged and not read back in time)",
)
.unit("records");
pub static PROBE_ACK: Family = Family::histogram(
    "millrace_probe_ack_seconds",
    &[],
    LATENCY,
    "From sending the probe's record to its acknowledgement by all in-sync replicas",
);
pub static PROBE_END_TO_END: Family = Family::histogram(
    "millrace_probe_end_to_end_seconds",
    &[],
    LATENCY,
    "From sending the probe's record to reading it back",
);
pub static PROBE_LAST_SUCCESS: Family = Family::gauge(
    "millrace_probe_last_success_timestamp_seconds",
    &[],
    "When the probe's record came through last, since the Unix epoch; 0 before the first",
)
.unit("seconds");

pub(super) static ALL: &[&Family] = &[
    &PROBE_RECORDS,
    &PROBE_ACK,
    &PROBE_END_TO_END,
    &PROBE_LAST_SUCCESS,
    &INFO,
    &REQUEST_SECONDS,
    &PHASE_SECONDS,
    &APPEND_SECONDS,
    &FSYNC_SECONDS,
    &LAG_RECORDS,
    &LAG_SECONDS,
    &LAG_SAMPLES,
    &DISK_FREE,
    &DIR_BYTES,
    &DIR_ONLINE,
    &SCRUBBED_BYTES,
    &DAMAGE_FOUND,
    &REPAIRED_SEGMENTS,
    &DAMAGED_OFFSETS,
    &BUDGET_LIMIT,
    &BUDGET_USED,
    &CACHE_READS,
    &MESSAGES_OUT,
    &REFUSED,
    &SNAPSHOT_AGE,
    &ELECTIONS,
    &PENDING,
    &TERM,
    &COMMIT_INDEX,
    &LAST_INDEX,
    &APPLIED_INDEX,
    &APPLY_LAG,
    &GROUP_STATE,
    &GROUP_LAG_SECONDS,
];
