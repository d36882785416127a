//! One options struct per component; each field says its unit and the key that sets it.

use std::path::PathBuf;
use std::time::Duration;

use super::{Invalid, Listeners, Roles, Values, Voter, voters};

fn millis(values: &Values, key: &str) -> Duration {
    Duration::from_millis(values.whole::<u64>(key))
}

/// Sockets and the protection of memory.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Worker threads of the data runtime (`num.network.threads`, 2).
    pub network_threads: usize,
    /// Concurrent cold reads (`num.io.threads`, 8).
    pub io_threads: usize,
    /// The largest request, bytes (`socket.request.max.bytes`, 100 MiB).
    pub request_max_bytes: usize,
    /// Bytes of requests in memory over all connections (`queued.max.request.bytes`, 256 MiB).
    pub in_flight_bytes: usize,
    /// Bytes of answers in memory over all connections (`queued.max.response.bytes`, 256 MiB).
    pub answer_bytes: usize,
    /// Requests of one connection that wait for their answers (`queued.max.requests`, 500).
    pub in_flight_requests: usize,
    /// Open connections over all listeners (`max.connections`, 10,000).
    pub max_connections: usize,
    /// Open connections of one address (`max.connections.per.ip`, no limit).
    pub max_connections_per_ip: usize,
    /// A connection without a request for this long is closed (`connections.max.idle.ms`, 10 min).
    pub idle: Duration,
    /// A request that has begun must arrive whole within this time, and an answer must be taken
    /// within it (`request.partial.timeout.ms`, 30 s).
    pub partial: Duration,
    /// Connections that the system queues per listener (`socket.listen.backlog.size`, 1024).
    pub backlog: u32,
    /// How long a request to another node may take (`request.timeout.ms`, 30 s).
    pub request_timeout: Duration,
}

impl NetConfig {
    pub(super) fn from_values(values: &Values) -> NetConfig {
        NetConfig {
            network_threads: values.whole("num.network.threads"),
            io_threads: values.whole("num.io.threads"),
            request_max_bytes: values.whole("socket.request.max.bytes"),
            in_flight_bytes: values.whole("queued.max.request.bytes"),
            answer_bytes: values.whole("queued.max.response.bytes"),
            in_flight_requests: values.whole("queued.max.requests"),
            max_connections: values.whole("max.connections"),
            max_connections_per_ip: values.whole("max.connections.per.ip"),
            idle: millis(values, "connections.max.idle.ms"),
            partial: millis(values, "request.partial.timeout.ms"),
            backlog: values.whole("socket.listen.backlog.size"),
            request_timeout: millis(values, "request.timeout.ms"),
        }
    }
}

/// The metadata quorum and the liveness of brokers.
#[derive(Clone, Debug)]
pub struct QuorumConfig {
    /// `controller.quorum.voters`; this node alone if absent.
    pub voters: Vec<Voter>,
    /// An active controller that is silent although its machine answers is replaced after about this long; one that is
    /// known to be gone, after two fifths of it (`controller.quorum.election.timeout.ms`, 1.5 s).
    pub election_timeout: Duration,
    /// Between heartbeats of a broker (`broker.heartbeat.interval.ms`, 500 ms).
    pub heartbeat: Duration,
    /// A broker silent for this long is fenced (`broker.session.timeout.ms`, 9 s).
    pub session_timeout: Duration,
    /// A broker that cannot register within this time gives up
    /// (`initial.broker.registration.timeout.ms`, 60 s).
    pub registration_timeout: Duration,
    /// A broker whose oldest append, read or fsync is older than this loses its leaderships
    /// (`broker.stall.timeout.ms`, 5 s).
    pub stall_timeout: Duration,
    /// Bytes of metadata log between snapshots
    /// (`metadata.log.max.record.bytes.between.snapshots`, 20 MiB).
    pub snapshot_bytes: u64,
    /// Whether leaderships return to the preferred replica (`auto.leader.rebalance.enable`, true).
    pub rebalance: bool,
    /// Between looks for leaderships to return
    /// (`leader.imbalance.check.interval.seconds`, 5 s).
    pub rebalance_interval: Duration,
    /// Whether SIGTERM hands leaderships over (`controlled.shutdown.enable`, true).
    pub controlled_shutdown: bool,
    /// How long SIGTERM waits at most until the others can do without this broker
    /// (`controlled.shutdown.timeout.ms`, 6 s).
    pub controlled_shutdown_timeout: Duration,
    /// The reserve that keeps the metadata log writable on a full disk, bytes
    /// (`metadata.log.reserve.bytes`, 16 MiB).
    pub reserve_bytes: u64,
}

