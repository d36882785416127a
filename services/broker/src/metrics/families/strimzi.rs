//! The names that Strimzi's JMX configuration gives to Kafka's own metrics. Kafka's sums over all topics are left out:
//! beside the topics they would count everything twice.

use telemetry::metrics::{By, Family};

const PARTITION: &[&str] = &["topic", "partition"];

pub static MESSAGES_IN: Family = Family::counter(
    "kafka_server_brokertopicmetrics_messagesin_total",
    &["topic"],
    "Records that producers appended, counted by the leader",
)
.unit("records");
pub static BYTES_IN: Family = Family::counter(
    "kafka_server_brokertopicmetrics_bytesin_total",
    &["topic"],
    "Bytes of batches that producers appended, counted by the leader",
)
.unit("bytes");
pub static BYTES_OUT: Family = Family::counter(
    "kafka_server_brokertopicmetrics_bytesout_total",
    &["topic"],
    "Bytes of batches that consumers were sent",
)
.unit("bytes");
pub static BYTES_REJECTED: Family = Family::counter(
    "kafka_server_brokertopicmetrics_bytesrejected_total",
    &["topic"],
    "Bytes of batches that were refused",
)
.unit("bytes");
pub static PRODUCE_REQUESTS: Family = Family::counter(
    "kafka_server_brokertopicmetrics_totalproducerequests_total",
    &["topic"],
    "Batches that producers sent for partitions of the topic",
)
.unit("batches");
pub static FETCH_REQUESTS: Family = Family::counter(
    "kafka_server_brokertopicmetrics_totalfetchrequests_total",
    &["topic"],
    "Looks into partitions of the topic by consumers' and followers' fetches",
)
.unit("partitions");
pub static FAILED_PRODUCE: Family = Family::counter(
    "kafka_server_brokertopicmetrics_failedproducerequests_total",
    &["topic"],
    "Batches of producers that were refused or not committed",
)
.unit("batches");
pub static FAILED_FETCH: Family = Family::counter(
    "kafka_server_brokertopicmetrics_failedfetchrequests_total",
    &["topic"],
    "Looks into partitions of the topic that ended with an error",
)
.unit("partitions");
pub static REPLICATION_IN: Family = Family::counter(
    "kafka_server_brokertopicmetrics_replicationbytesin_total",
    &[],
    "Bytes of batches that this broker has fetched from leaders",
)
.unit("bytes");
pub static REPLICATION_OUT: Family = Family::counter(
    "kafka_server_brokertopicmetrics_replicationbytesout_total",
    &[],
    "Bytes of batches that followers were sent",
)
.unit("bytes");
pub static LEADER_COUNT: Family = Family::gauge(
    "kafka_server_replicamanager_leadercount",
    &[],
    "Partitions led here",
)
.unit("partitions");
pub static PARTITION_COUNT: Family = Family::gauge(
    "kafka_server_replicamanager_partitioncount",
    &[],
    "Replicas held here",
)
.unit("partitions");
pub static OFFLINE_REPLICAS: Family = Family::gauge(
    "kafka_server_replicamanager_offlinereplicacount",
    &[],
    "Replicas that should be here and cannot be served, for their log is out of service",
)
.unit("partitions");
pub static UNDER_REPLICATED: Family = Family::gauge(
    "kafka_server_replicamanager_underreplicatedpartitions",
    &[],
    "Partitions led here whose ISR lacks a replica",
)
.unit("partitions");
pub static UNDER_MIN_ISR: Family = Family::gauge(
    "kafka_server_replicamanager_underminisrpartitioncount",
    &[],
    "Partitions led here whose ISR is below min.insync.replicas: acks=all is refused",
)
.unit("partitions");
pub static AT_MIN_ISR: Family = Family::gauge(
    "kafka_server_replicamanager_atminisrpartitioncount",
    &[],
    "Partitions led here whose ISR is exactly min.insync.replicas",
)
.unit("partitions");
pub static ISR_SHRINKS: Family = Family::counter(
    "kafka_server_replicamanager_isrshrinks_total",
    &[],
    "ISRs of partitions led here that have lost a member",
)
.unit("changes");
pub static ISR_EXPANDS: Family = Family::counter(
    "kafka_server_replicamanager_isrexpands_total",
    &[],
    "ISRs of partitions led here that have got a member",
)
.unit("changes");
pub static FAILED_ISR_UPDATES: Family = Family::counter(
    "kafka_server_replicamanager_failedisrupdates_total",
    &[],
    "ISR changes that the controller has refused or not answered",
)
.unit("changes");
pub static P_UNDER_MIN_ISR: Family = Family::gauge(
    "kafka_cluster_partition_underminisr",
    PARTITION,
    "1 if the ISR is below min.insync.replicas, else 0",
)
.by(By::Leader);
pub static P_AT_MIN_ISR: Family = Family::gauge(
    "kafka_cluster_partition_atminisr",
    PARTITION,
    "1 if the ISR is exactly min.insync.replicas, else 0",
)
.by(By::Leader);
pub static P_UNDER_REPLICATED: Family = Family::gauge(
    "kafka_cluster_partition_underreplicated",
    PARTITION,
    "1 if the ISR lacks a replica, else 0",
)
.by(By::Leader);
pub static P_REPLICAS: Family = Family::gauge(
    "kafka_cluster_partition_replicascount",
    PARTITION,
    "Replicas of the partition",
)
.unit("replicas")
.by(By::Leader);
pub static P_IN_SYNC: Family = Family::gauge(
    "kafka_cluster_partition_insyncreplicascount",
    PARTITION,
    "In-sync replicas of the partition",
)
.unit("replicas")
.by(By::Leader);
pub static ACTIVE_CONTROLLER: Family = Family::gauge(
    "kafka_controller_kafkacontroller_activecontrollercount",
    &[],
    "1 on the active controller, 0 on every other broker: the sum is 1",
);
pub static OFFLINE_PARTITIONS: Family = Family::gauge(
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    &[],
    "Partitions without a leader",
)
.unit("partitions")
.by(By::Controller);
pub static GLOBAL_PARTITIONS: Family = Family::gauge(
    "kafka_controller_kafkacontroller_globalpartitioncount",
    &[],
    "Partitions of the cluster",
)
.unit("partitions")
.by(By::Controller);
pub static GLOBAL_TOPICS: Family = Family::gauge(
    "kafka_controller_kafkacontroller_globaltopiccount",
    &[],
    "Topics of the cluster",
)
.unit("topics")
.by(By::Controller);
pub static ACTIVE_BROKERS: Family = Family::gauge(
    "kafka_controller_kafkacontroller_activebrokercount",
    &[],
    "Brokers that are not fenced",
)
.unit("brokers")
.by(By::Controller);
pub static FENCED_BROKERS: Family = Family::gauge(
    "kafka_controller_kafkacontroller_fencedbrokercount",
    &[],
    "Brokers that are registered and fenced",
)
.unit("brokers")
.by(By::Controller);
pub static IMBALANCE: Family = Family::gauge(
    "kafka_controller_kafkacontroller_preferredreplicaimbalancecount",
    &[],
    "Partitions that their preferred replica could lead and does not",
)
.unit("partitions")
.by(By::Controller);
pub static UNCLEAN_ELECTIONS: Family = Family::counter(
    "kafka_controller_controllerstats_uncleanleaderelections_total",
    &[],
    "Leaders that were elected from outside of the ISR and the ELR, as this broker has seen",
)
.unit("elections")
.by(By::Controller);
pub static REQUESTS: Family = Family::counter(
    "kafka_network_requestmetrics_requests_total",
    &["request", "version"],
    "Requests, by API and version",
)
.unit("requests");
pub static ERRORS: Family = Family::counter(
    "kafka_network_requestmetrics_errors_total",
    &["request", "error"],
    "Errors in answers, by API and Kafka's name of the error; NONE counts what went well",
)
.unit("errors");
pub static TOTAL_MS: Family = Family::gauge(
    "kafka_network_requestmetrics_totaltimems",
    &["request", "quantile"],
    "From the arrival of the whole request to the end of its answer: quantiles of the last one to two minutes",
)
.unit("milliseconds");
pub static TOTAL_MS_COUNT: Family = Family::counter(
    "kafka_network_requestmetrics_totaltimems_count",
    &["request"],
    "Requests behind the quantiles of kafka_network_requestmetrics_totaltimems",
)
.unit("requests");
pub static QUEUE_MS: Family = Family::gauge(
    "kafka_network_requestmetrics_requestqueuetimems",
    &["request", "quantile"],
    "Waiting for its handler: quantiles of the last one to two minutes",
)
.unit("milliseconds");
pub static QUEUE_MS_COUNT: Family = Family::counter(
    "kafka_network_requestmetrics_requestqueuetimems_count",
    &["request"],
    "Requests behind the quantiles of kafka_network_requestmetrics_requestqueuetimems",
)
.unit("requests");
pub static LOCAL_MS: Family = Family::gauge(
    "kafka_network_requestmetrics_localtimems",
    &["request", "quantile"],
    "Working in the broker: quantiles of the last one to two minutes",
)
.unit("milliseconds");
pub static LOCAL_MS_COUNT: Family = Family::counter(
    "kafka_network_requestmetrics_localtimems_count",
    &["request"],
    "Requests behind the quantiles of kafka_network_requestmetrics_localtimems",
)
.unit("requests");
pub static REMOTE_MS: Family = Family::gauge(
    "kafka_network_requestmetrics_remotetimems",
    &["request", "quantile"],
    "Waiting for other brokers, for records or for a group: quantiles of the last one to two minutes",
)
.unit("milliseconds");
pub static REMOTE_MS_COUNT: Family = Family::counter(
    "kafka_network_requestmetrics_remotetimems_count",
    &["request"],
    "Requests behind the quantiles of kafka_network_requestmetrics_remotetimems",
)
.unit("requests");
pub static SEND_MS: Family = Family::gauge(
    "kafka_network_requestmetrics_responsesendtimems",
    &["request", "quantile"],
    "From the ready answer to its last byte: quantiles of the last one to two minutes",
)
.unit("milliseconds");
pub static SEND_MS_COUNT: Family = Family::counter(
    "kafka_network_requestmetrics_responsesendtimems_count",
    &["request"],
    "Requests behind the quantiles of kafka_network_requestmetrics_responsesendtimems",
)
.unit("requests");
pub static NETWORK_IDLE: Family = Family::gauge(
    "kafka_network_socketserver_networkprocessoravgidle_percent",
    &[],
    "Share of time in which the workers of the data plane are idle, from 0 to 1",
);
pub static HANDLER_IDLE: Family = Family::gauge(
    "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent",
    &[],
    "The same: network and handlers share the workers of the data plane",
);
pub static CONNECTIONS: Family = Family::gauge(
    "kafka_server_socket_server_metrics_connection_count",
    &["listener", "networkProcessor"],
    "Open client connections",
)
.unit("connections");
pub static CONNECTIONS_CREATED: Family = Family::counter(
    "kafka_server_socket_server_metrics_connection_creation_total",
    &["listener", "networkProcessor"],
    "Client connections that were accepted",
)
.unit("connections");
pub static CONNECTIONS_CLOSED: Family = Family::counter(
    "kafka_server_socket_server_metrics_connection_close_total",
    &["listener", "networkProcessor"],
    "Client connections that have ended",
)
.unit("connections");
pub static LOG_SIZE: Family = Family::gauge(
    "kafka_log_log_size",
    PARTITION,
    "Size of the leader's log on disk",
)
.unit("bytes")
.by(By::Leader);
pub static LOG_START: Family = Family::gauge(
    "kafka_log_log_logstartoffset",
    PARTITION,
    "The log start offset",
)
.unit("offset")
.by(By::Leader);
pub static LOG_END: Family = Family::gauge(
    "kafka_log_log_logendoffset",
    PARTITION,
    "The log end offset of the leader",
)
.unit("offset")
.by(By::Leader);
pub static LOG_SEGMENTS: Family = Family::gauge(
    "kafka_log_log_numlogsegments",
    PARTITION,
    "Segments of the leader's log",
)
.unit("segments")
.by(By::Leader);
pub static OFFLINE_DIRECTORIES: Family = Family::gauge(
    "kafka_log_logmanager_offlinelogdirectorycount",
    &[],
    "Log directories that are out of service",
)
.unit("directories");
pub static FLUSH_MS: Family = Family::gauge(
    "kafka_log_logflushstats_logflushrateandtimems",
    &["quantile"],
    "Duration of fsyncs of partition logs: quantiles of the last one to two minutes",
)
.unit("milliseconds");
pub static FLUSH_MS_COUNT: Family = Family::counter(
    "kafka_log_logflushstats_logflushrateandtimems_count",
    &[],
    "Fsyncs of partition logs",
)
.unit("fsyncs");
pub static FETCH_SESSIONS: Family = Family::gauge(
    "kafka_server_fetchsessioncache_numincrementalfetchsessions",
    &[],
    "Fetch sessions",
)
.unit("sessions");
pub static FETCH_SESSION_PARTITIONS: Family = Family::gauge(
    "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached",
    &[],
    "Partitions in fetch sessions",
)
.unit("partitions");
pub static FETCH_SESSION_EVICTIONS: Family = Family::counter(
    "kafka_server_fetchsessioncache_incrementalfetchsessionevictions_total",
    &[],
    "Fetch sessions that had to make room for others",
)
.unit("sessions");
pub static GROUPS: Family = Family::gauge(
    "kafka_coordinator_group_groupmetadatamanager_numgroups",
    &[],
    "Groups coordinated here",
)
.unit("groups");
pub static GROUP_OFFSETS: Family = Family::gauge(
    "kafka_coordinator_group_groupmetadatamanager_numoffsets",
    &[],
    "Committed offsets of groups coordinated here",
)
.unit("offsets");
pub static RAFT_STATE: Family = Family::gauge(
    "kafka_server_raftmetrics_current_state",
    &["current_state"],
    "1 for what this node is in the metadata quorum: leader, candidate, follower or observer",
);
pub static RAFT_LEADER: Family = Family::gauge(
    "kafka_server_raftmetrics_current_leader",
    &[],
    "The id of the active controller as this node knows it, -1 if it knows none",
);
pub static RAFT_EPOCH: Family = Family::gauge(
    "kafka_server_raftmetrics_current_epoch",
    &[],
    "The term of the metadata quorum",
);
pub static RAFT_HIGH_WATERMARK: Family = Family::gauge(
    "kafka_server_raftmetrics_high_watermark",
    &[],
    "The last committed index of the metadata log",
)
.unit("index");
pub static RAFT_LOG_END: Family = Family::gauge(
    "kafka_server_raftmetrics_log_end_offset",
    &[],
    "The last index of this node's metadata log",
)
.unit("index");

