//! `kafka-configs.sh`: settings of topics and brokers.

use anyhow::anyhow;
use pipeline::KafkaOptions;
use wire::Str;
use wire::messages::IncrementalAlterConfigsRequest;
use wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::arguments::{Flag, Given, Usage, switch, unsupported, usage, value};
use super::client;
use super::names::name_of;
use super::settings::{
    BROKER, DYNAMIC_BROKER, DYNAMIC_DEFAULT_BROKER, DYNAMIC_TOPIC, TOPIC, read, source_name,
};
use crate::topic;
use crate::wire_client::Connection;

pub const PURPOSE: &str = "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics or group";

pub const FLAGS: &[Flag] = &[
    value("add-config", "Settings to set: k1=v1,k2=[v1,v2],k3=v3."),
    value(
        "add-config-file",
        "A file of properties with the settings to set.",
    ),
    switch("all", "With --describe: the defaults too."),
    switch("alter", "Alter the settings of the entity."),
    unsupported(
        "bootstrap-controller",
        "the controllers are inside of the brokers: give --bootstrap-server",
    ),
    value(
        "bootstrap-server",
        "REQUIRED: The Kafka server to connect to.",
    ),
    value("broker", "The id of a broker."),
    switch("broker-defaults", "The settings of all brokers."),
    unsupported("broker-logger", "logs are set by LOG_LEVEL and RUST_LOG"),
    unsupported("client", "there are no quotas"),
    unsupported("client-defaults", "there are no quotas"),
    unsupported("client-metrics", "there are no client metrics"),
    value("command-config", "A file of properties for the client."),
    value(
        "delete-config",
        "Settings that go back to their defaults: k1,k2.",
    ),
    switch("describe", "List the settings of the entity."),
    switch(
        "entity-default",
        "The default entity: of brokers, all of them.",
    ),
    value("entity-name", "A topic's name or a broker's id."),
    value("entity-type", "topics or brokers."),
    switch("force", "Without effect: nothing is asked here."),
    unsupported("group", "groups have no settings"),
    switch("help", "Print usage information."),
    unsupported("ip", "there are no quotas"),
    unsupported("ip-defaults", "there are no quotas"),
    value("topic", "A topic's name."),
    unsupported("user", "there are no quotas and no credentials"),
    unsupported("user-defaults", "there are no quotas and no credentials"),
    switch("version", "Display the version."),
];

/// What has settings.
#[derive(Debug, PartialEq, Eq)]
enum Entity {
    Topic(String),
    AllTopics,
    Broker(String),
    AllBrokers,
    /// The settings of all brokers.
    BrokerDefaults,
}

impl Entity {
    fn of(given: &Given) -> Result<Entity, Usage> {
        if let Some(name) = given.one("topic")? {
            return Ok(Entity::Topic(name.to_owned()));
        }
        if let Some(id) = given.one("broker")? {
            return Ok(Entity::Broker(id.to_owned()));
        }
        if given.has("broker-defaults") {
            return Ok(Entity::BrokerDefaults);
        }
        let name = given.one("entity-name")?.map(str::to_owned);
        match (given.one("entity-type")?, name, given.has("entity-default")) {
            (None, ..) => usage("At least one entity type must be specified"),
            (Some("topics"), Some(name), false) => Ok(Entity::Topic(name)),
            (Some("topics"), None, false) => Ok(Entity::AllTopics),
            (Some("brokers"), Some(id), false) => Ok(Entity::Broker(id)),
            (Some("brokers"), None, true) => Ok(Entity::BrokerDefaults),
            (Some("brokers"), None, false) => Ok(Entity::AllBrokers),
            (Some("topics" | "brokers"), ..) => {
                usage("--entity-name and --entity-default do not fit this entity type together")
            }
            (
                Some("clients" | "users" | "ips" | "client-metrics" | "groups" | "broker-loggers"),
                ..,
            ) => usage("of the entity types, topics and brokers have settings here"),
            (Some(other), ..) => usage(format!(
                "Invalid entity type {other}, the entity type must be one of topics, clients, users, brokers, ips, client-metrics, groups, broker-loggers"
            )),
        }
    }

    /// The resource's number and name in requests.
    fn resource(&self) -> (i8, &str) {
        match self {
            Entity::Topic(name) => (TOPIC, name),
            Entity::Broker(id) => (BROKER, id),
            _ => (BROKER, ""),
        }
    }

    /// Where its settings are kept: a broker's with itself.
    async fn connect(&self, kafka: &KafkaOptions) -> anyhow::Result<Connection> {
        match self {
            Entity::Broker(id) => {
                let id = id.parse().map_err(|_| {
                    Usage(format!(
                        "The entity name for brokers must be a valid integer broker id, found: {id}"
                    ))
                })?;
                Connection::broker(kafka, id).await
            }
            _ => Connection::bootstrap(kafka).await,
        }
    }
}

pub async fn run(given: &Given, words: &[String]) -> anyhow::Result<()> {
    given.required("bootstrap-server")?;
    let kafka = client::options(given, &["command-config"], &[])?;
    let outcome = match (given.has("alter"), given.has("describe")) {
        (true, false) => alter(given, &kafka).await,
        (false, true) => describe(given, &kafka).await,
        _ => {
            return Ok(usage(
                "Command must include exactly one action: --describe, --alter",
            )?);
        }
    };
    outcome.map_err(|error| match error.downcast::<Usage>() {
        Ok(usage) => usage.into(),
        Err(error) => anyhow!(
            "Error while executing config command with args '{}'\n{error:#}",
            words.join(" ")
        ),
    })
}