impl QuorumConfig {
    pub(super) fn from_values(
        values: &Values,
        node_id: i32,
        roles: Roles,
        listeners: &Listeners,
    ) -> Result<QuorumConfig, Invalid> {
        let voters = voters::resolve(
            values.given("controller.quorum.voters"),
            node_id,
            roles.controller,
            listeners.controller.as_ref(),
        )?;
        Ok(QuorumConfig {
            voters,
            election_timeout: millis(values, "controller.quorum.election.timeout.ms"),
            heartbeat: millis(values, "broker.heartbeat.interval.ms"),
            session_timeout: millis(values, "broker.session.timeout.ms"),
            registration_timeout: millis(values, "initial.broker.registration.timeout.ms"),
            stall_timeout: millis(values, "broker.stall.timeout.ms"),
            snapshot_bytes: values.whole("metadata.log.max.record.bytes.between.snapshots"),
            rebalance: values.flag("auto.leader.rebalance.enable"),
            rebalance_interval: Duration::from_secs(
                values.whole("leader.imbalance.check.interval.seconds"),
            ),
            controlled_shutdown: values.flag("controlled.shutdown.enable"),
            controlled_shutdown_timeout: millis(values, "controlled.shutdown.timeout.ms"),
            reserve_bytes: values.whole("metadata.log.reserve.bytes"),
        })
    }
}

/// The partition logs on disk.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `log.dirs`, else `log.dir`, else `/tmp/kraft-combined-logs` as in the `apache/kafka` image.
    pub dirs: Vec<PathBuf>,
    /// `metadata.log.dir`, else the first of `dirs`.
    pub metadata_dir: PathBuf,
    /// Concurrent recoveries per directory (`num.recovery.threads.per.data.dir`, 2).
    pub recovery_threads: usize,
    /// Between looks for segments to delete (`log.retention.check.interval.ms`, 5 min).
    pub retention_check: Duration,
    /// Between flushes that `flush.ms` asks for (`log.flush.scheduler.interval.ms`, never).
    pub flush_scheduler: Duration,
    /// Between recovery-point checkpoints (`log.flush.offset.checkpoint.interval.ms`, 60 s).
    pub recovery_checkpoint: Duration,
    /// Between log-start checkpoints (`log.flush.start.offset.checkpoint.interval.ms`, 60 s).
    pub start_checkpoint: Duration,
    /// Between high-watermark checkpoints (`replica.high.watermark.checkpoint.interval.ms`, 5 s).
    pub high_watermark_checkpoint: Duration,
    /// Whether compaction runs (`log.cleaner.enable`, true).
    pub cleaner: bool,
    /// The cleaner's rest when there is nothing to do (`log.cleaner.backoff.ms`, 15 s).
    pub cleaner_backoff: Duration,
    /// Free space below which produce is refused, bytes (`log.min.free.bytes`, 256 MiB).
    pub min_free_bytes: u64,
    /// Between two times that a log is read again to find what the disk has changed; never if zero
    /// (`log.scrub.interval.ms`, 7 days).
    pub scrub_interval: Duration,
    /// How fast that is (`log.scrub.bytes.per.second`, 10 MiB).
    pub scrub_bytes_per_second: u64,
    /// Memory for recent batches over all partitions, bytes (`record.cache.bytes`, 64 MiB).
    pub cache_bytes: usize,
    /// Idle producer ids are forgotten after this (`producer.id.expiration.ms`, 1 day).
    pub producer_expiration: Duration,
}

