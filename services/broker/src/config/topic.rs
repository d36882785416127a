//! Topic-level configuration: the table of keys, their broker-wide synonyms, and the typed result.

use std::collections::BTreeMap;

use super::dynamic::Layers;
use super::keys::{CLEANUP, COMPRESSION, Kind, TIMESTAMP};
use super::{Invalid, Values};

/// One topic-level key.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    /// Kafka's name, such as `retention.ms`.
    pub name: &'static str,
    /// What a value must look like.
    pub kind: Kind,
    /// The broker-wide keys that give its default with the factor to multiply by, finest first.
    pub synonyms: &'static [(&'static str, i64)],
}

const fn key(name: &'static str, kind: Kind, synonyms: &'static [(&'static str, i64)]) -> TopicKey {
    TopicKey {
        name,
        kind,
        synonyms,
    }
}

const INT_MAX: i64 = i32::MAX as i64;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const ANY: Kind = Kind::Whole(0, i64::MAX);
const POSITIVE: Kind = Kind::Whole(1, i64::MAX);
const OR_MINUS_ONE: Kind = Kind::Whole(-1, i64::MAX);

/// Every topic-level key that has an effect, in alphabetical order.
pub const TOPIC_KEYS: &[TopicKey] = &[
    key(
        "cleanup.policy",
        Kind::ListOf(CLEANUP),
        &[("log.cleanup.policy", 1)],
    ),
    key(
        "compression.type",
        Kind::OneOf(COMPRESSION),
        &[("compression.type", 1)],
    ),
    key(
        "delete.retention.ms",
        ANY,
        &[("log.cleaner.delete.retention.ms", 1)],
    ),
    key(
        "file.delete.delay.ms",
        ANY,
        &[("log.segment.delete.delay.ms", 1)],
    ),
    key(
        "flush.messages",
        POSITIVE,
        &[("log.flush.interval.messages", 1)],
    ),
    key(
        "flush.ms",
        ANY,
        &[
            ("log.flush.interval.ms", 1),
            ("log.flush.scheduler.interval.ms", 1),
        ],
    ),
    key(
        "index.interval.bytes",
        Kind::Whole(0, INT_MAX),
        &[("log.index.interval.bytes", 1)],
    ),
    key(
        "max.compaction.lag.ms",
        POSITIVE,
        &[("log.cleaner.max.compaction.lag.ms", 1)],
    ),
    key(
        "max.message.bytes",
        Kind::Whole(0, INT_MAX),
        &[("message.max.bytes", 1)],
    ),
    key(
        "message.timestamp.after.max.ms",
        ANY,
        &[("log.message.timestamp.after.max.ms", 1)],
    ),
    key(
        "message.timestamp.before.max.ms",
        ANY,
        &[("log.message.timestamp.before.max.ms", 1)],
    ),
    key(
        "message.timestamp.type",
        Kind::OneOf(TIMESTAMP),
        &[("log.message.timestamp.type", 1)],
    ),
    key(
        "min.cleanable.dirty.ratio",
        Kind::Decimal(0.0, 1.0),
        &[("log.cleaner.min.cleanable.ratio", 1)],
    ),
    key(
        "min.compaction.lag.ms",
        ANY,
        &[("log.cleaner.min.compaction.lag.ms", 1)],
    ),
    key(
        "min.insync.replicas",
        Kind::Whole(1, INT_MAX),
        &[("min.insync.replicas", 1)],
    ),
    // Kafka's default is all that there is.
    key(
        "preallocate",
        Kind::OneOf(&["false"]),
        &[("log.preallocate", 1)],
    ),
    key(
        "retention.bytes",
        OR_MINUS_ONE,
        &[("log.retention.bytes", 1)],
    ),
    key(
        "retention.ms",
        OR_MINUS_ONE,
        &[
            ("log.retention.ms", 1),
            ("log.retention.minutes", MINUTE_MS),
            ("log.retention.hours", HOUR_MS),
        ],
    ),
    key(
        "segment.bytes",
        Kind::Whole(1 << 20, INT_MAX),
        &[("log.segment.bytes", 1)],
    ),
    key(
        "segment.index.bytes",
        Kind::Whole(4, INT_MAX),
        &[("log.index.size.max.bytes", 1)],
    ),
    key(
        "segment.jitter.ms",
        ANY,
        &[
            ("log.roll.jitter.ms", 1),
            ("log.roll.jitter.hours", HOUR_MS),
        ],
    ),
    key(
        "segment.ms",
        POSITIVE,
        &[("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)],
    ),
    key(
        "unclean.leader.election.enable",
        Kind::Flag,
        &[("unclean.leader.election.enable", 1)],
    ),
];

/// Topic-level keys of Kafka 4.3.1 that have no effect here.
const UNSUPPORTED: &[&str] = &[
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
];

/// Looks a topic-level key up by its name.
pub fn find(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

/// Whether Kafka 4.3.1 has a topic-level key that has no effect here.
pub fn is_unsupported(name: &str) -> bool {
    UNSUPPORTED.contains(&name)
}

/// Why a topic-level setting that is not in the table is refused.
pub fn not_found(name: &str, value: &str) -> Invalid {
    let allowed = if is_unsupported(name) {
        "nothing: this broker does not support the setting"
    } else {
        "nothing: no topic setting has this name"
    };
    Invalid::new(name, value, allowed)
}

/// Where a value in effect comes from, as `DescribeConfigs` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set on the topic itself.
    Topic,
    /// Set in the metadata for this broker.
    ThisBroker,
    /// Set in the metadata for every broker.
    AllBrokers,
    /// Set in the broker's configuration.
    File,
    /// The default.
    Default,
}

/// The configuration of a topic without settings of its own.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// Partitions of a topic made without a number (`num.partitions`, 1).
    pub partitions: i32,
    /// Replicas of a topic made without a number (`default.replication.factor`; 3 in a cluster of
    /// three or more voters, else 1).
    pub replication_factor: i16,
    /// Whether asking for a topic makes it (`auto.create.topics.enable`, true).
    pub auto_create: bool,
    /// Whether topics can be deleted (`delete.topic.enable`, true).
    pub delete_enabled: bool,
    /// Whether there are three or more voters.
    cluster: bool,
    /// The broker's configuration.
    file: Values,
    /// What the metadata sets for the broker.
    layers: Layers,
    /// Broker-wide values of the topic-level keys, in effect where a topic has none.
    values: BTreeMap<&'static str, (String, Source)>,
}

impl TopicDefaults {
    pub(super) fn from_values(values: &Values, voters: usize) -> TopicDefaults {
        let cluster = voters >= 3;
        let defaults = TopicDefaults {
            partitions: values.whole("num.partitions"),
            replication_factor: values
                .given_whole("default.replication.factor")
                .unwrap_or(if cluster { 3 } else { 1 }),
            auto_create: values.flag("auto.create.topics.enable"),
            delete_enabled: values.flag("delete.topic.enable"),
            cluster,
            file: values.clone(),
            layers: Layers::default(),
            values: BTreeMap::new(),
        };
        defaults.under(Layers::default())
    }

    /// The same with what the metadata sets.
    #[must_use]
    pub fn under(&self, layers: Layers) -> TopicDefaults {
        let mut next = TopicDefaults {
            layers,
            ..self.clone()
        };
        next.values = TOPIC_KEYS
            .iter()
            .map(|key| (key.name, next.broker_wide(key)))
            .collect();
        next
    }

    /// Every place that gives a broker-wide key a value, the one in effect first.
    pub fn places(&self, key: &str) -> Vec<(String, Source)> {
        let owned = |(value, source): (&str, Source)| (value.to_owned(), source);
        let mut places: Vec<_> = self.layers.places(key).map(owned).collect();
        places.extend(self.file.given(key).map(|v| owned((v, Source::File))));
        let default = match key {
            "min.insync.replicas" => Some(if self.cluster { "2" } else { "1" }),
            "log.preallocate" => Some("false"),
            _ => super::keys::find(key).and_then(|key| key.default),
        };
        places.extend(default.map(|v| owned((v, Source::Default))));
        places
    }

    /// The finest unit that is set wins; then the default of any.
    fn broker_wide(&self, key: &TopicKey) -> (String, Source) {
        let first = |wanted: &dyn Fn(Source) -> bool| {
            key.synonyms.iter().find_map(|(synonym, factor)| {
                let mut places = self.places(synonym).into_iter();
                let (value, source) = places.find(|(_, source)| wanted(*source))?;
                Some((scaled(&value, *factor), source))
            })
        };
        first(&|source| source != Source::Default)
            .or_else(|| first(&|_| true))
            .expect("the last synonym of every topic key has a default")
    }

    /// `min.insync.replicas` of a topic without a setting of its own.
    pub fn min_insync_replicas(&self) -> i32 {
        self.values["min.insync.replicas"]
            .0
            .parse()
            .expect("checked by the table of keys")
    }

    /// The value in effect for a topic with these settings, and where it comes from.
    pub fn effective<'a>(
        &'a self,
        key: &TopicKey,
        settings: &'a BTreeMap<String, String>,
    ) -> (&'a str, Source) {
        match settings.get(key.name) {
            Some(value) if key.kind.accepts(value.trim()) => (value.trim(), Source::Topic),
            _ => {
                let (value, source) = &self.values[key.name];
                (value, *source)
            }
        }
    }

    /// The typed configuration of a topic with these settings.
    pub fn resolve(&self, settings: &BTreeMap<String, String>) -> TopicConfig {
        let text = |name: &str| {
            let key = find(name).expect("the names below are in the table");
            self.effective(key, settings).0
        };
        let whole = |name: &str| {
            text(name)
                .parse::<i64>()
                .expect("checked by the table of keys")
        };
        let flag = |name: &str| text(name).eq_ignore_ascii_case("true");
        let policy = |word: &str| text("cleanup.policy").split(',').any(|w| w.trim() == word);
        TopicConfig {
            delete: policy("delete"),
            compact: policy("compact"),
            segment_bytes: whole("segment.bytes") as u32,
            segment_ms: whole("segment.ms"),
            segment_jitter_ms: whole("segment.jitter.ms"),
            segment_index_bytes: whole("segment.index.bytes") as u32,
            index_interval_bytes: whole("index.interval.bytes") as u32,
            retention_ms: Some(whole("retention.ms")).filter(|ms| *ms >= 0),
            retention_bytes: Some(whole("retention.bytes")).filter(|bytes| *bytes >= 0),
            file_delete_delay_ms: whole("file.delete.delay.ms"),
            flush_messages: whole("flush.messages"),
            flush_ms: whole("flush.ms"),
            max_message_bytes: whole("max.message.bytes") as usize,
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: whole("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: whole("message.timestamp.after.max.ms"),
            min_insync_replicas: whole("min.insync.replicas") as i32,
            unclean_election: flag("unclean.leader.election.enable"),
            delete_retention_ms: whole("delete.retention.ms"),
            min_compaction_lag_ms: whole("min.compaction.lag.ms"),
            max_compaction_lag_ms: whole("max.compaction.lag.ms"),
            min_cleanable_ratio: text("min.cleanable.dirty.ratio")
                .parse()
                .expect("checked by the table of keys"),
        }
    }
}

fn scaled(value: &str, factor: i64) -> String {
    match value.parse::<i64>() {
        // -1 means without limit in every unit.
        Ok(number) if factor != 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_string(),
    }
}

/// The typed configuration of one topic. Times are milliseconds; `i64::MAX` means never.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy` has `delete`.
    pub delete: bool,
    /// `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`
    pub index_interval_bytes: u32,
    /// `retention.ms`; `None` without limit.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` without limit.
    pub retention_bytes: Option<i64>,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    /// `flush.messages`; 1 means an fsync before a record counts.
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `max.message.bytes`: the largest batch, bytes.
    pub max_message_bytes: usize,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `min.insync.replicas`
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable`
    pub unclean_election: bool,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_ratio: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(pairs: &[(&str, &str)]) -> TopicDefaults {
        let map = pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        TopicDefaults::from_values(&Values::check(map).unwrap().0, 3)
    }

    #[test]
    fn the_finest_unit_wins_and_is_scaled() {
        let hours = defaults(&[("log.retention.hours", "2")]);
        assert_eq!(
            hours.resolve(&BTreeMap::new()).retention_ms,
            Some(7_200_000)
        );
        let both = defaults(&[("log.retention.hours", "2"), ("log.retention.minutes", "1")]);
        assert_eq!(both.resolve(&BTreeMap::new()).retention_ms, Some(60_000));
        let none = defaults(&[("log.retention.ms", "-1")]);
        assert_eq!(none.resolve(&BTreeMap::new()).retention_ms, None);
    }

    #[test]
    fn a_setting_of_the_topic_wins_over_the_broker() {
        let broker = defaults(&[("log.retention.hours", "2")]);
        let settings = BTreeMap::from([("retention.ms".to_string(), "5".to_string())]);
        assert_eq!(broker.resolve(&settings).retention_ms, Some(5));
        let key = find("retention.ms").unwrap();
        assert_eq!(broker.effective(key, &settings), ("5", Source::Topic));
    }
}
