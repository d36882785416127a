"""Brokers: their health, requests, replication, disks, quorum and what they take of the machine."""

from .dashboard import JAEGER_VARIABLE, PROMETHEUS_VARIABLE, Dashboard, Row, choice
from .panels import bad_above, good_above, heatmap, lines, stat, states, steps, table
from .targets import prom, to_dashboard, to_traces, traces

RATE = "$__rate_interval"
ONE = 'job="broker",instance=~"$instance"'
TO_TOPICS = to_dashboard("millrace-topics", "Topics and partitions")
CONTROLLER = "kafka_controller_kafkacontroller"
REPLICAS = "kafka_server_replicamanager"


def health() -> Row:
    only_one = steps((None, "red"), (1, "green"), (2, "red"))
    return Row(
        "Health of the cluster",
        [
            stat("Active controllers", "Exactly one broker is the active controller.", "short",
                 [prom(f"sum({CONTROLLER}_activecontrollercount)", instant=True)], only_one, width=3),
            stat("Brokers", "Brokers that are registered and not fenced, as the active controller sees it.", "short",
                 [prom("max(kafka_brokers)", instant=True)], width=3),
            stat("Fenced brokers", "Registered brokers that the controller does not hear from.", "short",
                 [prom(f"max({CONTROLLER}_fencedbrokercount)", instant=True)], bad_above(1), width=3),
            stat("Offline partitions", "Partitions without a leader.", "short",
                 [prom(f"max({CONTROLLER}_offlinepartitionscount)", instant=True)], bad_above(1), width=3, links=[TO_TOPICS]),
            stat("Under min ISR", "Partitions that refuse acks=all.", "short",
                 [prom(f"sum({REPLICAS}_underminisrpartitioncount)", instant=True)], bad_above(1), width=3, links=[TO_TOPICS]),
            stat("Under-replicated", "Partitions with a replica that is not in sync.", "short",
                 [prom(f"sum({REPLICAS}_underreplicatedpartitions)", instant=True)], bad_above(1), width=3, links=[TO_TOPICS]),
            stat("Unclean elections", "Leaders elected from outside the ISR and the ELR since the active controller started; each may have lost records.",
                 "short", [prom("sum(kafka_controller_controllerstats_uncleanleaderelections_total)", instant=True)], bad_above(1), width=3),
            stat("Log directories offline", "Directories that failed a write or an fsync.", "short",
                 [prom("sum(kafka_log_logmanager_offlinelogdirectorycount)", instant=True)], bad_above(1), width=3),
            states("Who is the active controller", "1 on the active controller. It moves when the broker that has it stops.",
                   [prom(f'max by (instance) ({CONTROLLER}_activecontrollercount{{{ONE}}})', "{{instance}}")],
                   {0: ("follower", "#555555"), 1: ("active", "blue")}, height=6),
            states("Ready", "What /readyz of each broker says: back in the ISR of each of its partitions.",
                   [prom(f"min by (instance) (millrace_ready{{{ONE}}})", "{{instance}}")],
                   {0: ("not ready", "red"), 1: ("ready", "green")}, height=6),
        ],
    )