async fn alter(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let entity = Entity::of(given)?;
    if matches!(entity, Entity::AllTopics | Entity::AllBrokers) {
        usage("An entity-name or default entity must be specified with --alter of an entity type")?;
    }
    given.excludes("add-config", &["add-config-file"])?;
    let mut settings = Vec::new();
    if let Some(file) = given.one("add-config-file")? {
        settings = client::file_of_properties(std::path::Path::new(file))?;
    }
    if let Some(text) = given.one("add-config")? {
        settings = pairs(text)?;
    }
    let removed: Vec<&str> = given
        .one("delete-config")?
        .map(|text| text.split(',').map(str::trim).collect())
        .unwrap_or_default();
    if settings.is_empty() && removed.is_empty() {
        usage(
            "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
        )?;
    }
    let change = |name: &str, config_operation, value: Option<&str>| AlterableConfig {
        name: Str::copy_from(name),
        config_operation,
        value: value.map(Str::copy_from),
    };
    let set = settings
        .iter()
        .map(|(name, value)| change(name, SET, Some(value)));
    let removed = removed.iter().map(|name| change(name, DELETE, None));
    let (resource_type, name) = entity.resource();
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name: Str::copy_from(name),
            configs: set.chain(removed).collect(),
        }],
        validate_only: false,
    };
    let answer = entity.connect(kafka).await?.call(&request, 1).await?;
    for outcome in &answer.responses {
        super::check_as_java(outcome.error_code, outcome.error_message.as_deref())?;
    }
    match entity {
        Entity::Topic(name) => println!("Completed updating config for topic {name}."),
        Entity::Broker(id) => println!("Completed updating config for broker {id}."),
        _ => println!("Completed updating default config for brokers in the cluster."),
    }
    Ok(())
}

/// `k1=v1,k2=[v1,v2],k3=`: commas inside of brackets belong to the value.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Usage> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in text.chars() {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    let pair = |part: &String| match part.split_once('=') {
        Some((name, value)) => {
            let value = value.trim();
            let inner = value
                .strip_prefix('[')
                .and_then(|value| value.strip_suffix(']'));
            Ok((name.trim().to_owned(), inner.unwrap_or(value).to_owned()))
        }
        None => usage(
            "requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\".",
        ),
    };
    parts.iter().map(pair).collect()
}

async fn describe(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    let all = given.has("all");
    let mut connection = Connection::bootstrap(kafka).await?;
    let mut entities = match Entity::of(given)? {
        Entity::AllTopics => {
            let topics = connection.metadata(None).await?.topics;
            topics
                .iter()
                .map(|topic| Entity::Topic(name_of(topic).to_owned()))
                .collect()
        }
        Entity::AllBrokers => {
            let brokers = connection.metadata(Some(Vec::new())).await?.brokers;
            let ids = brokers
                .iter()
                .map(|broker| Entity::Broker(broker.node_id.to_string()));
            ids.chain([Entity::BrokerDefaults]).collect()
        }
        one => vec![one],
    };
    entities.sort_by_key(|entity| entity.resource().1.parse::<i64>().unwrap_or(i64::MAX));
    for entity in entities {
        if let Entity::Topic(name) = &entity
            && topic::find(&mut connection, name).await?.is_none()
        {
            println!("The topic '{name}' doesn't exist and doesn't have dynamic config.");
            continue;
        }
        describe_one(kafka, &entity, all).await?;
    }
    Ok(())
}

async fn describe_one(kafka: &KafkaOptions, entity: &Entity, all: bool) -> anyhow::Result<()> {
    let (kind, name) = entity.resource();
    let (own, title) = match entity {
        Entity::Topic(name) => (DYNAMIC_TOPIC, format!("configs for topic {name} are:")),
        Entity::Broker(id) => (DYNAMIC_BROKER, format!("configs for broker {id} are:")),
        _ => (
            DYNAMIC_DEFAULT_BROKER,
            "configs for brokers in the cluster are:".to_owned(),
        ),
    };
    let which = match (entity, all) {
        (Entity::BrokerDefaults, _) => "Default",
        (_, true) => "All",
        (_, false) => "Dynamic",
    };
    println!("{which} {title}");
    let mut connection = entity.connect(kafka).await?;
    for result in read(&mut connection, kind, &[name], true).await? {
        let mut entries = result.configs;
        entries.retain(|entry| all || entry.config_source == own);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.iter().for_each(print);
    }
    Ok(())
}

fn print(entry: &DescribeConfigsResourceResult) {
    let value = |value: &Option<Str>| value.as_deref().unwrap_or("null").to_owned();
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|one| {
            format!(
                "{}:{}={}",
                source_name(one.source),
                &*one.name,
                value(&one.value)
            )
        })
        .collect();
    println!(
        "  {}={} sensitive={} synonyms={{{}}}",
        &*entry.name,
        value(&entry.value),
        entry.is_sensitive,
        synonyms.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_hold_a_value_with_commas_together() {
        let all = pairs("a=1,cleanup.policy=[compact,delete],c=").expect("pairs");
        let expected = [("a", "1"), ("cleanup.policy", "compact,delete"), ("c", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(all, expected);
        assert!(pairs("a").is_err());
    }

    #[test]
    fn an_entity_is_named_by_type_and_name_or_for_short() {
        let entity = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Entity::of(&Given::parse(FLAGS, &words).expect(line))
        };
        let topic = Entity::Topic("t".into());
        assert_eq!(
            entity("--entity-type topics --entity-name t").expect("a topic"),
            topic
        );
        assert_eq!(entity("--topic t").expect("a topic"), topic);
        let defaults = entity("--entity-type brokers --entity-default").expect("defaults");
        assert_eq!(defaults, Entity::BrokerDefaults);
        assert!(entity("--entity-type users --entity-name u").is_err());
        assert!(entity("--entity-name t").is_err());
    }
}
