"""Mesh overview: is every record arriving, how late, what is broken; from generator to sink in one picture."""

from .dashboard import JAEGER_VARIABLE, PROMETHEUS_VARIABLE, Dashboard, Row, choice
from .panels import bad_above, bars, good_above, lines, stat, states, table
from .targets import prom, to_dashboard, to_traces

RATE = "$__rate_interval"
PARTS = "broker|weblog-generator|bakery-producer|etl|archiver"
TO_BROKERS = to_dashboard("millrace-brokers", "Brokers")
TO_TOPICS = to_dashboard("millrace-topics", "Topics and partitions")
TO_GROUPS = to_dashboard("millrace-groups", "Consumer groups")
TO_ETL = to_dashboard("millrace-etl", "ETL")
TO_ARCHIVER = to_dashboard("millrace-archiver", "Archiver")


def at_a_glance() -> Row:
    """Eight numbers; all of them green is the answer to most questions."""
    late = (
        'sum by (sink) (increase(millrace_sink_on_time_records_total{topic=~"$topic"}[$__range]))'
        ' / (sum by (sink) (increase(millrace_sink_records_total{topic=~"$topic"}[$__range])) > 0)'
    )
    return Row(
        "At a glance",
        [
            stat(
                "Alerts that fire",
                "Critical and warning alerts of deploy/prometheus/rules. The table below names them; docs/runbooks.md says what to do.",
                "short",
                [prom('count(ALERTS{alertstate="firing"}) or vector(0)', instant=True)],
                bad_above(1),
                width=3,
            ),
            stat(
                "Parts that are down",
                "Brokers and services that Prometheus cannot scrape.",
                "short",
                [prom(f'count(up{{job=~"{PARTS}"}} == 0) or vector(0)', instant=True)],
                bad_above(1),
                width=3,
                links=[TO_BROKERS],
            ),
            stat(
                "Partitions without a leader",
                "Nothing can be produced to them or read from them. As the active controller sees it.",
                "short",
                [prom("max(kafka_controller_kafkacontroller_offlinepartitionscount)", instant=True)],
                bad_above(1),
                width=3,
                links=[TO_TOPICS],
            ),
            stat(
                "Partitions not fully replicated",
                "Some replica is not in sync: the loss of another broker would hurt more than it should.",
                "short",
                [prom("sum(kafka_server_replicamanager_underreplicatedpartitions)", instant=True)],
                bad_above(1),
                width=3,
                links=[TO_TOPICS],
            ),
            stat(
                "On time, per sink",
                "Records stored within the sink's objective (10 s; in S3 the rotation interval and 10 s), of all that were stored in the"
                " time shown. The objective is 99.9 %.",
                "percentunit",
                [prom(late, "{{sink}}", instant=True)],
                good_above(0.999, 0.99),
                width=6,
                decimals=2,
                links=[TO_ETL, TO_ARCHIVER],
            ),
            stat(
                "Dead letters",
                "Records that a sink refused in the time shown, and that lie in a .dlq topic with their reason.",
                "short",
                [prom('sum(increase(millrace_dead_letters_total{topic=~"$topic"}[$__range]))', instant=True)],
                bad_above(1),
                width=3,
                decimals=0,
            ),
            stat(
                "Lost to retention",
                "Offsets that retention took before a sink had read them, in the time shown.",
                "short",
                [prom('sum(increase(millrace_sink_gap_offsets_total{topic=~"$topic"}[$__range]))', instant=True)],
                bad_above(1),
                width=3,
                decimals=0,
            ),
        ],
    )


