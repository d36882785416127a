"""ETL (PostgreSQL, OpenSearch) and archiver (S3)."""

from . import sinks
from .dashboard import JAEGER_VARIABLE, PROMETHEUS_VARIABLE, Dashboard, Row, choice
from .panels import lines, stat
from .targets import prom

RATE = "$__rate_interval"
OF_ETL = 'job="etl",sink=~"$sink",topic=~"$topic"'
OF_ARCHIVER = 'job="archiver",topic=~"$topic"'

ETL = Dashboard(
    "millrace-etl",
    "Millrace / ETL",
    "The way of records into PostgreSQL and OpenSearch: rates, latency by stage, freshness, lag and trouble.",
    [
        PROMETHEUS_VARIABLE,
        JAEGER_VARIABLE,
        choice("sink", "Sink", 'label_values(millrace_sink_up{job="etl"}, sink)'),
        choice("topic", "Topic", 'label_values(millrace_sink_records_total{job="etl"}, topic)'),
    ],
    [
        sinks.health(OF_ETL),
        sinks.flow(OF_ETL, "etl"),
        sinks.latency(OF_ETL, "etl", 10),
        sinks.behind(OF_ETL, 10),
        sinks.trouble(OF_ETL, "etl"),
        sinks.traced("etl"),
    ],
)

OBJECTS = Row(
    "Objects",
    [
        stat("Objects", "Objects written in the time shown.", "short",
             [prom('sum(increase(millrace_archiver_objects_total{topic=~"$topic"}[$__range]))', instant=True)], decimals=0, height=8),
        stat("The objective", "The rotation interval and 10 s: how old a record may be when its object is stored.", "s",
             [prom("max(millrace_sink_objective_seconds{job=\"archiver\"})", instant=True)], height=8),
        lines("Objects per second", "Each is one PUT, complete or absent.", "cps",
              [prom(f'sum by (topic) (rate(millrace_archiver_objects_total{{topic=~"$topic"}}[{RATE}]))', "{{topic}}")], width=8),
        lines("Bytes of an object", "Mean size. flush.size records, the rotation interval or 64 MiB end an object.", "bytes",
              [prom(f'sum by (topic) (rate(millrace_archiver_object_bytes_total{{topic=~"$topic"}}[{RATE}]))'
                    f' / (sum by (topic) (rate(millrace_archiver_objects_total{{topic=~"$topic"}}[{RATE}])) > 0)', "{{topic}}")], width=8),
    ],
)

ARCHIVER = Dashboard(
    "millrace-archiver",
    "Millrace / Archiver",
    "The way of records into objects in S3: rates, latency by stage, freshness, lag and trouble.",
    [
        PROMETHEUS_VARIABLE,
        JAEGER_VARIABLE,
        choice("topic", "Topic", 'label_values(millrace_sink_records_total{job="archiver"}, topic)'),
    ],
    [
        sinks.health(OF_ARCHIVER),
        OBJECTS,
        sinks.flow(OF_ARCHIVER, "archiver"),
        sinks.latency(OF_ARCHIVER, "archiver", 20),
        sinks.behind(OF_ARCHIVER, 20),
        sinks.trouble(OF_ARCHIVER, "archiver"),
        sinks.traced("archiver"),
    ],
)
