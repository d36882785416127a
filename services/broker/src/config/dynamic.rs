//! Settings of brokers that change while they run (KIP-226): which they are, and what is in effect.
//!
//! They are in the metadata: for one broker, or for all. One broker's own wins, then what holds for all of them, then
//! its `server.properties`, then the default.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use engine::ids::BrokerId;
use engine::metadata::{DRAINED, Image, Resource};

use super::keys::{self, Key, Kind};
use super::topic::{Source, TOPIC_KEYS};
use super::{Config, TopicDefaults};

/// Limits of connections, the other settings that change than the defaults of topics.
const LIMITS: &[&str] = &["max.connections", "max.connections.per.ip"];
/// The controller reads them, which is no broker of its own.
pub const FOR_ALL_ONLY: &[&str] = &[
    "unclean.leader.election.enable",
    "min.insync.replicas",
    DRAINED,
];

/// Brokers that get no new replicas, of which the controller keeps account: nothing that a file could set.
static DRAINED_BROKERS: Key = Key {
    name: DRAINED,
    kind: Kind::List,
    default: Some(""),
};

/// The key, if it is one that can be changed while brokers run. Of a setting in several units it is the finest.
pub fn find(name: &str) -> Option<&'static Key> {
    if name == DRAINED {
        return Some(&DRAINED_BROKERS);
    }
    let of_topics = TOPIC_KEYS.iter().any(|key| {
        key.synonyms
            .first()
            .is_some_and(|(broker, _)| *broker == name)
    });
    (of_topics || LIMITS.contains(&name))
        .then(|| keys::find(name))
        .flatten()
}

type Set = Option<Arc<BTreeMap<String, String>>>;

/// What is set in the metadata for one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    own: Set,
    all: Set,
}

impl Layers {
    /// As the image has it.
    pub fn of(image: &Image, broker: BrokerId) -> Layers {
        Layers {
            own: image.configs(&Resource::Broker(broker)).cloned(),
            all: image.configs(&Resource::AllBrokers).cloned(),
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.all.is_none()
    }

    /// Where a key is set, the place in effect first. What a later version has set and this one cannot use does not
    /// count.
    pub fn places(&self, key: &str) -> impl Iterator<Item = (&str, Source)> {
        let known = find(key);
        let own = self.own.as_ref().and_then(|set| set.get(key));
        let all = self.all.as_ref().and_then(|set| set.get(key));
        let own = own.map(|value| (value.as_str(), Source::ThisBroker));
        let all = all.map(|value| (value.as_str(), Source::AllBrokers));
        [own, all]
            .into_iter()
            .flatten()
            .filter(move |(value, _)| known.is_some_and(|key| key.kind.accepts(value)))
    }
}

/// How many connections may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Over all listeners (`max.connections`).
    pub total: usize,
    /// Of one address (`max.connections.per.ip`).
    pub per_ip: usize,
}

impl Config {
    /// The defaults of topics with what the metadata sets for this broker.
    pub fn topics_in(&self, image: &Image) -> Cow<'_, TopicDefaults> {
        let layers = Layers::of(image, BrokerId(self.node_id));
        if layers.is_empty() {
            Cow::Borrowed(&self.topics)
        } else {
            Cow::Owned(self.topics.under(layers))
        }
    }

    /// The limits of connections with what the metadata sets for this broker.
    pub fn connection_limits(&self, image: &Image) -> ConnectionLimits {
        let layers = Layers::of(image, BrokerId(self.node_id));
        let limit = |key: &str, configured: usize| {
            let set = layers
                .places(key)
                .next()
                .and_then(|(value, _)| value.parse().ok());
            set.unwrap_or(configured)
        };
        ConnectionLimits {
            total: limit(LIMITS[0], self.net.max_connections),
            per_ip: limit(LIMITS[1], self.net.max_connections_per_ip),
        }
    }
}