impl LogConfig {
    pub(super) fn from_values(values: &Values) -> Result<LogConfig, Invalid> {
        let given = ["log.dirs", "log.dir"].map(|key| Some((key, values.given(key)?)));
        let (key, list) = given
            .into_iter()
            .flatten()
            .next()
            .unwrap_or(("log.dir", "/tmp/kraft-combined-logs"));
        let dirs: Vec<PathBuf> = list
            .split(',')
            .map(str::trim)
            .filter(|d| !d.is_empty())
            .map(PathBuf::from)
            .collect();
        let Some(first) = dirs.first().cloned() else {
            return Err(Invalid::new(key, list, "one directory or more"));
        };
        let metadata_dir = values
            .given("metadata.log.dir")
            .map_or(first, PathBuf::from);
        Ok(LogConfig {
            dirs,
            metadata_dir,
            recovery_threads: values.whole("num.recovery.threads.per.data.dir"),
            retention_check: millis(values, "log.retention.check.interval.ms"),
            flush_scheduler: millis(values, "log.flush.scheduler.interval.ms"),
            recovery_checkpoint: millis(values, "log.flush.offset.checkpoint.interval.ms"),
            start_checkpoint: millis(values, "log.flush.start.offset.checkpoint.interval.ms"),
            high_watermark_checkpoint: millis(
                values,
                "replica.high.watermark.checkpoint.interval.ms",
            ),
            cleaner: values.flag("log.cleaner.enable"),
            cleaner_backoff: millis(values, "log.cleaner.backoff.ms"),
            min_free_bytes: values.whole("log.min.free.bytes"),
            scrub_interval: millis(values, "log.scrub.interval.ms"),
            scrub_bytes_per_second: values.whole("log.scrub.bytes.per.second"),
            cache_bytes: values.whole("record.cache.bytes"),
            producer_expiration: millis(values, "producer.id.expiration.ms"),
        })
    }
}

/// Replication between brokers.
#[derive(Clone, Debug)]
pub struct ReplicationConfig {
    /// A follower behind for longer than this leaves the ISR (`replica.lag.time.max.ms`, 30 s).
    pub lag_time_max: Duration,
    /// Bytes asked for per partition (`replica.fetch.max.bytes`, 1 MiB).
    pub fetch_max_bytes: i32,
    /// Bytes asked for per response (`replica.fetch.response.max.bytes`, 10 MiB).
    pub response_max_bytes: i32,
    /// Bytes that a leader waits for (`replica.fetch.min.bytes`, 1).
    pub fetch_min_bytes: i32,
    /// How long a leader waits for them (`replica.fetch.wait.max.ms`, 500 ms).
    pub fetch_wait: Duration,
    /// Rest after a failed fetch (`replica.fetch.backoff.ms`, 100 ms).
    pub backoff: Duration,
    /// How long a fetch may take beyond its wait (`replica.socket.timeout.ms`, 30 s).
    pub socket_timeout: Duration,
}

impl ReplicationConfig {
    pub(super) fn from_values(values: &Values) -> ReplicationConfig {
        ReplicationConfig {
            lag_time_max: millis(values, "replica.lag.time.max.ms"),
            fetch_max_bytes: values.whole("replica.fetch.max.bytes"),
            response_max_bytes: values.whole("replica.fetch.response.max.bytes"),
            fetch_min_bytes: values.whole("replica.fetch.min.bytes"),
            fetch_wait: millis(values, "replica.fetch.wait.max.ms"),
            backoff: millis(values, "replica.fetch.backoff.ms"),
            socket_timeout: millis(values, "replica.socket.timeout.ms"),
        }
    }
}

