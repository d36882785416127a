//! `millrace topics`.

use std::io::stdout;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use pipeline::KafkaOptions;
use serde_json::{Value, json};
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::metadata_response::MetadataResponseTopic;
use wire::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use wire::{ErrorCode, Str};

use super::configs::{self, Kind};
use super::{Common, TIMEOUT, secured, setting};
use crate::output::{Table, joined, print_json};
use crate::topic;
use crate::wire_client::{Connection, check, is_secured};

#[derive(Subcommand)]
pub enum Command {
    /// List topics with their partitions and replicas
    List(List),
    /// Create a topic
    Create(Create),
    /// Show partitions, leaders, replicas, in-sync replicas, and the settings that differ from the defaults
    Describe(Describe),
    /// Raise the number of partitions
    Alter(Alter),
    /// Delete topics with all their records
    Delete(Delete),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    common: Common,
    /// Show Kafka's own topics too (__consumer_offsets)
    #[arg(long)]
    internal: bool,
}

#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// The topic's name
    name: String,
    /// Number of partitions [default: the cluster's num.partitions]
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition [default: the cluster's default.replication.factor]
    #[arg(long, short, value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topic, such as retention.ms=3600000. May be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,
    /// Succeed when there is a topic of that name
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    common: Common,
    /// Topics to show [default: all but Kafka's own]
    names: Vec<String>,
}

#[derive(Args)]
pub struct Alter {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// The topic's name
    name: String,
    /// The new number of partitions, larger than the present one. Keys are spread anew over them
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// The topics' names
    #[arg(required = true)]
    names: Vec<String>,
    /// Succeed when there is no topic of that name
    #[arg(long)]
    if_exists: bool,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(list) => list_topics(list).await,
        Command::Create(create) => create_topic(create).await,
        Command::Describe(describe) => describe_topics(describe).await,
        Command::Alter(alter) => alter_topic(alter).await,
        Command::Delete(delete) => delete_topics(delete).await,
    }
}

fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_deref().unwrap_or_default()
}

fn replicas(topic: &MetadataResponseTopic) -> usize {
    let counts = topic.partitions.iter().map(|p| p.replica_nodes.len());
    counts.max().unwrap_or(0)
}

/// All topics, in the order of their names.
async fn all(connection: &mut Connection) -> anyhow::Result<Vec<MetadataResponseTopic>> {
    let mut topics = connection.metadata(None).await?.topics;
    topics.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    Ok(topics)
}

