//! The broker's configuration: `server.properties` with Kafka's names, and `KAFKA_*` variables.
//!
//! [`load`] reads both, reports keys without effect, and gives a [`Config`]: one options struct per
//! component, each field with its unit and the key that sets it. Defaults are in [`keys`].

pub mod dynamic;
pub mod keys;
pub mod listeners;
pub mod properties;
pub mod sections;
pub mod topic;
mod values;
mod voters;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use listeners::{Endpoint, Listeners};
pub use sections::{
    FetchConfig, GroupConfig, LogConfig, MetricsConfig, NetConfig, QuorumConfig, ReplicationConfig,
};
pub use topic::{TopicConfig, TopicDefaults};
pub use values::{Ignored, Invalid, Values};
pub use voters::Voter;

/// What this process does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Serves clients and holds partitions.
    pub broker: bool,
    /// Votes in the metadata quorum.
    pub controller: bool,
}

/// The whole configuration of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// `process.roles`; both by default.
    pub roles: Roles,
    /// `node.id`; 1 by default.
    pub node_id: i32,
    /// `broker.rack`; none by default.
    pub rack: Option<String>,
    /// The cluster id to start a new cluster with (`cluster.id`, or `CLUSTER_ID` as the
    /// `apache/kafka` image has it). An existing cluster's own id is never changed by it.
    pub cluster_id: Option<String>,
    /// The address of `/metrics`, `/healthz` and `/readyz` (`http.listen`); none if empty.
    pub http_listen: Option<String>,
    /// Appends a second that may have spans (`trace.spans.per.second`), where the environment asks for traces.
    pub spans_per_second: u32,
    /// Sockets.
    pub listeners: Listeners,
    /// Protection of sockets and memory.
    pub net: NetConfig,
    /// The metadata quorum.
    pub quorum: QuorumConfig,
    /// The partition logs.
    pub log: LogConfig,
    /// Defaults of topics.
    pub topics: TopicDefaults,
    /// Replication.
    pub replication: ReplicationConfig,
    /// Fetch requests.
    pub fetch: FetchConfig,
    /// Consumer groups.
    pub groups: GroupConfig,
    /// What is shown at `/metrics`.
    pub metrics: MetricsConfig,
    /// The keys as they were given.
    pub values: Values,
}

/// Reads the file, if there is one, and the environment on top of it.
pub fn load<I>(file: Option<&Path>, environment: I) -> Result<(Config, Ignored), LoadError>
where
    I: IntoIterator<Item = (String, String)>,
{
    let mut given = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| LoadError::Unreadable {
                path: path.into(),
                error,
            })?;
            properties::parse(&text)
        }
        None => BTreeMap::new(),
    };
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    if let Some((_, id)) = environment.iter().find(|(name, _)| name == "CLUSTER_ID") {
        given.insert("cluster.id".into(), id.clone());
    }
    given.extend(properties::from_environment(environment));
    Config::from_map(given).map_err(LoadError::Invalid)
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A value cannot be used.
    #[error(transparent)]
    Invalid(Invalid),
}

impl Config {
    /// Builds the configuration from keys and values.
    pub fn from_map(given: BTreeMap<String, String>) -> Result<(Config, Ignored), Invalid> {
        let (values, ignored) = Values::check(given)?;
        let roles = roles(&values);
        let node_id = values
            .given_whole("node.id")
            .or_else(|| values.given_whole("broker.id"))
            .unwrap_or(1);
        let listeners = Listeners::resolve(&listeners::Given {
            listeners: values.given("listeners"),
            advertised: values.given("advertised.listeners"),
            protocols: values.given("listener.security.protocol.map"),
            inter_broker: values.given("inter.broker.listener.name"),
            controller_names: values.given("controller.listener.names"),
            is_broker: roles.broker,
            is_controller: roles.controller,
        })?;
        let quorum = QuorumConfig::from_values(&values, node_id, roles, &listeners)?;
        let voters = quorum.voters.len();
        let config = Config {
            roles,
            node_id,
            rack: values.given("broker.rack").map(str::to_string),
            cluster_id: values.given("cluster.id").map(str::to_string),
            http_listen: http_listen(&values),
            spans_per_second: values.whole("trace.spans.per.second"),
            listeners,
            net: NetConfig::from_values(&values),
            log: LogConfig::from_values(&values)?,
            topics: TopicDefaults::from_values(&values, voters),
            replication: ReplicationConfig::from_values(&values),
            fetch: FetchConfig::from_values(&values),
            groups: GroupConfig::from_values(&values, voters),
            metrics: MetricsConfig::from_values(&values),
            quorum,
            values,
        };
        Ok((config, ignored))
    }
}

fn roles(values: &Values) -> Roles {
    match values.given("process.roles") {
        None => Roles {
            broker: true,
            controller: true,
        },
        Some(list) => {
            let has = |role: &str| list.split(',').any(|word| word.trim() == role);
            Roles {
                broker: has("broker"),
                controller: has("controller"),
            }
        }
    }
}

fn http_listen(values: &Values) -> Option<String> {
    // A key that is given but empty switches the server off.
    match values.iter().find(|(key, _)| *key == "http.listen") {
        Some((_, "")) => None,
        Some((_, address)) => Some(address.to_string()),
        None => Some(values.text("http.listen").to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<(Config, Ignored), Invalid> {
        Config::from_map(
            pairs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
        )
    }

    #[test]
    fn nothing_at_all_gives_a_single_node() {
        let (config, ignored) = config(&[]).unwrap();
        assert_eq!(ignored, Ignored::default());
        assert!(config.roles.broker && config.roles.controller);
        assert_eq!(config.quorum.voters.len(), 1);
        assert_eq!(config.topics.replication_factor, 1);
        assert_eq!(config.topics.min_insync_replicas(), 1);
    }

    #[test]
    fn three_voters_replicate_three_times_by_default() {
        let (config, _) = config(&[
            ("node.id", "1"),
            ("controller.quorum.voters", "1@a:9093,2@b:9093,3@c:9093"),
        ])
        .unwrap();
        assert_eq!(config.topics.replication_factor, 3);
        assert_eq!(config.topics.min_insync_replicas(), 2);
        assert_eq!(config.groups.offsets_replication_factor, 3);
    }

    #[test]
    fn keys_without_effect_are_reported_by_kind() {
        let (_, ignored) =
            config(&[("ssl.keystore.location", "/x"), ("no.such.key", "1")]).unwrap();
        assert_eq!(ignored.unsupported, ["ssl.keystore.location"]);
        assert_eq!(ignored.unknown, ["no.such.key"]);
    }

    #[test]
    fn a_bad_value_names_key_value_and_what_is_allowed() {
        let error = config(&[("num.partitions", "many")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "num.partitions=many cannot be used: it takes a whole number, 1 or more"
        );
    }

    #[test]
    fn a_list_without_any_directory_is_refused() {
        let error = config(&[("log.dirs", " , ")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "log.dirs=, cannot be used: it takes one directory or more"
        );
    }

    #[test]
    fn every_default_of_the_table_fits_its_own_kind() {
        for key in keys::KEYS {
            if let Some(default) = key.default {
                assert!(key.kind.accepts(default), "{} = {default}", key.name);
            }
        }
    }
}
