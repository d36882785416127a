//! The table of the configuration keys that this broker knows: name, type and default.
//!
//! Names, types and ranges are Apache Kafka 4.3.1's. Where a default differs from Kafka's, the
//! README has it in a table; the keys at the end are our own.

use std::fmt;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number within the bounds, both included.
    Whole(i64, i64),
    /// A number within the bounds, both included.
    Decimal(f64, f64),
    /// `true` or `false`.
    Flag,
    /// One of the words.
    OneOf(&'static [&'static str]),
    /// A comma-separated list of these words.
    ListOf(&'static [&'static str]),
    /// A comma-separated list.
    List,
    /// Any text.
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Whole(min, i64::MAX) => write!(f, "a whole number, {min} or more"),
            Kind::Whole(min, max) if *max == i64::from(i32::MAX) => {
                write!(f, "a whole number, {min} or more")
            }
            Kind::Whole(min, max) => write!(f, "a whole number from {min} to {max}"),
            Kind::Decimal(min, max) => write!(f, "a number from {min} to {max}"),
            Kind::Flag => f.write_str("true or false"),
            Kind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Kind::ListOf(words) => write!(f, "a comma-separated list of {}", words.join(", ")),
            Kind::List => f.write_str("a comma-separated list"),
            Kind::Text => f.write_str("text"),
        }
    }
}

impl Kind {
    /// Whether `value` fits.
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Kind::Whole(min, max) => value
                .parse::<i64>()
                .is_ok_and(|v| (*min..=*max).contains(&v)),
            Kind::Decimal(min, max) => value
                .parse::<f64>()
                .is_ok_and(|v| (*min..=*max).contains(&v)),
            Kind::Flag => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Kind::OneOf(words) => words.contains(&value),
            Kind::ListOf(words) => {
                !value.is_empty() && value.split(',').all(|w| words.contains(&w.trim()))
            }
            Kind::List | Kind::Text => true,
        }
    }
}

/// One known key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// What a value must look like.
    pub kind: Kind,
    /// The default as text; `None` where it follows from other keys.
    pub default: Option<&'static str>,
}

const INT_MAX: i64 = i32::MAX as i64;
const fn int(name: &'static str, min: i64, default: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Whole(min, INT_MAX),
        default: Some(default),
    }
}
const fn long(name: &'static str, min: i64, default: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Whole(min, i64::MAX),
        default: Some(default),
    }
}
const fn derived(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        default: None,
    }
}
const fn flag(name: &'static str, default: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Flag,
        default: Some(default),
    }
}

const LONG: Kind = Kind::Whole(0, i64::MAX);
const INT: Kind = Kind::Whole(1, INT_MAX);
/// `Long.MAX_VALUE`, Kafka's way to say never.
const NEVER: &str = "9223372036854775807";
/// Values of `compression.type` that this broker accepts.
pub const COMPRESSION: &[&str] = &["producer"];
/// Values of `cleanup.policy`.
pub const CLEANUP: &[&str] = &["delete", "compact"];
/// Values of `message.timestamp.type`.
pub const TIMESTAMP: &[&str] = &["CreateTime", "LogAppendTime"];