def throughput() -> Row:
    topics = "kafka_server_brokertopicmetrics"
    return Row(
        "Throughput",
        [
            lines("Records in", "Records that producers appended, counted where their partition is led.", "cps",
                  [prom(f"sum by (instance) (rate({topics}_messagesin_total{{{ONE}}}[{RATE}]))", "{{instance}}")], width=8, stacked=True),
            lines("Bytes in", "Bytes of batches that producers appended.", "Bps",
                  [prom(f"sum by (instance) (rate({topics}_bytesin_total{{{ONE}}}[{RATE}]))", "{{instance}}")], width=8, stacked=True),
            lines("Bytes out to consumers", "Bytes of batches that consumers were sent.", "Bps",
                  [prom(f"sum by (instance) (rate({topics}_bytesout_total{{{ONE}}}[{RATE}]))", "{{instance}}")], width=8, stacked=True),
            lines("Replication", "Bytes that followers fetched from their leaders.", "Bps",
                  [prom(f"sum by (instance) (rate({topics}_replicationbytesin_total{{{ONE}}}[{RATE}]))", "{{instance}} in"),
                   prom(f"sum by (instance) (rate({topics}_replicationbytesout_total{{{ONE}}}[{RATE}]))", "{{instance}} out")], width=8),
            lines("Leaders and replicas", "Partitions led and held by each broker. Leaders should be even.", "short",
                  [prom(f"max by (instance) ({REPLICAS}_leadercount{{{ONE}}})", "{{instance}} leads"),
                   prom(f"max by (instance) ({REPLICAS}_partitioncount{{{ONE}}})", "{{instance}} holds")], width=8),
            lines("Connections", "Open connections per listener.", "short",
                  [prom(f"sum by (instance, listener) (kafka_server_socket_server_metrics_connection_count{{{ONE}}})",
                        "{{instance}} {{listener}}")], width=8),
        ],
    )


def requests() -> Row:
    duration = "millrace_broker_request_duration_seconds"
    phases = f'sum by (phase) (rate(millrace_broker_request_phase_seconds_sum{{{ONE},request=~"$request"}}[{RATE}]))'
    count = f'sum(rate(millrace_broker_request_phase_seconds_count{{{ONE},request=~"$request",phase="local"}}[{RATE}]))'
    return Row(
        "Requests",
        [
            lines("Requests per second", "By Kafka's name of the API; Fetch is split into consumers' and followers'.", "reqps",
                  [prom(f'sum by (request) (rate(kafka_network_requestmetrics_requests_total{{{ONE},request=~"$request"}}[{RATE}]))', "{{request}}")],
                  width=8),
            lines("Latency: 99 of 100 requests are answered within", "From the arrival of the whole request until its answer is written. A consumer's Fetch"
                  " waits for records as long as it asked to.", "s",
                  [prom(f'histogram_quantile(0.99, sum by (request, le) (rate({duration}_bucket{{{ONE},request=~"$request"}}[{RATE}])))', "{{request}}")],
                  width=8, links=[to_traces("millrace-broker", min_duration="100ms")]),
            lines("Errors per second", "Error codes in answers, by Kafka's name. NOT_LEADER_OR_FOLLOWER after a failover is part of life.", "cps",
                  [prom(f'sum by (request, error) (rate(kafka_network_requestmetrics_errors_total{{{ONE},request=~"$request",error!="NONE"}}[{RATE}]))',
                        "{{request}} {{error}}")], width=8),
            lines("Where the time goes, per request", "Mean time of the chosen requests in each phase: waiting for a worker, at work here, waiting for replicas"
                  " or records, and writing the answer.", "s",
                  [prom(f"{phases} / on () group_left () ({count} > 0)", "{{phase}}")], stacked=True),
            heatmap("Produce: how long requests take", "Every Produce request by its whole duration.", "s",
                    [prom(f'sum by (le) (increase({duration}_bucket{{{ONE},request="Produce"}}[{RATE}]))', "{{le}}", heatmap=True)]),
            lines("Idle share of the workers", "Share of time in which the threads that serve requests have nothing to do. Near zero: the broker is the bottleneck.",
                  "percentunit",
                  [prom(f"min by (instance) (kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent{{{ONE}}})", "{{instance}} handlers"),
                   prom(f"min by (instance) (kafka_network_socketserver_networkprocessoravgidle_percent{{{ONE}}})", "{{instance}} network")],
                  good_above(0.3, 0.1), width=8, most=1),
            lines("Connections opened, closed and refused", "Refused: max.connections or max.connections.per.ip was reached.", "cps",
                  [prom(f"sum by (instance) (rate(kafka_server_socket_server_metrics_connection_creation_total{{{ONE}}}[{RATE}]))", "{{instance}} opened"),
                   prom(f"sum by (instance) (rate(kafka_server_socket_server_metrics_connection_close_total{{{ONE}}}[{RATE}]))", "{{instance}} closed"),
                   prom(f"sum by (instance) (rate(millrace_broker_connections_refused_total{{{ONE}}}[{RATE}]))", "{{instance}} refused")], width=8),
            lines("End to end", "The built-in probe: one record a second and broker, acks=all, read back.", "s",
                  [prom(f"histogram_quantile(0.99, sum by (instance, le) (rate(millrace_probe_end_to_end_seconds_bucket{{{ONE}}}[{RATE}])))", "{{instance}} 99 %"),
                   prom(f"histogram_quantile(0.5, sum by (instance, le) (rate(millrace_probe_end_to_end_seconds_bucket{{{ONE}}}[{RATE}])))", "{{instance}} half")],
                  bad_above(1), width=8),
        ],
    )


