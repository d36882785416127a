"""What the ETL's and the archiver's dashboards have in common: the way of a record through a sink."""

from .dashboard import Row
from .panels import bad_above, good_above, heatmap, lines, stat, states, table
from .targets import prom, to_dashboard, to_traces, traces

RATE = "$__rate_interval"
TO_GROUPS = to_dashboard("millrace-groups", "Consumer groups")
TO_TOPICS = to_dashboard("millrace-topics", "Topics and partitions", topic="${__field.labels.topic}")
NAME = "{{sink}} {{topic}}"


def health(chosen: str) -> Row:
    """`chosen`: the matchers of the sinks and topics that the dashboard is about."""
    sink = chosen.split(",topic=")[0]
    on_time = (
        f"sum by (sink) (increase(millrace_sink_on_time_records_total{{{chosen}}}[$__range]))"
        f" / (sum by (sink) (increase(millrace_sink_records_total{{{chosen}}}[$__range])) > 0)"
    )
    return Row(
        "Health",
        [
            stat("Store reached", "Whether the last try to reach the store worked.", "short",
                 [prom(f"min by (sink) (millrace_sink_up{{{sink}}})", "{{sink}}", instant=True)], good_above(1, 1)),
            stat("On time", "Of the records stored in the time shown, those within the sink's objective. 99.9 % should be.", "percentunit",
                 [prom(on_time, "{{sink}}", instant=True)], good_above(0.999, 0.99), decimals=2),
            stat("Partitions stopped", "Stopped by an error that needs a person: the log names the ways out.", "short",
                 [prom(f"sum(millrace_sink_stopped{{{chosen}}})", instant=True)], bad_above(1)),
            stat("Dead letters", "Refused by the sink in the time shown.", "short",
                 [prom(f"sum by (sink) (increase(millrace_dead_letters_total{{{chosen}}}[$__range]))", "{{sink}}", instant=True)], bad_above(1), decimals=0),
            stat("Lost to retention", "Offsets that retention took before they were read, in the time shown.", "short",
                 [prom(f"sum by (sink) (increase(millrace_sink_gap_offsets_total{{{chosen}}}[$__range]))", "{{sink}}", instant=True)], bad_above(1), decimals=0),
            stat("Partitions assigned", "That the consumer group has given to the processes that run.", "short",
                 [prom(f"sum by (sink) (millrace_sink_assigned_partitions{{{sink}}})", "{{sink}}", instant=True)], links=[TO_GROUPS]),
        ],
    )


def flow(chosen: str, service: str) -> Row:
    return Row(
        "Records",
        [
            lines("Stored", "Records stored or dead-lettered.", "cps",
                  [prom(f"sum by (sink, topic) (rate(millrace_sink_records_total{{{chosen}}}[{RATE}]))", NAME)], width=8, links=[TO_TOPICS]),
            lines("Received and not stored", "Records taken from the brokers, less those stored: what builds up in memory and in batches.", "cps",
                  [prom(f"sum by (sink) (rate(millrace_sink_received_records_total{{{chosen}}}[{RATE}]))"
                        f" - sum by (sink) (rate(millrace_sink_records_total{{{chosen}}}[{RATE}]))", "{{sink}}")], width=8, least=None),
            lines("Bytes stored", "Bytes of the stored records' values.", "Bps",
                  [prom(f"sum by (sink, topic) (rate(millrace_sink_bytes_total{{{chosen}}}[{RATE}]))", NAME)], width=8),
            lines("Batches", "Batches stored; few and large is cheap, many and small is fresh.", "cps",
                  [prom(f"sum by (sink, topic) (rate(millrace_sink_batches_total{{{chosen}}}[{RATE}]))", NAME)], width=8),
            lines("Records in a batch", "Mean size of a batch.", "short",
                  [prom(f"sum by (sink, topic) (rate(millrace_sink_records_total{{{chosen}}}[{RATE}]))"
                        f" / (sum by (sink, topic) (rate(millrace_sink_batches_total{{{chosen}}}[{RATE}])) > 0)", NAME)], width=8),
            lines("Held in memory", "Bytes of records that were received and are not stored. Bounded; fetching pauses when it is full.", "bytes",
                  [prom(f"sum by (sink) (millrace_sink_buffered_bytes{{{chosen.split(',topic=')[0]}}})", "{{sink}}")], width=8,
                  links=[to_traces(service)]),
        ],
    )


