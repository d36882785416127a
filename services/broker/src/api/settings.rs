//! Configuration values as the config APIs show them, and the check of what a client sets.

use std::collections::BTreeMap;

use engine::metadata::{Image, Resource};
use wire::ErrorCode;

use super::proposal::Refusal;
use crate::config::dynamic;
use crate::config::keys::{KEYS, Key, Kind};
use crate::config::topic::{self, Source, TOPIC_KEYS, TopicKey};
use crate::config::{Config, Invalid, TopicDefaults};

/// Where a value comes from, in Kafka's numbers.
pub mod source {
    /// Set on the topic.
    pub const TOPIC: i8 = 1;
    /// Set in the metadata for this broker.
    pub const THIS_BROKER: i8 = 2;
    /// Set in the metadata for every broker.
    pub const ALL_BROKERS: i8 = 3;
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
    let one = |key: &'static TopicKey| {
        let (value, from) = defaults.effective(key, own);
        let mut synonyms = Vec::new();
        if from == Source::Topic {
            synonyms.push((key.name, value.to_owned(), source::TOPIC));
        }
        synonyms.extend(broker_wide(defaults, key.synonyms));
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

/// Every place that sets one of these keys of the broker.
fn broker_wide(
    defaults: &TopicDefaults,
    keys: &'static [(&'static str, i64)],
) -> Vec<(&'static str, String, i8)> {
    let places = |name: &'static str| {
        let places = defaults.places(name).into_iter();
        places.map(move |(value, from)| (name, value, number(from)))
    };
    keys.iter().flat_map(|(name, _)| places(name)).collect()
}

/// Every value of this broker's configuration, with what the metadata sets for it.
pub fn of_broker(config: &Config, image: &Image) -> Vec<Setting> {
    let defaults = config.topics_in(image);
    let one = |key: &'static Key| {
        let mut places = defaults.places(key.name);
        if key.default.is_none() && !places.iter().any(|(_, from)| *from == Source::Default) {
            places.extend(derived(config, key.name).map(|value| (value, Source::Default)));
        }
        // A setting in several units shows them all, as in Kafka.
        let units = TOPIC_KEYS
            .iter()
            .map(|topic| topic.synonyms)
            .find(|names| names.len() > 1 && names[0].0 == key.name);
        let synonyms = match units {
            Some(units) => broker_wide(&defaults, units),
            None => places
                .iter()
                .map(|(value, from)| (key.name, value.clone(), number(*from)))
                .collect(),
        };
        let (value, from) = match places.into_iter().next() {
            Some((value, from)) => (Some(value), number(from)),
            None => (None, source::DEFAULT),
        };
        Setting {
            name: key.name,
            value,
            source: from,
            read_only: dynamic::find(key.name).is_none(),
            kind: kind(key.name, key.kind),
            synonyms,
        }
    };
    KEYS.iter().map(one).collect()
}

/// What the metadata sets for all brokers.
pub fn of_all_brokers(image: &Image) -> Vec<Setting> {
    let set = image.configs(&Resource::AllBrokers);
    let known = set.into_iter().flat_map(|set| set.iter());
    let one = |(name, value): (&String, &String)| {
        let key = dynamic::find(name)?;
        Some(Setting {
            name: key.name,
            value: Some(value.clone()),
            source: source::ALL_BROKERS,
            read_only: false,
            kind: kind(key.name, key.kind),
            synonyms: vec![(key.name, value.clone(), source::ALL_BROKERS)],
        })
    };
    known.filter_map(one).collect()
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

/// Limits of replication between brokers, which tools set for the time of a reassignment and delete after it (KIP-73).
const THROTTLES: &[&str] = &[
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
];

/// Whether a setting is one of those that are never set here, so that taking it away changes nothing.
pub fn is_throttle(name: &str) -> bool {
    THROTTLES.contains(&name)
}

/// What a value of a setting must look like, where the setting can be altered.
pub fn shape(resource: &Resource, name: &str) -> Result<Kind, Refusal> {
    if is_throttle(name) {
        let message = format!(
            "{name} is not offered: replication between brokers has no limit here. Reassign without a throttle."
        );
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    }
    match resource {
        Resource::Topic(_) => {
            let unknown = |invalid: Invalid| {
                let message = format!(
                    "Unknown topic config name: {name} (it takes {})",
                    invalid.allowed
                );
                Refusal::new(ErrorCode::InvalidConfig, message)
            };
            let known = topic::find(name).map(|key| key.kind);
            known.ok_or_else(|| unknown(topic::not_found(name, "")))
        }
        Resource::Broker(_) if dynamic::FOR_ALL_ONLY.contains(&name) => {
            Err(Refusal::invalid_request(format!(
                "Cannot update these configs at per-broker level, only for the whole cluster: {name}"
            )))
        }
        Resource::Broker(_) | Resource::AllBrokers => {
            let known = dynamic::find(name).map(|key| key.kind);
            known.ok_or_else(|| {
                Refusal::invalid_request(format!("Cannot update these configs dynamically: {name}"))
            })
        }
        Resource::Group(_) => Err(Refusal::invalid_request("groups have no configurations")),
    }
}

/// Checks a setting with Kafka's words: key, value and what is allowed.
pub fn check(resource: &Resource, name: &str, value: &str) -> Result<(), Refusal> {
    let kind = shape(resource, name)?;
    if kind.accepts(value.trim()) {
        return Ok(());
    }
    let message = format!("Invalid value {value} for configuration {name}: it takes {kind}");
    Err(Refusal::new(ErrorCode::InvalidConfig, message))
}

fn number(from: Source) -> i8 {
    match from {
        Source::Topic => source::TOPIC,
        Source::ThisBroker => source::THIS_BROKER,
        Source::AllBrokers => source::ALL_BROKERS,
        Source::File => source::STATIC,
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
