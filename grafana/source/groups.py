"""Consumer groups: members, lag in records and in time, and how fast each group reads."""

from .dashboard import PROMETHEUS_VARIABLE, Dashboard, Row, choice
from .panels import bad_above, lines, stat, states, table
from .targets import prom, to_dashboard

RATE = "$__rate_interval"
G = 'consumergroup=~"$group"'
GT = 'consumergroup=~"$group",topic=~"$topic"'
TO_TOPICS = to_dashboard("millrace-topics", "Topics and partitions", topic="${__field.labels.topic}")
TO_ETL = to_dashboard("millrace-etl", "ETL")
TO_ARCHIVER = to_dashboard("millrace-archiver", "Archiver")

GROUPS = Dashboard(
    "millrace-groups",
    "Millrace / Consumer groups",
    "Members, lag in records and in time, and the speed of every consumer group, as the group coordinators see them.",
    [
        PROMETHEUS_VARIABLE,
        choice("group", "Group", "label_values(kafka_consumergroup_members, consumergroup)"),
        choice("topic", "Topic", "label_values(kafka_consumergroup_current_offset_sum, topic)"),
    ],
    [
        Row(
            "Groups",
            [
                stat("Groups", "Groups that the brokers coordinate.", "short",
                     [prom("sum(kafka_coordinator_group_groupmetadatamanager_numgroups)", instant=True)], width=6),
                stat("Members", "Members of the chosen groups.", "short", [prom(f"sum(kafka_consumergroup_members{{{G}}})", instant=True)], width=6),
                stat("Records behind", "Of the chosen groups and topics.", "short", [prom(f"sum(kafka_consumergroup_lag{{{GT}}})")], width=6),
                stat("Time behind", "Age of the oldest record that a chosen group has not committed.", "s",
                     [prom(f"max(millrace_consumergroup_lag_seconds{{{GT}}})")], bad_above(300, 60), width=6),
                lines("Records behind", "Between each group's committed offsets and the ends of the logs.", "short",
                      [prom(f"sum by (consumergroup, topic) (kafka_consumergroup_lag{{{GT}}})", "{{consumergroup}} {{topic}}")], links=[TO_TOPICS, TO_ETL, TO_ARCHIVER]),
                lines("Time behind", "How old the oldest record is that the group has not committed. The alert ConsumerGroupLag fires at five minutes.", "s",
                      [prom(f"max by (consumergroup, topic) (millrace_consumergroup_lag_seconds{{{GT}}})", "{{consumergroup}} {{topic}}")],
                      bad_above(300, 60), links=[TO_TOPICS]),
                lines("Committed and produced", "Records per second that a group commits, beside those that are produced to its topics: what lies lower falls behind"
                      " or catches up.", "cps",
                      [prom(f"sum by (consumergroup, topic) (rate(kafka_consumergroup_current_offset{{{GT}}}[{RATE}]))", "{{consumergroup}} {{topic}}"),
                       prom(f'sum by (topic) (rate(kafka_topic_partition_current_offset{{topic=~"$topic"}}[{RATE}]))', "produced to {{topic}}")]),
                lines("Members", "A number that goes up and down: consumers that are killed or too slow (max.poll.interval.ms).", "short",
                      [prom(f"max by (consumergroup) (kafka_consumergroup_members{{{G}}})", "{{consumergroup}}")]),
                states("State", "Stable is good; PreparingRebalance and CompletingRebalance should be short.",
                       [prom(f"max by (consumergroup, state) (millrace_consumergroup_state{{{G}}}) > 0", "{{consumergroup}} {{state}}")],
                       {1: ("in this state", "blue")}),
                lines("Group requests", "Joins, syncs, heartbeats and commits that the brokers answer.", "reqps",
                      [prom("sum by (request) (rate(kafka_network_requestmetrics_requests_total"
                            f'{{request=~"JoinGroup|SyncGroup|Heartbeat|OffsetCommit|OffsetFetch|LeaveGroup"}}[{RATE}]))', "{{request}}")]),
            ],
        ),
        Row(
            "Partitions",
            [
                table("Lag of each partition", "What each group has committed, and what it lacks.",
                      [prom(f"max by (consumergroup, topic, partition) (kafka_consumergroup_current_offset{{{GT}}})", table=True),
                       prom(f"max by (consumergroup, topic, partition) (kafka_consumergroup_lag{{{GT}}})", table=True),
                       prom(f"max by (consumergroup, topic, partition) (millrace_consumergroup_lag_seconds{{{GT}}})", table=True)],
                      {"consumergroup": "Group", "topic": "Topic", "partition": "Partition", "Value #A": "Committed", "Value #B": "Records behind",
                       "Value #C": "Time behind"},
                      {"Value #C": "s"}, height=12, thresholds={"Value #C": bad_above(300, 60)}, sort="Records behind",
                      links={"topic": to_dashboard("millrace-topics", "Topic", topic="${__value.raw}")}),
            ],
        ),
    ],
)