/// Every key that has an effect.
pub const KEYS: &[Key] = &[
    // Identity and roles.
    derived("process.roles", Kind::ListOf(&["broker", "controller"])),
    derived("node.id", Kind::Whole(0, INT_MAX)),
    derived("broker.id", Kind::Whole(0, INT_MAX)),
    derived("broker.rack", Kind::Text),
    // Listeners.
    derived("listeners", Kind::List),
    derived("advertised.listeners", Kind::List),
    derived("listener.security.protocol.map", Kind::List),
    derived("inter.broker.listener.name", Kind::Text),
    derived(
        "security.inter.broker.protocol",
        Kind::OneOf(&["PLAINTEXT"]),
    ),
    derived("controller.listener.names", Kind::List),
    // Metadata quorum.
    derived("controller.quorum.voters", Kind::List),
    int("controller.quorum.election.timeout.ms", 50, "1500"),
    int("broker.heartbeat.interval.ms", 10, "500"),
    int("broker.session.timeout.ms", 100, "9000"),
    long("initial.broker.registration.timeout.ms", 0, "60000"),
    long(
        "metadata.log.max.record.bytes.between.snapshots",
        1,
        "20971520",
    ),
    flag("auto.leader.rebalance.enable", "true"),
    long("leader.imbalance.check.interval.seconds", 1, "5"),
    flag("controlled.shutdown.enable", "true"),
    derived("metadata.log.dir", Kind::Text),
    // Sockets and protection.
    int("num.network.threads", 1, "2"),
    int("num.io.threads", 1, "8"),
    int("socket.request.max.bytes", 1, "104857600"),
    long("queued.max.request.bytes", 1, "268435456"),
    int("queued.max.requests", 1, "500"),
    int("max.connections", 0, "10000"),
    int("max.connections.per.ip", 0, "2147483647"),
    long("connections.max.idle.ms", 1, "600000"),
    int("socket.listen.backlog.size", 1, "1024"),
    int("request.timeout.ms", 1, "30000"),
    // Topics.
    int("num.partitions", 1, "1"),
    derived(
        "default.replication.factor",
        Kind::Whole(1, i16::MAX as i64),
    ),
    derived("min.insync.replicas", INT),
    flag("auto.create.topics.enable", "true"),
    flag("delete.topic.enable", "true"),
    flag("unclean.leader.election.enable", "false"),
    int("message.max.bytes", 0, "1048588"),
    Key {
        name: "compression.type",
        kind: Kind::OneOf(COMPRESSION),
        default: Some("producer"),
    },
    // Logs.
    derived("log.dirs", Kind::List),
    derived("log.dir", Kind::List),
    Key {
        name: "log.cleanup.policy",
        kind: Kind::ListOf(CLEANUP),
        default: Some("delete"),
    },
    int("log.segment.bytes", 1 << 20, "1073741824"),
    int("log.roll.hours", 1, "168"),
    derived("log.roll.ms", Kind::Whole(1, i64::MAX)),
    int("log.roll.jitter.hours", 0, "0"),
    derived("log.roll.jitter.ms", LONG),
    int("log.retention.hours", -1, "168"),
    derived("log.retention.minutes", Kind::Whole(-1, INT_MAX)),
    derived("log.retention.ms", Kind::Whole(-1, i64::MAX)),
    long("log.retention.bytes", -1, "-1"),
    long("log.retention.check.interval.ms", 1, "300000"),
    int("log.index.interval.bytes", 0, "4096"),
    int("log.index.size.max.bytes", 4, "10485760"),
    long("log.flush.interval.messages", 1, NEVER),
    derived("log.flush.interval.ms", LONG),
    long("log.flush.scheduler.interval.ms", 1, NEVER),
    int("log.flush.offset.checkpoint.interval.ms", 1, "60000"),
    int("log.flush.start.offset.checkpoint.interval.ms", 1, "60000"),
    long("log.segment.delete.delay.ms", 0, "60000"),
    Key {
        name: "log.message.timestamp.type",
        kind: Kind::OneOf(TIMESTAMP),
        default: Some("CreateTime"),
    },
    long("log.message.timestamp.before.max.ms", 0, NEVER),
    long("log.message.timestamp.after.max.ms", 0, "3600000"),
    flag("log.cleaner.enable", "true"),
    long("log.cleaner.backoff.ms", 1, "15000"),
    long("log.cleaner.delete.retention.ms", 0, "86400000"),
    long("log.cleaner.min.compaction.lag.ms", 0, "0"),
    long("log.cleaner.max.compaction.lag.ms", 1, NEVER),
    Key {
        name: "log.cleaner.min.cleanable.ratio",
        kind: Kind::Decimal(0.0, 1.0),
        default: Some("0.5"),
    },
    int("num.recovery.threads.per.data.dir", 1, "2"),
    // Replication.
    long("replica.lag.time.max.ms", 1, "30000"),
    int("replica.fetch.max.bytes", 0, "1048576"),
    int("replica.fetch.response.max.bytes", 0, "10485760"),
    int("replica.fetch.min.bytes", 0, "1"),
    int("replica.fetch.wait.max.ms", 0, "500"),
    int("replica.fetch.backoff.ms", 0, "100"),
    int("replica.socket.timeout.ms", 1, "30000"),
    long("replica.high.watermark.checkpoint.interval.ms", 1, "5000"),
    // Fetch.
    int("fetch.max.bytes", 1024, "57671680"),
    int("max.incremental.fetch.session.cache.slots", 0, "1000"),
    // Groups.
    int("group.min.session.timeout.ms", 1, "6000"),
    int("group.max.session.timeout.ms", 1, "1800000"),
    int("group.initial.rebalance.delay.ms", 0, "3000"),
    int("group.max.size", 1, "10000"),
    int("offset.metadata.max.bytes", 0, "4096"),
    int("offsets.topic.num.partitions", 1, "50"),
    derived(
        "offsets.topic.replication.factor",
        Kind::Whole(1, i16::MAX as i64),
    ),
    int("offsets.topic.segment.bytes", 1 << 20, "104857600"),
    int("offsets.retention.minutes", 1, "10080"),
    long("offsets.retention.check.interval.ms", 1, "600000"),
    int("offsets.load.buffer.size", 1, "5242880"),
    int("offsets.commit.timeout.ms", 1, "5000"),
    // Producers.
    int("producer.id.expiration.ms", 1, "86400000"),
    // Our own.
    derived("cluster.id", Kind::Text),
    Key {
        name: "http.listen",
        kind: Kind::Text,
        default: Some("0.0.0.0:9644"),
    },
    int("broker.stall.timeout.ms", 100, "5000"),
    int("trace.spans.per.second", 0, "50"),
    int("metrics.series.max", 1, "10000"),
    long("probe.interval.ms", 0, "1000"),
    Key {
        name: "probe.topic",
        kind: Kind::Text,
        default: Some("__millrace_probe"),
    },
    int("controlled.shutdown.timeout.ms", 0, "6000"),
    long("record.cache.bytes", 0, "67108864"),
    long("queued.max.response.bytes", 1, "268435456"),
    int("request.partial.timeout.ms", 1, "30000"),
    long("log.min.free.bytes", 0, "268435456"),
    long("log.scrub.interval.ms", 0, "604800000"),
    long("log.scrub.bytes.per.second", 1, "10485760"),
    long("metadata.log.reserve.bytes", 0, "16777216"),
];

/// Looks a key up by its name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether Kafka 4.3.1 knows a key that this broker does not act on.
pub fn is_unsupported(name: &str) -> bool {
    include_str!("unsupported.txt")
        .lines()
        .any(|known| known == name)
}