def latency(chosen: str, service: str, slow: float) -> Row:
    """`slow`: the objective, seconds, as a threshold."""
    fresh = f"rate(millrace_sink_freshness_seconds_bucket{{{chosen}}}[{RATE}])"
    write = f"sum by (sink, topic, le) (rate(millrace_sink_write_seconds_bucket{{{chosen}}}[{RATE}]))"
    stage = f"sum by (sink, stage) (rate(millrace_sink_stage_seconds_sum{{{chosen}}}[{RATE}]))"
    return Row(
        "Latency",
        [
            lines("Freshness: 99 of 100 records are stored within", "From the record's timestamp until it is stored.", "s",
                  [prom(f"histogram_quantile(0.99, sum by (sink, topic, le) ({fresh}))", NAME)], bad_above(slow),
                  links=[to_traces(service, min_duration="1s")]),
            heatmap("Freshness of every record", "How old records are when they are stored.", "s", [prom(f"sum by (le) ({fresh})", "{{le}}", heatmap=True)]),
            lines("Where a batch's time goes", "Mean time per batch: collecting it, decoding, writing to the store, committing the position.", "s",
                  [prom(f"{stage} / on (sink) group_left () (sum by (sink) (rate(millrace_sink_batches_total{{{chosen}}}[{RATE}])) > 0)", "{{sink}} {{stage}}")],
                  stacked=True, width=8),
            lines("Writing a batch: 99 of 100 take at most", "One whole try to store a batch.", "s",
                  [prom(f"histogram_quantile(0.99, {write})", NAME)], bad_above(5, 1), width=8, links=[to_traces(service, min_duration="500ms")]),
            lines("Age of the newest stored record", "Now, less the timestamp of the newest record that is stored. It grows while nothing is produced, too.", "s",
                  [prom(f"min by (sink, topic) (millrace_sink_newest_event_age_seconds{{{chosen}}})", NAME)], width=8),
        ],
    )


def behind(chosen: str, slow: float) -> Row:
    return Row(
        "Behind",
        [
            lines("Records behind", "Between the sink's position and the ends of the logs.", "short",
                  [prom(f"sum by (sink, topic) (millrace_sink_lag_records{{{chosen}}})", NAME)], width=8, links=[TO_GROUPS]),
            lines("Time behind", "Age of the next record to be stored, 0 where there is none.", "s",
                  [prom(f"max by (sink, topic) (millrace_sink_lag_seconds{{{chosen}}})", NAME)], bad_above(3 * slow, slow), width=8, links=[TO_GROUPS]),
            lines("Oldest record in memory", "Since the oldest record that is held in memory was received.", "s",
                  [prom(f"max by (sink, topic) (millrace_sink_oldest_unflushed_seconds{{{chosen}}})", NAME)], bad_above(3 * slow, slow), width=8),
            table("Partitions", "Position and lag of each.",
                  [prom(f"max by (sink, topic, partition) (millrace_sink_position{{{chosen}}})", table=True),
                   prom(f"max by (sink, topic, partition) (millrace_sink_lag_records{{{chosen}}})", table=True),
                   prom(f"max by (sink, topic, partition) (millrace_sink_lag_seconds{{{chosen}}})", table=True),
                   prom(f"max by (sink, topic, partition) (millrace_sink_stopped{{{chosen}}})", table=True)],
                  {"sink": "Sink", "topic": "Topic", "partition": "Partition", "Value #A": "Position", "Value #B": "Records behind", "Value #C": "Time behind",
                   "Value #D": "Stopped"},
                  {"Value #C": "s"}, thresholds={"Value #D": bad_above(1)}, sort="Records behind"),
        ],
    )


def trouble(chosen: str, job: str) -> Row:
    sink = chosen.split(",topic=")[0]
    return Row(
        "Trouble",
        [
            lines("Tries that are made again", "By what failed: the brokers, the store, or the position that another process has moved.", "cps",
                  [prom(f"sum by (sink, cause) (rate(millrace_sink_retries_total{{{chosen}}}[{RATE}]))", "{{sink}} {{cause}}")], width=8),
            lines("Dead letters", "Records that the sink refused; they lie in the topic's .dlq with their reason.", "cps",
                  [prom(f"sum by (sink, topic) (rate(millrace_dead_letters_total{{{chosen}}}[{RATE}]))", NAME)], width=8),
            lines("Pauses and rebalances", "Fetching paused because the buffer was full, and changes of the partitions' owners.", "cps",
                  [prom(f"sum by (sink) (rate(millrace_sink_pauses_total{{{chosen}}}[{RATE}]))", "{{sink}} pauses"),
                   prom(f"sum by (sink) (rate(millrace_sink_rebalances_total{{{sink}}}[{RATE}]))", "{{sink}} rebalances")], width=8),
            states("Processes", "Whether Prometheus reaches each process, and whether it says that it is ready.",
                   [prom(f'max by (instance) (up{{job="{job}"}})', "{{instance}} answers"), prom(f'min by (instance) (millrace_ready{{job="{job}"}})', "{{instance}} ready")],
                   {0: ("no", "red"), 1: ("yes", "green")}, width=8, height=7),
            lines("CPU", "Processor time per second; 100 % is one core.", "percentunit",
                  [prom(f'sum by (instance) (rate(process_cpu_seconds_total{{job="{job}"}}[{RATE}]))', "{{instance}}")], width=8, height=7),
            lines("Memory", "Resident memory.", "bytes",
                  [prom(f'max by (instance) (process_resident_memory_bytes{{job="{job}"}})', "{{instance}}")], width=8, height=7),
        ],
    )


def traced(service: str) -> Row:
    return Row(
        "Traces (with tracing switched on)",
        [table("Newest batches", "From poll to the store, linked to the producers' spans. `millrace trace TOPIC PARTITION OFFSET` shows one record's way.",
               [traces(service)], width=12),
         table("Slow batches", "Those that took over a second.", [traces(service, "1s")], width=12)],
        collapsed=True,
    )