def the_way() -> Row:
    """The same records, counted at each station: all lines lie on each other while nothing is held up."""
    topic = 'topic=~"$topic"'
    stations = [
        ("1 produced", f"sum(rate(millrace_generator_records_total{{{topic}}}[{RATE}]))"),
        ("2 acknowledged", f"sum(rate(millrace_generator_acked_total{{{topic}}}[{RATE}]))"),
        ("3 in the brokers", f"sum(rate(kafka_server_brokertopicmetrics_messagesin_total{{{topic}}}[{RATE}]))"),
        ("4 PostgreSQL", f'sum(rate(millrace_sink_records_total{{sink="postgres",{topic}}}[{RATE}]))'),
        ("4 OpenSearch", f'sum(rate(millrace_sink_records_total{{sink="opensearch",{topic}}}[{RATE}]))'),
        ("4 S3", f'sum(rate(millrace_sink_records_total{{sink="s3",{topic}}}[{RATE}]))'),
    ]
    links = {"4 PostgreSQL": TO_ETL, "4 OpenSearch": TO_ETL, "4 S3": TO_ARCHIVER, "3 in the brokers": TO_TOPICS}
    pictures = [
        stat(name, f"Records per second at this station of the way: {name[2:]}.", "cps", [prom(query)], width=4, links=[links.get(name, TO_BROKERS)])
        for name, query in stations
    ]
    return Row(
        "The way of the records: generator, brokers, sinks",
        [
            *pictures,
            lines(
                "Is every record arriving? Records per second at each station",
                "Every record passes every station, so that the lines lie on each other. A line that falls shows where records are held up;"
                " one that rises above the others is catching up.",
                "cps",
                [prom(query, name) for name, query in stations],
                height=10,
                links=[TO_TOPICS],
            ),
            lines(
                "Records on their way",
                "Produced and not acknowledged yet, or acknowledged and not yet in a sink. S3 waits for its rotation.",
                "short",
                [
                    prom(f'sum(millrace_generator_unacked_records{{{topic}}})', "not acknowledged"),
                    prom(f'sum by (sink) (millrace_sink_lag_records{{{topic}}})', "not in {{sink}}"),
                ],
                height=10,
                links=[TO_GROUPS],
            ),
        ],
    )


def how_late() -> Row:
    topic = 'topic=~"$topic"'
    freshness = f"sum by (sink, le) (rate(millrace_sink_freshness_seconds_bucket{{{topic}}}[{RATE}]))"
    return Row(
        "How late?",
        [
            lines(
                "Freshness: from a record's timestamp until it is stored",
                "Half of the records and 99 of 100 are stored within this time. The dashed line is the objective of PostgreSQL and OpenSearch.",
                "s",
                [
                    prom(f"histogram_quantile(0.5, {freshness})", "{{sink}} half"),
                    prom(f"histogram_quantile(0.99, {freshness})", "{{sink}} 99 %"),
                ],
                bad_above(10),
                width=8,
                links=[TO_ETL, TO_ARCHIVER, to_traces("etl", min_duration="1s")],
            ),
            lines(
                "Age of the oldest record that is not stored",
                "Grows by a second every second while a sink takes nothing.",
                "s",
                [prom(f"max by (sink) (millrace_sink_lag_seconds{{{topic}}})", "{{sink}}")],
                bad_above(30, 10),
                width=8,
                links=[TO_GROUPS],
            ),
            lines(
                "How fast the objective's budget burns",
                "The share of late records over the one in a thousand that may be late, in the last 5 minutes and the last hour. 1 uses the budget"
                " up exactly; 14.4 for an hour pages.",
                "short",
                [
                    prom(f"millrace:sink_late_records:ratio_rate5m{{{topic}}} / 0.001", "{{sink}} {{topic}} 5 m"),
                    prom(f"millrace:sink_late_records:ratio_rate1h{{{topic}}} / 0.001", "{{sink}} {{topic}} 1 h"),
                ],
                bad_above(14.4, 1),
                width=8,
            ),
            lines(
                "The brokers alone: from produce to acknowledgement, and to the consumer",
                "Every broker produces a record a second to a topic of its own with acks=all and reads it back. This is the cluster without generators"
                " and sinks.",
                "s",
                [
                    prom(f"histogram_quantile(0.99, sum by (le) (rate(millrace_probe_ack_seconds_bucket[{RATE}])))", "acknowledged, 99 %"),
                    prom(f"histogram_quantile(0.99, sum by (le) (rate(millrace_probe_end_to_end_seconds_bucket[{RATE}])))", "read back, 99 %"),
                ],
                bad_above(1),
                width=12,
                links=[TO_BROKERS],
            ),
            lines(
                "From handing a record over to its acknowledgement",
                "What the generators wait for the brokers. Batching (linger) is in it.",
                "s",
                [
                    prom(
                        f"histogram_quantile(0.99, sum by (topic, le) (rate(millrace_generator_ack_seconds_bucket{{{topic}}}[{RATE}])))",
                        "{{topic}} 99 %",
                    )
                ],
                bad_above(2),
                width=12,
                links=[to_traces("weblog-generator"), to_traces("bakery-producer")],
            ),
        ],
    )


