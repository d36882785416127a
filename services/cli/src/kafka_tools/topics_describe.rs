//! `kafka-topics.sh --describe`.

use std::collections::BTreeMap;

use anyhow::bail;
use pipeline::KafkaOptions;
use wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use wire::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};

use super::arguments::Given;
use super::names::{name_of, select};
use super::settings::{self, DEFAULT};
use crate::output::joined;
use crate::wire_client::Connection;

/// The options of which one at most says what is shown.
pub const FILTERS: &[&str] = &[
    "under-replicated-partitions",
    "unavailable-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
    "topics-with-overrides",
];

type Settings = BTreeMap<String, Vec<DescribeConfigsResourceResult>>;

pub async fn run(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    for (at, filter) in FILTERS.iter().enumerate() {
        given.excludes(filter, &FILTERS[at + 1..])?;
    }
    let mut connection = Connection::bootstrap(kafka).await?;
    let (wanted, id) = (given.one("topic")?, given.one("topic-id")?);
    let mut topics = select(&mut connection, wanted, given.has("exclude-internal")).await?;
    if let Some(id) = id {
        topics.retain(|topic| topic.topic_id.to_string() == id);
    }
    if topics.is_empty() && (wanted.is_some() || id.is_some()) && !given.has("if-exists") {
        match id {
            Some(id) => bail!("TopicId '{id}' does not exist as expected"),
            None => bail!(
                "Topic '{}' does not exist as expected",
                wanted.unwrap_or_default()
            ),
        }
    }
    let names: Vec<&str> = topics.iter().map(name_of).collect();
    let settings = settings::topics(&mut connection, &names).await?;
    let filter = FILTERS.iter().find(|filter| given.has(filter)).copied();
    for topic in &topics {
        print(topic, &settings, filter);
    }
    Ok(())
}

fn print(topic: &MetadataResponseTopic, settings: &Settings, filter: Option<&str>) {
    let name = name_of(topic);
    let empty = Vec::new();
    let entries = settings.get(name).unwrap_or(&empty);
    let own = entries
        .iter()
        .filter(|entry| entry.config_source != DEFAULT);
    let own: Vec<String> = own
        .map(|entry| {
            format!(
                "{}={}",
                &*entry.name,
                entry.value.as_deref().unwrap_or("null")
            )
        })
        .collect();
    if filter.is_none() || (filter == Some("topics-with-overrides") && !own.is_empty()) {
        let replicas = topic
            .partitions
            .first()
            .map_or(0, |p| p.replica_nodes.len());
        println!(
            "Topic: {name}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {}",
            topic.topic_id,
            topic.partitions.len(),
            own.join(",")
        );
    }
    if filter == Some("topics-with-overrides") {
        return;
    }
    let minimum = entries
        .iter()
        .find(|entry| &*entry.name == "min.insync.replicas");
    let minimum = minimum.and_then(|entry| entry.value.as_deref()?.parse().ok());
    let mut partitions: Vec<_> = topic.partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.partition_index);
    for partition in partitions {
        if is_shown(partition, filter, minimum.unwrap_or(1)) {
            print_partition(name, partition);
        }
    }
}

fn is_shown(partition: &MetadataResponsePartition, filter: Option<&str>, minimum: usize) -> bool {
    let (replicas, in_sync) = (partition.replica_nodes.len(), partition.isr_nodes.len());
    match filter {
        Some("under-replicated-partitions") => in_sync < replicas,
        Some("unavailable-partitions") => partition.leader_id < 0,
        Some("under-min-isr-partitions") => in_sync < minimum,
        Some("at-min-isr-partitions") => in_sync == minimum,
        _ => true,
    }
}

fn print_partition(topic: &str, partition: &MetadataResponsePartition) {
    let leader = match partition.leader_id {
        leader if leader < 0 => "none".to_owned(),
        leader => leader.to_string(),
    };
    // Eligible leader replicas (KIP-966) are not in Metadata; Kafka's own tool has them of DescribeTopicPartitions.
    println!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: \tLastKnownElr: ",
        partition.partition_index,
        joined(&partition.replica_nodes),
        joined(&partition.isr_nodes)
    );
}
