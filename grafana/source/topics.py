"""Topics and partitions: traffic and size of each topic, leaders, ISR and offsets of each partition."""

from .dashboard import PROMETHEUS_VARIABLE, Dashboard, Row, choice
from .panels import bad_above, bars, lines, stat, states, table
from .targets import prom, to_dashboard

RATE = "$__rate_interval"
TOPIC = 'topic=~"$topic"'
PARTITION = 'topic=~"$topic",partition=~"$partition"'
IN = "kafka_server_brokertopicmetrics"
P = "kafka_topic_partition"
COLORS = ["blue", "green", "orange", "purple", "yellow", "red", "#5794F2", "#37872D", "#FF780A", "#8F3BB8"]
LEADERS = {number: (f"broker {number}", color) for number, color in enumerate(COLORS)}
TO_BROKERS = to_dashboard("millrace-brokers", "Brokers")
TO_GROUPS = to_dashboard("millrace-groups", "Consumer groups", topic="${__field.labels.topic}")


def summary() -> Row:
    return Row(
        "Health",
        [
            stat("Topics", "Topics of the cluster, internal ones included.", "short",
                 [prom("max(kafka_controller_kafkacontroller_globaltopiccount)", instant=True)]),
            stat("Partitions", "Partitions of the chosen topics.", "short", [prom(f"sum(kafka_topic_partitions{{{TOPIC}}})", instant=True)]),
            stat("Without a leader", "In the whole cluster. A partition without a leader has no series of its own.", "short",
                 [prom("max(kafka_controller_kafkacontroller_offlinepartitionscount)", instant=True)], bad_above(1), links=[TO_BROKERS]),
            stat("Under min ISR", "Of the chosen topics: acks=all is refused.", "short",
                 [prom(f"sum(kafka_cluster_partition_underminisr{{{TOPIC}}})", instant=True)], bad_above(1), links=[TO_BROKERS]),
            stat("Under-replicated", "Of the chosen topics: some replica is not in sync.", "short",
                 [prom(f"sum({P}_under_replicated_partition{{{TOPIC}}})", instant=True)], bad_above(1), links=[TO_BROKERS]),
            stat("Not led by the preferred replica", "Leaderships that have not gone back after a restart.", "short",
                 [prom(f"sum(1 - {P}_leader_is_preferred{{{TOPIC}}})", instant=True)], bad_above(100, 1)),
        ],
    )


def traffic() -> Row:
    return Row(
        "Topics",
        [
            lines("Records in", "Records that producers appended.", "cps",
                  [prom(f"sum by (topic) (rate({IN}_messagesin_total{{{TOPIC}}}[{RATE}]))", "{{topic}}")], width=8),
            lines("Bytes in", "Bytes of batches that producers appended.", "Bps",
                  [prom(f"sum by (topic) (rate({IN}_bytesin_total{{{TOPIC}}}[{RATE}]))", "{{topic}}")], width=8),
            lines("Bytes out to consumers", "Bytes of batches that consumers were sent.", "Bps",
                  [prom(f"sum by (topic) (rate({IN}_bytesout_total{{{TOPIC}}}[{RATE}]))", "{{topic}}")], width=8, links=[TO_GROUPS]),
            bars("Size", "Bytes of the leaders' logs; each replica takes as much again.", "bytes",
                 [prom(f"sum by (topic) (kafka_log_log_size{{{TOPIC}}})", "{{topic}}", instant=True)]),
            bars("Records held", "From the log start to the high watermark; compaction and markers leave gaps in it.", "short",
                 [prom(f"sum by (topic) ({P}_current_offset{{{TOPIC}}} - {P}_oldest_offset{{{TOPIC}}})", "{{topic}}", instant=True)]),
            lines("Refused", "Produce and Fetch requests that failed, per topic.", "cps",
                  [prom(f"sum by (topic) (rate({IN}_failedproducerequests_total{{{TOPIC}}}[{RATE}]))", "{{topic}} produce"),
                   prom(f"sum by (topic) (rate({IN}_failedfetchrequests_total{{{TOPIC}}}[{RATE}]))", "{{topic}} fetch")], bad_above(1), width=8),
        ],
    )


def partitions() -> Row:
    joined = "on (topic, partition) group_left ()"
    return Row(
        "Partitions",
        [
            table("Partitions", "Leader, replicas and offsets of each. A partition that is missing here has no leader.",
                  [prom(f"max by (topic, partition) ({P}_leader{{{PARTITION}}})", table=True),
                   prom(f"max by (topic, partition) ({P}_replicas{{{PARTITION}}})", table=True),
                   prom(f"max by (topic, partition) ({P}_in_sync_replica{{{PARTITION}}})", table=True),
                   prom(f"max by (topic, partition) ({P}_oldest_offset{{{PARTITION}}})", table=True),
                   prom(f"max by (topic, partition) ({P}_current_offset{{{PARTITION}}})", table=True),
                   prom(f"max by (topic, partition) (kafka_log_log_size{{{PARTITION}}})", table=True),
                   prom(f"max by (topic, partition) (kafka_log_log_numlogsegments{{{PARTITION}}})", table=True)],
                  {"topic": "Topic", "partition": "Partition", "Value #A": "Leader", "Value #B": "Replicas", "Value #C": "In sync",
                   "Value #D": "Log start", "Value #E": "High watermark", "Value #F": "Size", "Value #G": "Segments"},
                  {"Value #F": "bytes"}, width=24, height=10,
                  links={"topic": to_dashboard("millrace-topics", "This topic", topic="${__value.raw}")}),
            states("Leaders", "The broker that leads each partition; a change of colour is a change of leader.",
                   [prom(f"max by (topic, partition) ({P}_leader{{{PARTITION}}})", "{{topic}}-{{partition}}")], LEADERS, links=[TO_BROKERS], height=10),
            states("Replicas that are missing in the ISR", "0 is good; the number is how many are not in sync.",
                   [prom(f"max by (topic, partition) ({P}_replicas{{{PARTITION}}}) - {joined} max by (topic, partition) ({P}_in_sync_replica{{{PARTITION}}})",
                         "{{topic}}-{{partition}}")],
                   {0: ("in sync", "green"), 1: ("1 missing", "orange"), 2: ("2 missing", "red")}, height=10),
            lines("Records per second and partition", "Growth of the high watermark. Uneven lines: uneven keys.", "cps",
                  [prom(f"sum by (topic, partition) (rate({P}_current_offset{{{PARTITION}}}[{RATE}]))", "{{topic}}-{{partition}}")], width=8),
            lines("Followers behind, in records", "What the slowest follower of each partition lacks.", "short",
                  [prom(f"max by (topic, partition) (millrace_broker_replication_lag_records{{{PARTITION}}})", "{{topic}}-{{partition}}")], width=8),
            lines("Followers behind, in time", "How long ago the slowest follower of each partition had everything. replica.lag.time.max.ms (30 s) ends its place"
                  " in the ISR.", "s",
                  [prom(f"max by (topic, partition) (millrace_broker_replication_lag_seconds{{{PARTITION}}})", "{{topic}}-{{partition}}")], bad_above(30, 5), width=8),
        ],
    )


TOPICS = Dashboard(
    "millrace-topics",
    "Millrace / Topics and partitions",
    "Traffic and size of topics; leaders, ISR and offsets of partitions.",
    [
        PROMETHEUS_VARIABLE,
        choice("topic", "Topic", "label_values(kafka_topic_partitions, topic)"),
        choice("partition", "Partition", 'label_values(kafka_topic_partition_leader{topic=~"$topic"}, partition)'),
    ],
    [summary(), traffic(), partitions()],
)