/// Fetch requests of clients.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// The largest response, bytes (`fetch.max.bytes`, 55 MiB).
    pub max_bytes: i32,
    /// Fetch sessions kept (`max.incremental.fetch.session.cache.slots`, 1000).
    pub session_slots: usize,
}

impl FetchConfig {
    pub(super) fn from_values(values: &Values) -> FetchConfig {
        FetchConfig {
            max_bytes: values.whole("fetch.max.bytes"),
            session_slots: values.whole("max.incremental.fetch.session.cache.slots"),
        }
    }
}

/// Consumer groups.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`, 6 s.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`, 30 min.
    pub max_session_timeout: Duration,
    /// An empty group waits this long for further members (`group.initial.rebalance.delay.ms`, 3 s).
    pub initial_rebalance_delay: Duration,
    /// Members of one group (`group.max.size`, 10,000).
    pub max_size: usize,
    /// Bytes of a commit's metadata (`offset.metadata.max.bytes`, 4096).
    pub metadata_max_bytes: usize,
    /// Partitions of `__consumer_offsets` (`offsets.topic.num.partitions`, 50).
    pub offsets_partitions: i32,
    /// Its replicas (`offsets.topic.replication.factor`; 3, in a smaller quorum its size).
    pub offsets_replication_factor: i16,
    /// Its segments, bytes (`offsets.topic.segment.bytes`, 100 MiB).
    pub offsets_segment_bytes: i32,
    /// Offsets of an empty group are kept this long (`offsets.retention.minutes`, 7 days).
    pub offsets_retention: Duration,
    /// Between looks for expired offsets (`offsets.retention.check.interval.ms`, 10 min).
    pub offsets_retention_check: Duration,
    /// Bytes read at once while a coordinator loads (`offsets.load.buffer.size`, 5 MiB).
    pub load_buffer_bytes: usize,
    /// How long a commit may wait for replicas (`offsets.commit.timeout.ms`, 5 s).
    pub commit_timeout: Duration,
}

impl GroupConfig {
    pub(super) fn from_values(values: &Values, voters: usize) -> GroupConfig {
        GroupConfig {
            min_session_timeout: millis(values, "group.min.session.timeout.ms"),
            max_session_timeout: millis(values, "group.max.session.timeout.ms"),
            initial_rebalance_delay: millis(values, "group.initial.rebalance.delay.ms"),
            max_size: values.whole("group.max.size"),
            metadata_max_bytes: values.whole("offset.metadata.max.bytes"),
            offsets_partitions: values.whole("offsets.topic.num.partitions"),
            offsets_replication_factor: values
                .given_whole("offsets.topic.replication.factor")
                .unwrap_or(voters.min(3) as i16),
            offsets_segment_bytes: values.whole("offsets.topic.segment.bytes"),
            offsets_retention: Duration::from_secs(
                60 * values.whole::<u64>("offsets.retention.minutes"),
            ),
            offsets_retention_check: millis(values, "offsets.retention.check.interval.ms"),
            load_buffer_bytes: values.whole("offsets.load.buffer.size"),
            commit_timeout: millis(values, "offsets.commit.timeout.ms"),
        }
    }
}

/// What is shown at `/metrics`.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// Series of one family whose labels users decide on; more are left out and counted (`metrics.series.max`, 10,000).
    pub series_max: usize,
    /// Between two records of the built-in probe; none if zero (`probe.interval.ms`, 1 s).
    pub probe_interval: Duration,
    /// Where they go (`probe.topic`, `__millrace_probe`).
    pub probe_topic: String,
}

impl MetricsConfig {
    pub(super) fn from_values(values: &Values) -> MetricsConfig {
        MetricsConfig {
            series_max: values.whole("metrics.series.max"),
            probe_interval: millis(values, "probe.interval.ms"),
            probe_topic: values.text("probe.topic").to_string(),
        }
    }
}
