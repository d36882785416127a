//! Every metric family of the services that consume and of the generators.

use telemetry::metrics::Family;

const SINK: &[&str] = &["sink"];
const TOPIC: &[&str] = &["sink", "topic"];
const PARTITION: &[&str] = &["sink", "topic", "partition"];

/// Upper bounds of what one step of storing a batch takes, seconds.
const STEP: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Upper bounds of a record's age when it is stored, seconds. Each common objective is one: 10 seconds for a database,
/// a rotation interval and 10 seconds for objects.
const AGE: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 70.0, 120.0, 300.0, 310.0, 600.0,
    610.0, 900.0, 1800.0, 3600.0,
];
/// Upper bounds of the wait for an acknowledgement, seconds.
const ACK: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

pub(crate) static RECEIVED: Family = Family::counter(
    "millrace_sink_received_records_total",
    TOPIC,
    "Records received from the brokers; some may come again after a failure",
)
.unit("records");
pub(crate) static STORED: Family = Family::counter(
    "millrace_sink_records_total",
    TOPIC,
    "Records stored or dead-lettered",
)
.unit("records");
pub(crate) static ON_TIME: Family = Family::counter(
    "millrace_sink_on_time_records_total",
    TOPIC,
    "Of millrace_sink_records_total, those that were stored within the sink's objective after their timestamps",
)
.unit("records");
pub(crate) static BYTES: Family = Family::counter(
    "millrace_sink_bytes_total",
    TOPIC,
    "Bytes of the keys, values and headers of the records that were stored or dead-lettered",
)
.unit("bytes");
pub(crate) static BATCHES: Family =
    Family::counter("millrace_sink_batches_total", TOPIC, "Batches stored").unit("batches");
pub(crate) static RETRIES: Family = Family::counter(
    "millrace_sink_retries_total",
    &["sink", "topic", "cause"],
    "Tries that failed and were made again, by what failed: kafka (a look-up in the log), store (the sink's store or its dead letters), position (the store's position does not fit the log)",
)
.unit("tries");
pub(crate) static WRITE_SECONDS: Family = Family::histogram(
    "millrace_sink_write_seconds",
    TOPIC,
    STEP,
    "One try to store a batch, from its records to its commit",
);
pub(crate) static STAGE_SECONDS: Family = Family::histogram(
    "millrace_sink_stage_seconds",
    &["sink", "topic", "stage"],
    STEP,
    "The stages of a batch: poll (from its first record until it is cut), decode, write, commit",
);
pub(crate) static FRESHNESS: Family = Family::histogram(
    "millrace_sink_freshness_seconds",
    TOPIC,
    AGE,
    "Age of each record, by its timestamp, when it was stored",
);
pub(crate) static OBJECTIVE: Family = Family::gauge(
    "millrace_sink_objective_seconds",
    SINK,
    "Within so long after its timestamp a record should be stored",
)
.unit("seconds");
pub(crate) static NEWEST_AGE: Family = Family::gauge(
    "millrace_sink_newest_event_age_seconds",
    TOPIC,
    "Age of the newest record that was stored, by its timestamp",
)
.unit("seconds");
pub(crate) static GAP: Family = Family::counter(
    "millrace_sink_gap_offsets_total",
    TOPIC,
    "Offsets that retention took before the sink could read them",
)
.unit("offsets");
pub(crate) static PAUSES: Family = Family::counter(
    "millrace_sink_pauses_total",
    TOPIC,
    "How often fetching paused because the buffer was full",
)
.unit("pauses");
pub(crate) static LAG: Family = Family::gauge(
    "millrace_sink_lag_records",
    PARTITION,
    "Offsets between the sink's position and the end of the log",
)
.unit("records");
pub(crate) static LAG_SECONDS: Family = Family::gauge(
    "millrace_sink_lag_seconds",
    PARTITION,
    "Age, by its timestamp, of the oldest record that is not stored; of the last stored one where that is not known; 0 without lag",
)
.unit("seconds");
pub(crate) static OLDEST_UNFLUSHED: Family = Family::gauge(
    "millrace_sink_oldest_unflushed_seconds",
    PARTITION,
    "Time since the oldest record in a batch that is not stored was taken up; 0 without one",
)
.unit("seconds");
pub(crate) static POSITION: Family = Family::gauge(
    "millrace_sink_position",
    PARTITION,
    "The next offset that the sink will store",
)
.unit("offset");
pub(crate) static STOPPED: Family = Family::gauge(
    "millrace_sink_stopped",
    PARTITION,
    "1 while the partition is stopped by an error that needs a person, else 0",
);
pub(crate) static UP: Family = Family::gauge(
    "millrace_sink_up",
    SINK,
    "1 if the last call to the store worked, else 0",
);
pub(crate) static LAST_SUCCESS: Family = Family::gauge(
    "millrace_sink_last_success_timestamp_seconds",
    TOPIC,
    "When a batch was stored last, since the Unix epoch; 0 before the first",
)
.unit("seconds");
pub(crate) static BUFFERED: Family = Family::gauge(
    "millrace_sink_buffered_bytes",
    SINK,
    "Bytes of records that were received and are not in a batch yet",
)
.unit("bytes");
pub(crate) static ASSIGNED: Family = Family::gauge(
    "millrace_sink_assigned_partitions",
    SINK,
    "Partitions that the consumer group has given to this process",
)
.unit("partitions");
pub(crate) static REBALANCES: Family = Family::counter(
    "millrace_sink_rebalances_total",
    SINK,
    "Rebalances of the consumer group since this process started",
)
.unit("rebalances");
pub(crate) static DEAD_LETTERS: Family = Family::counter(
    "millrace_dead_letters_total",
    TOPIC,
    "Records that the sink refused and that went to the dead-letter topic",
)
.unit("records");