pub(super) static ALL: &[&Family] = &[
    &MESSAGES_IN,
    &BYTES_IN,
    &BYTES_OUT,
    &BYTES_REJECTED,
    &PRODUCE_REQUESTS,
    &FETCH_REQUESTS,
    &FAILED_PRODUCE,
    &FAILED_FETCH,
    &REPLICATION_IN,
    &REPLICATION_OUT,
    &LEADER_COUNT,
    &PARTITION_COUNT,
    &OFFLINE_REPLICAS,
    &UNDER_REPLICATED,
    &UNDER_MIN_ISR,
    &AT_MIN_ISR,
    &ISR_SHRINKS,
    &ISR_EXPANDS,
    &FAILED_ISR_UPDATES,
    &P_UNDER_MIN_ISR,
    &P_AT_MIN_ISR,
    &P_UNDER_REPLICATED,
    &P_REPLICAS,
    &P_IN_SYNC,
    &ACTIVE_CONTROLLER,
    &OFFLINE_PARTITIONS,
    &GLOBAL_PARTITIONS,
    &GLOBAL_TOPICS,
    &ACTIVE_BROKERS,
    &FENCED_BROKERS,
    &IMBALANCE,
    &UNCLEAN_ELECTIONS,
    &REQUESTS,
    &ERRORS,
    &TOTAL_MS,
    &TOTAL_MS_COUNT,
    &QUEUE_MS,
    &QUEUE_MS_COUNT,
    &LOCAL_MS,
    &LOCAL_MS_COUNT,
    &REMOTE_MS,
    &REMOTE_MS_COUNT,
    &SEND_MS,
    &SEND_MS_COUNT,
    &NETWORK_IDLE,
    &HANDLER_IDLE,
    &CONNECTIONS,
    &CONNECTIONS_CREATED,
    &CONNECTIONS_CLOSED,
    &LOG_SIZE,
    &LOG_START,
    &LOG_END,
    &LOG_SEGMENTS,
    &OFFLINE_DIRECTORIES,
    &FLUSH_MS,
    &FLUSH_MS_COUNT,
    &FETCH_SESSIONS,
    &FETCH_SESSION_PARTITIONS,
    &FETCH_SESSION_EVICTIONS,
    &GROUPS,
    &GROUP_OFFSETS,
    &RAFT_STATE,
    &RAFT_LEADER,
    &RAFT_EPOCH,
    &RAFT_HIGH_WATERMARK,
    &RAFT_LOG_END,
];