def replication() -> Row:
    return Row(
        "Replication and elections",
        [
            lines("Followers behind, in time", "How long ago the slowest follower of each leader had everything. 0 is caught up.", "s",
                  [prom(f"max by (instance) (millrace_broker_replication_lag_seconds{{{ONE}}})", "{{instance}}")], bad_above(30, 5), width=8, links=[TO_TOPICS]),
            lines("ISR shrinks and expands", "A replica that leaves the ISR, and one that comes back. Both without a restart: a broker flaps.", "cps",
                  [prom(f"sum by (instance) (rate({REPLICAS}_isrshrinks_total{{{ONE}}}[{RATE}]))", "{{instance}} shrinks"),
                   prom(f"sum by (instance) (rate({REPLICAS}_isrexpands_total{{{ONE}}}[{RATE}]))", "{{instance}} expands")], width=8),
            lines("Leader elections", "Partitions that got another leader, as the active controller counts them.", "cps",
                  [prom(f"sum by (kind) (rate(millrace_controller_leader_elections_total[{RATE}]))", "{{kind}}")], width=8),
            lines("Quorum: entries not applied", "Committed metadata that a broker has not taken over yet.", "short",
                  [prom(f"max by (instance) (millrace_quorum_apply_lag_entries{{{ONE}}})", "{{instance}}")], bad_above(1000), width=8),
            lines("Quorum: term", "Grows by one with each change of the active controller.", "short",
                  [prom(f"max by (instance) (millrace_quorum_term{{{ONE}}})", "{{instance}}")], width=8, least=None),
            lines("Proposals under way", "Changes to the metadata that the active controller has accepted and not applied.", "short",
                  [prom("max(millrace_controller_pending_proposals)", "pending")], bad_above(100), width=8),
        ],
    )


def disks() -> Row:
    append = f"sum by (instance, le) (rate(millrace_broker_append_seconds_bucket{{{ONE}}}[{RATE}]))"
    fsync = f"sum by (instance, log, le) (rate(millrace_broker_fsync_seconds_bucket{{{ONE}}}[{RATE}]))"
    return Row(
        "Disks",
        [
            lines("Free space", "What the file system of each log directory has left. Below 256 MiB (log.min.free.bytes) produce is refused.", "bytes",
                  [prom(f"min by (instance, dir) (millrace_broker_disk_free_bytes{{{ONE}}})", "{{instance}} {{dir}}")], good_above(5e9, 268435456), width=8),
            lines("Free space in four hours", "Where the last hour points; zero is a full disk.", "bytes",
                  [prom(f"min by (instance, dir) (predict_linear(millrace_broker_disk_free_bytes{{{ONE}}}[1h], 4 * 3600))", "{{instance}} {{dir}}")],
                  good_above(5e9, 268435456), width=8, least=None),
            lines("Logs", "Bytes of the logs in each directory, indexes included.", "bytes",
                  [prom(f"sum by (instance) (millrace_broker_log_dir_bytes{{{ONE}}})", "{{instance}}")], width=8, stacked=True),
            lines("fsync: 99 of 100 take at most", "The partitions' logs are flushed in the background or for flush.messages=1; the metadata log always.", "s",
                  [prom(f"histogram_quantile(0.99, {fsync})", "{{instance}} {{log}}")], bad_above(0.5, 0.1), width=8),
            lines("Append: 99 of 100 take at most", "One batch into the log, waiting for the partition's lock included.", "s",
                  [prom(f"histogram_quantile(0.99, {append})", "{{instance}}")], bad_above(0.1), width=8),
            lines("Read and written", "What the broker had the disk do.", "Bps",
                  [prom(f"sum by (instance) (rate(kafka_server_kafkaserver_linux_disk_read_bytes{{{ONE}}}[{RATE}]))", "{{instance}} read"),
                   prom(f"sum by (instance) (rate(kafka_server_kafkaserver_linux_disk_write_bytes{{{ONE}}}[{RATE}]))", "{{instance}} written")], width=8),
        ],
    )