/// The families of a service that consumes.
pub static SINK_FAMILIES: &[&Family] = &[
    &RECEIVED,
    &STORED,
    &ON_TIME,
    &BYTES,
    &BATCHES,
    &RETRIES,
    &WRITE_SECONDS,
    &STAGE_SECONDS,
    &FRESHNESS,
    &OBJECTIVE,
    &NEWEST_AGE,
    &GAP,
    &PAUSES,
    &LAG,
    &LAG_SECONDS,
    &OLDEST_UNFLUSHED,
    &POSITION,
    &STOPPED,
    &UP,
    &LAST_SUCCESS,
    &BUFFERED,
    &ASSIGNED,
    &REBALANCES,
    &DEAD_LETTERS,
];

const GENERATED: &[&str] = &["topic"];

pub(crate) static QUEUED: Family = Family::counter(
    "millrace_generator_records_total",
    GENERATED,
    "Records handed to the Kafka client",
)
.unit("records");
pub(crate) static ACKED: Family = Family::counter(
    "millrace_generator_acked_total",
    GENERATED,
    "Records that the brokers acknowledged",
)
.unit("records");
pub(crate) static FAILED: Family = Family::counter(
    "millrace_generator_failed_total",
    GENERATED,
    "Records that were given up",
)
.unit("records");
pub(crate) static UNACKED: Family = Family::gauge(
    "millrace_generator_unacked_records",
    GENERATED,
    "Records handed to the Kafka client that are neither acknowledged nor given up",
)
.unit("records");
pub(crate) static ACK_SECONDS: Family = Family::histogram(
    "millrace_generator_ack_seconds",
    GENERATED,
    ACK,
    "From handing a record over to its acknowledgement",
);
pub(crate) static ACKED_COUNTER: Family = Family::gauge(
    "millrace_generator_acked_counter",
    &["topic", "partition", "run_id"],
    "The last counter of the run that the brokers acknowledged",
);

/// The families of a generator.
pub static GENERATOR_FAMILIES: &[&Family] = &[
    &QUEUED,
    &ACKED,
    &FAILED,
    &UNACKED,
    &ACK_SECONDS,
    &ACKED_COUNTER,
];

pub static OBJECTS: Family = Family::counter(
    "millrace_archiver_objects_total",
    GENERATED,
    "Objects written",
)
.unit("objects");
pub static OBJECT_BYTES: Family = Family::counter(
    "millrace_archiver_object_bytes_total",
    GENERATED,
    "Bytes of the objects written, as they are stored",
)
.unit("bytes");
pub static PRINTED: Family = Family::counter(
    "millrace_bakery_consumer_records_total",
    &["kind"],
    "Records printed, by what they were: order or text",
)
.unit("records");

/// The families of single services.
pub static SERVICE_FAMILIES: &[&Family] = &[&OBJECTS, &OBJECT_BYTES, &PRINTED];
