//! Configuration values as the config APIs show them, and the check of what a client sets.

use std::collections::BTreeMap;

use wire::ErrorCode;

use super::proposal::Refusal;
use crate::config::keys::{KEYS, Kind};
use crate::config::topic::{self, Source, TOPIC_KEYS, TopicKey};
use crate::config::{Config, TopicDefaults};

/// Where a value comes from, in Kafka's numbers.
pub mod source {
    /// Set on the topic.
    pub const TOPIC: i8 = 1;
    /// Set in the broker's configuration.
    pub const STATIC: i8 = 4;
    /// The default.
    pub const DEFAULT: i8 = 5;
}

/// One value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// None: not set and without a default.
    pub value: Option<String>,
    /// One of [`source`].
    pub source: i8,
    /// Whether it can only be changed by a restart.
    pub read_only: bool,
    /// Kafka's number of the type.
    pub kind: i8,
    /// Every place that sets it, the one in effect first: key, value, source.
    pub synonyms: Vec<(&'static str, String, i8)>,
}

/// Every topic-level value in effect for a topic with these settings.
pub fn of_topic(defaults: &TopicDefaults, own: &BTreeMap<String, String>) -> Vec<Setting> {
    let none = BTreeMap::new();
    let one = |key: &'static TopicKey| {
        let (value, from) = defaults.effective(key, own);
        let (broker_value, broker_from) = defaults.effective(key, &none);
        let mut synonyms = Vec::new();
        if from == Source::Topic {
            synonyms.push((key.name, value.to_owned(), source::TOPIC));
        }
        let synonym = key.synonyms.first().map_or(key.name, |(name, _)| *name);
        synonyms.push((synonym, broker_value.to_owned(), number(broker_from)));
        Setting {
            name: key.name,
            value: Some(value.to_owned()),
            source: number(from),
            read_only: false,
            kind: kind(key.name, key.kind),
            synonyms,
        }
    };
    TOPIC_KEYS.iter().map(one).collect()
}

/// Every value of this broker's configuration. None can be changed while it runs.
pub fn of_broker(config: &Config) -> Vec<Setting> {
    let one = |key: &'static crate::config::keys::Key| {
        let given = config.values.given(key.name);
        let default = key
            .default
            .map(str::to_owned)
            .or_else(|| derived(config, key.name));
        let (value, from) = match given {
            Some(value) => (Some(value.to_owned()), source::STATIC),
            None => (default.clone(), source::DEFAULT),
        };
        let mut synonyms = Vec::new();
        synonyms.extend(given.map(|value| (key.name, value.to_owned(), source::STATIC)));
        synonyms.extend(default.map(|value| (key.name, value, source::DEFAULT)));
        Setting {
            name: key.name,
            value,
            source: from,
            read_only: true,
            kind: kind(key.name, key.kind),
            synonyms,
        }
    };
    KEYS.iter().map(one).collect()
}

/// What follows from other keys where it is not given.
fn derived(config: &Config, key: &str) -> Option<String> {
    Some(match key {
        "node.id" | "broker.id" => config.node_id.to_string(),
        "default.replication.factor" => config.topics.replication_factor.to_string(),
        "min.insync.replicas" => config.topics.min_insync_replicas().to_string(),
        "offsets.topic.replication.factor" => config.groups.offsets_replication_factor.to_string(),
        "inter.broker.listener.name" => config.listeners.inter_broker.clone(),
        "log.dirs" => config
            .log
            .dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect::<Vec<_>>()
            .join(","),
        "metadata.log.dir" => config.log.metadata_dir.display().to_string(),
        _ => return None,
    })
}

/// Checks one topic-level setting with Kafka's words: key, value and what is allowed.
pub fn check(name: &str, value: &str) -> Result<(), Refusal> {
    let Err(invalid) = topic::check(name, value) else {
        return Ok(());
    };
    let message = match topic::find(name) {
        Some(_) => format!(
            "Invalid value {value} for configuration {name}: it takes {}",
            invalid.allowed
        ),
        None => format!(
            "Unknown topic config name: {name} (it takes {})",
            invalid.allowed
        ),
    };
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}

fn number(from: Source) -> i8 {
    match from {
        Source::Topic => source::TOPIC,
        Source::Broker => source::STATIC,
        Source::Default => source::DEFAULT,
    }
}

/// Kafka's numbers of types: 1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list.
fn kind(name: &str, kind: Kind) -> i8 {
    match kind {
        Kind::Flag => 1,
        Kind::Whole(_, max) if max > i64::from(i32::MAX) => 5,
        Kind::Whole(..) => 3,
        Kind::Decimal(..) => 6,
        Kind::List | Kind::ListOf(_) => 7,
        // Kafka has it as a list too, so that tools append to it.
        _ if name == "cleanup.policy" => 7,
        Kind::OneOf(_) | Kind::Text => 2,
    }
}