async fn list_topics(list: List) -> anyhow::Result<()> {
    let mut connection = Connection::bootstrap(&list.common.kafka).await?;
    let mut topics = all(&mut connection).await?;
    topics.retain(|topic| list.internal || !is_internal(name_of(topic)));
    let describe = |topic: &MetadataResponseTopic| json!({"topic": name_of(topic), "partitions": topic.partitions.len(), "replication_factor": replicas(topic)});
    if list.common.json {
        return print_json(&mut stdout(), &topics.iter().map(describe).collect());
    }
    let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICAS"]);
    for topic in &topics {
        table.row([
            name_of(topic).into(),
            topic.partitions.len().to_string(),
            replicas(topic).to_string(),
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

async fn create_topic(create: Create) -> anyhow::Result<()> {
    let name = &create.name;
    if is_secured(&create.kafka) {
        return create_secured(&create).await;
    }
    let config = |(key, value): &(String, String)| CreatableTopicConfig {
        name: Str::copy_from(key),
        value: Some(Str::copy_from(value)),
    };
    let topic = CreatableTopic {
        name: Str::copy_from(name),
        num_partitions: create.partitions.unwrap_or(-1),
        replication_factor: create.replication_factor.unwrap_or(-1),
        configs: create.config.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: timeout_ms(),
        ..CreateTopicsRequest::default()
    };
    let mut controller = Connection::controller(&create.kafka).await?;
    let answer = controller.call(&request, 7).await?;
    let Some(outcome) = answer.topics.first() else {
        bail!("the cluster gave no answer")
    };
    let exists = is(outcome.error_code, ErrorCode::TopicAlreadyExists);
    if exists && create.if_not_exists {
        println!("topic {name} exists");
        return Ok(());
    }
    check(outcome.error_code, outcome.error_message.as_deref())
        .with_context(|| format!("cannot create topic {name}"))?;
    println!("created topic {name}");
    Ok(())
}

async fn create_secured(create: &Create) -> anyhow::Result<()> {
    let (name, partitions) = (&create.name, create.partitions.unwrap_or(-1));
    let factor = create.replication_factor.unwrap_or(-1);
    match secured::create_topic(
        &create.kafka,
        name,
        partitions,
        factor.into(),
        &create.config,
    )
    .await?
    {
        true => println!("created topic {name}"),
        false if create.if_not_exists => println!("topic {name} exists"),
        false => bail!("cannot create topic {name}: it exists"),
    }
    Ok(())
}

fn timeout_ms() -> i32 {
    i32::try_from(TIMEOUT.as_millis()).unwrap_or(i32::MAX)
}

fn is(code: i16, error: ErrorCode) -> bool {
    ErrorCode::from_code(code) == Some(error)
}

async fn describe_topics(describe: Describe) -> anyhow::Result<()> {
    let mut connection = Connection::bootstrap(&describe.common.kafka).await?;
    let topics = if describe.names.is_empty() {
        let mut topics = all(&mut connection).await?;
        topics.retain(|topic| !is_internal(name_of(topic)));
        topics
    } else {
        let mut topics = Vec::new();
        for name in &describe.names {
            match topic::find(&mut connection, name).await? {
                Some(topic) => topics.push(topic),
                None => bail!("there is no topic {name}"),
            }
        }
        topics
    };
    let mut all = Vec::new();
    for topic in topics {
        let described = describe_topic(&mut connection, &topic).await?;
        match describe.common.json {
            true => all.push(described),
            false => print_topic(&described)?,
        }
    }
    if describe.common.json {
        print_json(&mut stdout(), &Value::Array(all))?;
    }
    Ok(())
}

async fn describe_topic(
    connection: &mut Connection,
    topic: &MetadataResponseTopic,
) -> anyhow::Result<Value> {
    let name = name_of(topic);
    let entries = configs::read(connection, Kind::Topic, name).await?;
    let own = entries
        .iter()
        .filter(|entry| entry.config_source == configs::TOPIC);
    let configs: serde_json::Map<String, Value> = own
        .map(|entry| (entry.name.to_string(), json!(entry.value.as_deref())))
        .collect();
    let mut partitions: Vec<_> = topic.partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.partition_index);
    let partitions: Vec<Value> = partitions
        .into_iter()
        .map(|partition| {
            json!({
                "partition": partition.partition_index, "leader": partition.leader_id,
                "replicas": partition.replica_nodes, "isr": partition.isr_nodes,
            })
        })
        .collect();
    Ok(json!({
        "topic": name, "topic_id": topic.topic_id.to_string(),
        "replication_factor": replicas(topic), "configs": configs, "partitions": partitions,
    }))
}

fn print_topic(topic: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let ids = |value: &Value| joined(value.as_array().map_or(&[][..], Vec::as_slice));
    println!(
        "{}  id {}  replicas {}",
        text(&topic["topic"]),
        text(&topic["topic_id"]),
        topic["replication_factor"]
    );
    for (name, value) in topic["configs"].as_object().into_iter().flatten() {
        println!("  {name}={}", text(value));
    }
    let mut table = Table::new(["  PARTITION", "LEADER", "REPLICAS", "IN SYNC"]);
    for partition in topic["partitions"].as_array().into_iter().flatten() {
        let leader = partition["leader"].as_i64().filter(|leader| *leader >= 0);
        let leader = leader.map_or_else(|| "none".into(), |leader| leader.to_string());
        table.row([
            format!("  {}", partition["partition"]),
            leader,
            ids(&partition["replicas"]),
            ids(&partition["isr"]),
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

async fn alter_topic(alter: Alter) -> anyhow::Result<()> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: Str::copy_from(&alter.name),
            count: alter.partitions,
            assignments: None,
        }],
        timeout_ms: timeout_ms(),
        validate_only: false,
    };
    let mut controller = Connection::controller(&alter.kafka).await?;
    let answer = controller.call(&request, 3).await?;
    let Some(outcome) = answer.results.first() else {
        bail!("the cluster gave no answer")
    };
    check(outcome.error_code, outcome.error_message.as_deref())
        .with_context(|| format!("cannot alter topic {}", alter.name))?;
    println!(
        "topic {} has {} partitions now",
        alter.name, alter.partitions
    );
    Ok(())
}

async fn delete_topics(delete: Delete) -> anyhow::Result<()> {
    let request = DeleteTopicsRequest {
        topic_names: delete
            .names
            .iter()
            .map(|name| Str::copy_from(name))
            .collect(),
        timeout_ms: timeout_ms(),
        ..DeleteTopicsRequest::default()
    };
    let mut controller = Connection::controller(&delete.kafka).await?;
    let mut failed = Vec::new();
    for outcome in controller.call(&request, 5).await?.responses {
        let name = outcome.name.as_deref().unwrap_or_default();
        if is(outcome.error_code, ErrorCode::UnknownTopicOrPartition) && delete.if_exists {
            println!("there is no topic {name}");
            continue;
        }
        match check(outcome.error_code, outcome.error_message.as_deref()) {
            Ok(()) => println!("deleted topic {name}"),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    if !failed.is_empty() {
        bail!("cannot delete {}", failed.join("; "));
    }
    Ok(())
}
