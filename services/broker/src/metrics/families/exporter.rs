//! The names of kafka_exporter (github.com/danielqsj/kafka_exporter).

use telemetry::metrics::{By, Family};

pub static BROKERS: Family = Family::gauge("kafka_brokers", &[], "Brokers that are not fenced")
    .unit("brokers")
    .by(By::Controller);
pub static BROKER_INFO: Family = Family::gauge(
    "kafka_broker_info",
    &["id", "address"],
    "1 for each broker that is not fenced, with the address of its inter-broker listener",
)
.by(By::Controller);
pub static TOPIC_PARTITIONS: Family = Family::gauge(
    "kafka_topic_partitions",
    &["topic"],
    "Partitions of the topic",
)
.unit("partitions")
.by(By::Controller);

const PARTITION: &[&str] = &["topic", "partition"];

pub static CURRENT_OFFSET: Family = Family::gauge(
    "kafka_topic_partition_current_offset",
    PARTITION,
    "The high watermark: what consumers can read ends here",
)
.unit("offset")
.by(By::Leader);
pub static OLDEST_OFFSET: Family = Family::gauge(
    "kafka_topic_partition_oldest_offset",
    PARTITION,
    "The log start offset",
)
.unit("offset")
.by(By::Leader);
pub static LEADER: Family = Family::gauge(
    "kafka_topic_partition_leader",
    PARTITION,
    "The id of the broker that leads the partition",
)
.by(By::Leader);
pub static LEADER_IS_PREFERRED: Family = Family::gauge(
    "kafka_topic_partition_leader_is_preferred",
    PARTITION,
    "1 if the leader is the first of the replicas, else 0",
)
.by(By::Leader);
pub static REPLICAS: Family = Family::gauge(
    "kafka_topic_partition_replicas",
    PARTITION,
    "Replicas of the partition",
)
.unit("replicas")
.by(By::Leader);
pub static IN_SYNC: Family = Family::gauge(
    "kafka_topic_partition_in_sync_replica",
    PARTITION,
    "In-sync replicas of the partition",
)
.unit("replicas")
.by(By::Leader);
pub static UNDER_REPLICATED: Family = Family::gauge(
    "kafka_topic_partition_under_replicated_partition",
    PARTITION,
    "1 if the ISR lacks a replica, else 0",
)
.by(By::Leader);

pub static GROUP_MEMBERS: Family = Family::gauge(
    "kafka_consumergroup_members",
    &["consumergroup"],
    "Members of the group",
)
.unit("members")
.by(By::Coordinator);
pub static GROUP_OFFSET: Family = Family::gauge(
    "kafka_consumergroup_current_offset",
    &["consumergroup", "topic", "partition"],
    "The offset that the group has committed",
)
.unit("offset")
.by(By::Coordinator);
pub static GROUP_OFFSET_SUM: Family = Family::gauge(
    "kafka_consumergroup_current_offset_sum",
    &["consumergroup", "topic"],
    "The offsets that the group has committed, added up over the topic's partitions",
)
.unit("offset")
.by(By::Coordinator);
pub static GROUP_LAG: Family = Family::gauge(
    "kafka_consumergroup_lag",
    &["consumergroup", "topic", "partition"],
    "Records between the group's committed offset and the high watermark",
)
.unit("records")
.by(By::Coordinator);
pub static GROUP_LAG_SUM: Family = Family::gauge(
    "kafka_consumergroup_lag_sum",
    &["consumergroup", "topic"],
    "Records between the group's committed offsets and the high watermarks of the topic's partitions",
)
.unit("records")
.by(By::Coordinator);

pub(super) static ALL: &[&Family] = &[
    &BROKERS,
    &BROKER_INFO,
    &TOPIC_PARTITIONS,
    &CURRENT_OFFSET,
    &OLDEST_OFFSET,
    &LEADER,
    &LEADER_IS_PREFERRED,
    &REPLICAS,
    &IN_SYNC,
    &UNDER_REPLICATED,
    &GROUP_MEMBERS,
    &GROUP_OFFSET,
    &GROUP_OFFSET_SUM,
    &GROUP_LAG,
    &GROUP_LAG_SUM,
];