def machine() -> Row:
    return Row(
        "What the brokers take",
        [
            lines("CPU", "Processor time per second; 100 % is one core.", "percentunit",
                  [prom(f"sum by (instance) (rate(process_cpu_seconds_total{{{ONE}}}[{RATE}]))", "{{instance}}")], width=8),
            lines("Memory", "Resident memory.", "bytes",
                  [prom(f"max by (instance) (process_resident_memory_bytes{{{ONE}}})", "{{instance}}")], width=8),
            lines("Memory budgets in use", "Share of each bounded budget: requests, answers that consumers have not taken, recent batches.", "percentunit",
                  [prom(f"max by (instance, budget) (millrace_broker_memory_used_bytes{{{ONE}}} / millrace_broker_memory_limit_bytes{{{ONE}}})",
                        "{{instance}} {{budget}}")], bad_above(0.95), width=8, most=1),
            lines("Reads served from memory", "Share of fetches that needed no disk.", "percentunit",
                  [prom(f'sum by (instance) (rate(millrace_broker_cache_reads_total{{{ONE},result="hit"}}[{RATE}]))'
                        f" / (sum by (instance) (rate(millrace_broker_cache_reads_total{{{ONE}}}[{RATE}])) > 0)", "{{instance}}")], width=8, most=1),
            lines("Open files", "Of the number that the process may have.", "percentunit",
                  [prom(f"max by (instance) (process_open_fds{{{ONE}}} / process_max_fds{{{ONE}}})", "{{instance}}")], bad_above(0.9, 0.7), width=8),
            table("Brokers", "Identity, version and age of each.",
                  [prom(f"max by (instance, node_id, rack, cluster_id) (millrace_broker_info{{{ONE}}})", table=True),
                   prom(f"max by (instance, version) (millrace_build_info{{{ONE}}})", table=True),
                   prom(f"time() - max by (instance) (process_start_time_seconds{{{ONE}}})", table=True)],
                  {"instance": "Instance", "node_id": "Id", "rack": "Rack", "cluster_id": "Cluster", "version": "Version", "Value #C": "Age"},
                  {"Value #C": "s"}, width=8, height=8),
        ],
    )


def traced() -> Row:
    return Row(
        "Traces (with tracing switched on)",
        [table("Appends", "The newest appends that a broker has traced: write, fsync, replicate.", [traces("millrace-broker")])],
        collapsed=True,
    )


BROKERS = Dashboard(
    "millrace-brokers",
    "Millrace / Brokers",
    "Health, requests, replication, disks and resources of the brokers.",
    [
        PROMETHEUS_VARIABLE,
        JAEGER_VARIABLE,
        choice("instance", "Broker", 'label_values(up{job="broker"}, instance)'),
        choice("request", "Request", "label_values(kafka_network_requestmetrics_requests_total, request)"),
    ],
    [health(), throughput(), requests(), replication(), disks(), machine(), traced()],
)