def what_is_broken() -> Row:
    names = {"alertname": "Alert", "severity": "Severity", "job": "Job", "instance": "Instance", "sink": "Sink", "topic": "Topic"}
    up = {0: ("down", "red"), 1: ("up", "green")}
    return Row(
        "What is broken?",
        [
            table(
                "Alerts that fire",
                "Each has a runbook of its name in docs/runbooks.md. Empty is good.",
                [prom('ALERTS{alertstate="firing"}', table=True)],
                names,
                width=12,
                links={"Alert": {"title": "Alerts", "url": "/alerting/list?search=${__value.raw}"}},
            ),
            states(
                "Parts",
                "Whether Prometheus reaches each part.",
                [prom(f'max by (instance) (up{{job=~"{PARTS}"}})', "{{instance}}")],
                up,
                width=12,
                height=9,
                links=[TO_BROKERS],
            ),
            states(
                "Sinks",
                "Whether the last try to reach the store worked.",
                [prom("min by (sink) (millrace_sink_up)", "{{sink}}")],
                up,
                width=8,
                height=6,
                links=[TO_ETL, TO_ARCHIVER],
            ),
            states(
                "Ready",
                "What /readyz of each part says.",
                [prom("min by (instance) (millrace_ready)", "{{instance}}")],
                {0: ("not ready", "red"), 1: ("ready", "green")},
                width=8,
                height=6,
            ),
            lines(
                "Errors per second",
                "Tries of sinks that failed and are made again, dead letters, records that the generators had refused, and spans that no"
                " collector took.",
                "cps",
                [
                    prom(f"sum by (sink) (rate(millrace_sink_retries_total[{RATE}]))", "{{sink}} tries again"),
                    prom(f"sum by (sink) (rate(millrace_dead_letters_total[{RATE}]))", "{{sink}} dead letters"),
                    prom(f"sum(rate(millrace_generator_failed_total[{RATE}]))", "refused to generators"),
                    prom(f'sum(rate(millrace_trace_spans_total{{outcome=~"dropped|failed"}}[{RATE}]))', "spans lost"),
                ],
                width=8,
                height=6,
            ),
        ],
    )


def parts() -> Row:
    return Row(
        "Parts",
        [
            table(
                "What runs",
                "Version and age of every process. The table behind every deployment annotation.",
                [
                    prom("max by (instance, service, version) (millrace_build_info)", table=True),
                    prom(f'time() - max by (instance) (process_start_time_seconds{{job=~"{PARTS}"}})', table=True),
                    prom(f'max by (instance) (process_resident_memory_bytes{{job=~"{PARTS}"}})', table=True),
                    prom(f'sum by (instance) (rate(process_cpu_seconds_total{{job=~"{PARTS}"}}[1m]))', table=True),
                ],
                {
                    "instance": "Instance",
                    "service": "Service",
                    "version": "Version",
                    "Value #B": "Age",
                    "Value #C": "Memory",
                    "Value #D": "CPU",
                },
                {"Value #B": "s", "Value #C": "bytes", "Value #D": "percentunit"},
                width=12,
                links={"instance": to_dashboard("millrace-brokers", "Broker", instance="${__value.raw}")},
            ),
            bars(
                "Memory",
                "Resident memory of each process.",
                "bytes",
                [prom(f'max by (instance) (process_resident_memory_bytes{{job=~"{PARTS}"}})', "{{instance}}", instant=True)],
                bad_above(2_000_000_000, 1_000_000_000),
                width=6,
                height=9,
            ),
            lines(
                "CPU",
                "Processor time per second of each process; 100 % is one core.",
                "percentunit",
                [prom(f'sum by (instance) (rate(process_cpu_seconds_total{{job=~"{PARTS}"}}[{RATE}]))', "{{instance}}")],
                width=6,
                height=9,
            ),
        ],
    )


MESH = Dashboard(
    "millrace-mesh",
    "Millrace / Mesh overview",
    "Is every record arriving, how late, what is broken: from generator to sink in one picture.",
    [
        PROMETHEUS_VARIABLE,
        JAEGER_VARIABLE,
        choice("topic", "Topic", "label_values(millrace_sink_records_total, topic)"),
    ],
    [at_a_glance(), the_way(), how_late(), what_is_broken(), parts()],
)
