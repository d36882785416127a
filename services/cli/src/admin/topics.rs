//! `millrace topics`.

use std::io::stdout;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use rdkafka::admin::{ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Value, json};

use super::{Admin, Common, metadata, options, setting};
use crate::output::{Table, joined, print_json};

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
    common: Common,
    name: String,
    /// Number of partitions [default: the cluster's num.partitions]
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition [default: the cluster's default.replication.factor]
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    replication_factor: Option<i32>,
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
    common: Common,
    name: String,
    /// The new number of partitions, larger than the present one. Keys are spread anew over them
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    common: Common,
    #[arg(required = true)]
    names: Vec<String>,
    /// Succeed when there is no topic of that name
    #[arg(long)]
    if_exists: bool,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(list) => list_topics(list),
        Command::Create(create) => create_topic(create).await,
        Command::Describe(describe) => describe_topics(describe).await,
        Command::Alter(alter) => alter_topic(alter).await,
        Command::Delete(delete) => delete_topics(delete).await,
    }
}

fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

fn replicas(topic: &MetadataTopic) -> usize {
    topic
        .partitions()
        .iter()
        .map(|partition| partition.replicas().len())
        .max()
        .unwrap_or(0)
}

fn list_topics(list: List) -> anyhow::Result<()> {
    let metadata = metadata(&list.common.admin()?)?;
    let shown = |topic: &&MetadataTopic| list.internal || !is_internal(topic.name());
    let mut topics: Vec<&MetadataTopic> = metadata.topics().iter().filter(shown).collect();
    topics.sort_by_key(|topic| topic.name());
    let describe = |topic: &&MetadataTopic| json!({"topic": topic.name(), "partitions": topic.partitions().len(), "replication_factor": replicas(topic)});
    if list.common.json {
        return print_json(&mut stdout(), &topics.iter().map(describe).collect());
    }
    let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICAS"]);
    for topic in topics {
        table.row([
            topic.name().into(),
            topic.partitions().len().to_string(),
            replicas(topic).to_string(),
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

async fn create_topic(create: Create) -> anyhow::Result<()> {
    let replication = TopicReplication::Fixed(create.replication_factor.unwrap_or(-1));
    let mut topic = NewTopic::new(&create.name, create.partitions.unwrap_or(-1), replication);
    for (name, value) in &create.config {
        topic = topic.set(name, value);
    }
    let answers = create
        .common
        .admin()?
        .create_topics([&topic], &options())
        .await?;
    match answers.into_iter().next() {
        Some(Ok(name)) => println!("created topic {name}"),
        Some(Err((name, RDKafkaErrorCode::TopicAlreadyExists))) if create.if_not_exists => {
            println!("topic {name} exists")
        }
        Some(Err((name, code))) => bail!("cannot create topic {name}: {code}"),
        None => bail!("the cluster gave no answer"),
    }
    Ok(())
}

async fn describe_topics(describe: Describe) -> anyhow::Result<()> {
    let admin = describe.common.admin()?;
    let metadata = metadata(&admin)?;
    let wanted = |topic: &&MetadataTopic| match describe.names.is_empty() {
        true => !is_internal(topic.name()),
        false => describe.names.iter().any(|name| name == topic.name()),
    };
    let mut topics: Vec<&MetadataTopic> = metadata.topics().iter().filter(wanted).collect();
    topics.sort_by_key(|topic| topic.name());
    let missing = describe
        .names
        .iter()
        .find(|name| !topics.iter().any(|topic| topic.name() == name.as_str()));
    if let Some(name) = missing {
        bail!("there is no topic {name}");
    }
    let mut all = Vec::new();
    for topic in topics {
        let described = describe_topic(&admin, topic).await?;
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

async fn describe_topic(admin: &Admin, topic: &MetadataTopic) -> anyhow::Result<Value> {
    let name = topic.name();
    let identity =
        tokio::task::block_in_place(|| pipeline::cluster::describe_blocking(admin.inner(), name))?;
    let answers = admin
        .describe_configs([&ResourceSpecifier::Topic(name)], &options())
        .await?;
    let resource = answers
        .into_iter()
        .next()
        .ok_or_else(|| anyhow!("the cluster gave no answer"))?;
    let resource =
        resource.map_err(|code| anyhow!("cannot read the settings of {name}: {code}"))?;
    let own = resource
        .entries
        .into_iter()
        .filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let configs: serde_json::Map<String, Value> =
        own.map(|entry| (entry.name, json!(entry.value))).collect();
    let partitions: Vec<Value> = topic
        .partitions()
        .iter()
        .map(|partition| {
            json!({
                "partition": partition.id(), "leader": partition.leader(),
                "replicas": partition.replicas(), "isr": partition.isr(),
            })
        })
        .collect();
    Ok(json!({
        "topic": name, "topic_id": identity.map(|identity| identity.topic_id),
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
    let count = usize::try_from(alter.partitions)?;
    let admin = alter.common.admin()?;
    let answers = admin
        .create_partitions([&NewPartitions::new(&alter.name, count)], &options())
        .await?;
    match answers.into_iter().next() {
        Some(Ok(name)) => println!("topic {name} has {count} partitions now"),
        Some(Err((name, code))) => bail!("cannot alter topic {name}: {code}"),
        None => bail!("the cluster gave no answer"),
    }
    Ok(())
}

async fn delete_topics(delete: Delete) -> anyhow::Result<()> {
    let names: Vec<&str> = delete.names.iter().map(String::as_str).collect();
    let mut failed = Vec::new();
    for answer in delete
        .common
        .admin()?
        .delete_topics(&names, &options())
        .await?
    {
        match answer {
            Ok(name) => println!("deleted topic {name}"),
            Err((name, RDKafkaErrorCode::UnknownTopicOrPartition)) if delete.if_exists => {
                println!("there is no topic {name}")
            }
            Err((name, code)) => failed.push(format!("{name}: {code}")),
        }
    }
    if !failed.is_empty() {
        bail!("cannot delete {}", failed.join("; "));
    }
    Ok(())
}
