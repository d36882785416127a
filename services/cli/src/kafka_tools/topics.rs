//! `kafka-topics.sh`: create, list, describe, alter and delete topics.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use wire::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use wire::{ErrorCode, Str};

use super::arguments::{Flag, Given, Usage, switch, unsupported, usage, value};
use super::names::{name_of, select};
use super::{ADMIN_TIMEOUT_MS, client, topics_describe};
use crate::wire_client::Connection;

pub const PURPOSE: &str = "This tool helps to create, delete, describe, or change a topic.";

pub const FLAGS: &[Flag] = &[
    switch("alter", "Alter the number of partitions."),
    switch(
        "at-min-isr-partitions",
        "When describing, only partitions with as many in-sync replicas as the minimum.",
    ),
    value(
        "bootstrap-server",
        "REQUIRED: The Kafka server to connect to.",
    ),
    value("command-config", "A file of properties for the client."),
    value(
        "config",
        "A setting of the topic that is created, NAME=VALUE. May be repeated.",
    ),
    switch("create", "Create a new topic."),
    switch("delete", "Delete a topic."),
    unsupported(
        "delete-config",
        "Kafka's tool has dropped it in 4.0; kafka-configs.sh does it",
    ),
    switch("describe", "List details for the given topics."),
    switch(
        "exclude-internal",
        "Leave internal topics out when listing or describing.",
    ),
    switch("help", "Print usage information."),
    switch(
        "if-exists",
        "Succeed when there is no such topic to alter, delete or describe.",
    ),
    switch(
        "if-not-exists",
        "Succeed when the topic to create exists already.",
    ),
    switch("list", "List all available topics."),
    value(
        "partition-size-limit-per-response",
        "Without effect: there is no such limit here.",
    ),
    value(
        "partitions",
        "The number of partitions of the topic that is created or altered.",
    ),
    value(
        "replica-assignment",
        "The brokers of each partition by hand: 1:2,2:3 are two partitions of two replicas.",
    ),
    value(
        "replication-factor",
        "The number of replicas of the topic that is created.",
    ),
    value(
        "topic",
        "The topic. A regular expression, except for --create.",
    ),
    value("topic-id", "The id of the topic to describe."),
    switch(
        "topics-with-overrides",
        "When describing, only topics with settings of their own.",
    ),
    switch(
        "unavailable-partitions",
        "When describing, only partitions without a leader.",
    ),
    switch(
        "under-min-isr-partitions",
        "When describing, only partitions with fewer in-sync replicas than the minimum.",
    ),
    switch(
        "under-replicated-partitions",
        "When describing, only partitions with a replica that is not in sync.",
    ),
    switch("version", "Display the version."),
];

const ACTIONS: &[&str] = &["create", "list", "alter", "describe", "delete"];

pub async fn run(given: &Given) -> anyhow::Result<()> {
    let action = action(given)?;
    let outcome = act(action, given).await;
    outcome.map_err(|error| match error.downcast::<Usage>() {
        Ok(usage) => usage.into(),
        Err(error) => anyhow!("Error while executing topic command : {error:#}"),
    })
}

/// The one thing to do, and whether the other options fit it.
fn action(given: &Given) -> Result<&'static str, Usage> {
    let mut actions = ACTIONS.iter().filter(|name| given.has(name));
    let (Some(action), None) = (actions.next(), actions.next()) else {
        return usage(
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete",
        );
    };
    if !given.has("bootstrap-server") {
        return usage("--bootstrap-server must be specified");
    }
    if matches!(*action, "create" | "alter" | "delete") {
        given.required("topic")?;
    }
    if *action == "alter" {
        given.required("partitions")?;
    }
    let only = |name: &str, actions: &[&str]| {
        let others = ACTIONS.iter().filter(|other| !actions.contains(other));
        let others: Vec<&str> = others.copied().collect();
        given.excludes(name, &others)
    };
    only("config", &["create"])?;
    only("partitions", &["create", "alter"])?;
    only("replication-factor", &["create"])?;
    only("replica-assignment", &["create", "alter"])?;
    only("if-not-exists", &["create"])?;
    only("if-exists", &["alter", "delete", "describe"])?;
    for filter in topics_describe::FILTERS {
        only(filter, &["describe"])?;
    }
    only("topic-id", &["describe"])?;
    given.excludes("replica-assignment", &["replication-factor"])?;
    if *action == "create" {
        given.excludes("replica-assignment", &["partitions"])?;
    }
    Ok(action)
}

async fn act(action: &str, given: &Given) -> anyhow::Result<()> {
    let kafka = client::options(given, &["command-config"], &[])?;
    match action {
        "create" => create(given, &mut Connection::controller(&kafka).await?).await,
        "list" => list(given, &mut Connection::bootstrap(&kafka).await?).await,
        "describe" => topics_describe::run(given, &kafka).await,
        "alter" => {
            let names = existing(given, &mut Connection::bootstrap(&kafka).await?).await?;
            alter(given, &names, &mut Connection::controller(&kafka).await?).await
        }
        _ => {
            let names = existing(given, &mut Connection::bootstrap(&kafka).await?).await?;
            delete(names, &mut Connection::controller(&kafka).await?).await
        }
    }
}

async fn list(given: &Given, connection: &mut Connection) -> anyhow::Result<()> {
    let excluded = given.has("exclude-internal");
    let topics = select(connection, given.one("topic")?, excluded).await?;
    let names: Vec<&str> = topics.iter().map(name_of).collect();
    println!("{}", names.join("\n"));
    Ok(())
}

/// The names that `--topic` matches. None is an error, except with `--if-exists`.
async fn existing(given: &Given, connection: &mut Connection) -> anyhow::Result<Vec<Str>> {
    let wanted = given.one("topic")?;
    let topics = select(connection, wanted, given.has("exclude-internal")).await?;
    if topics.is_empty() && !given.has("if-exists") {
        bail!(
            "Topic '{}' does not exist as expected",
            wanted.unwrap_or_default()
        );
    }
    Ok(topics.into_iter().filter_map(|topic| topic.name).collect())
}

async fn create(given: &Given, controller: &mut Connection) -> anyhow::Result<()> {
    let name = given.required("topic")?;
    if name.contains(['.', '_']) {
        println!(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. \
             To avoid issues it is best to use either, but not both."
        );
    }
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: Str::copy_from(name),
            num_partitions: given.number("partitions")?.unwrap_or(-1),
            replication_factor: given.number("replication-factor")?.unwrap_or(-1),
            assignments: assignments(given)?
                .into_iter()
                .zip(0..)
                .map(|(broker_ids, partition_index)| CreatableReplicaAssignment {
                    partition_index,
                    broker_ids,
                })
                .collect(),
            configs: given.all("config").map(config).collect::<Result<_, _>>()?,
        }],
        timeout_ms: ADMIN_TIMEOUT_MS,
        validate_only: false,
    };
    let answer = controller.call(&request, 7).await?;
    let Some(outcome) = answer.topics.first() else {
        bail!("the cluster gave no answer")
    };
    let exists = ErrorCode::TopicAlreadyExists as i16 == outcome.error_code;
    if exists && given.has("if-not-exists") {
        return Ok(());
    }
    // What our broker adds in brackets, Kafka's does not say.
    let message = outcome.error_message.as_deref();
    let message = message.map(|text| text.split(" (it takes").next().unwrap_or(text));
    super::check(outcome.error_code, message)?;
    println!("Created topic {name}.");
    Ok(())
}

fn config(text: &str) -> Result<CreatableTopicConfig, Usage> {
    match text.split_once('=') {
        Some((name, value)) => Ok(CreatableTopicConfig {
            name: Str::copy_from(name.trim()),
            value: Some(Str::copy_from(value.trim())),
        }),
        None => usage(format!(
            "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\": {text}"
        )),
    }
}

/// `1:2,2:3`: the brokers of each partition, as many for each.
fn assignments(given: &Given) -> anyhow::Result<Vec<Vec<i32>>> {
    let Some(text) = given.one("replica-assignment")? else {
        return Ok(Vec::new());
    };
    let mut all: Vec<Vec<i32>> = Vec::new();
    for partition in text.split(',') {
        let brokers = partition.split(':').map(|id| id.trim().parse());
        let brokers: Vec<i32> = brokers
            .collect::<Result<_, _>>()
            .map_err(|_| anyhow!("{partition:?} is not a list of brokers such as 1:2"))?;
        let distinct: BTreeMap<i32, ()> = brokers.iter().map(|id| (*id, ())).collect();
        if distinct.len() != brokers.len() {
            bail!("Partition replica lists may not contain duplicate entries: {partition}");
        }
        if all
            .first()
            .is_some_and(|first| first.len() != brokers.len())
        {
            bail!(
                "Partition {} has different replication factor: {partition}",
                all.len()
            );
        }
        all.push(brokers);
    }
    Ok(all)
}

async fn alter(given: &Given, names: &[Str], controller: &mut Connection) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let Some(count) = given.number("partitions")? else {
        return Ok(usage("Missing required argument \"[partitions]\"")?);
    };
    let assigned = assignments(given)?;
    let mut topics = Vec::new();
    for name in names {
        // The list names every partition; those that there are keep theirs.
        let present = controller.metadata(None).await?;
        let present = present
            .topics
            .iter()
            .find(|topic| topic.name.as_ref() == Some(name));
        let present = present.map_or(0, |topic| topic.partitions.len());
        let fresh = assigned.iter().skip(present).cloned();
        let fresh = fresh.map(|broker_ids| CreatePartitionsAssignment { broker_ids });
        topics.push(CreatePartitionsTopic {
            name: name.clone(),
            count,
            assignments: (!assigned.is_empty()).then(|| fresh.collect()),
        });
    }
    let request = CreatePartitionsRequest {
        topics,
        timeout_ms: ADMIN_TIMEOUT_MS,
        validate_only: false,
    };
    for outcome in controller.call(&request, 3).await?.results {
        super::check(outcome.error_code, outcome.error_message.as_deref())?;
    }
    Ok(())
}

async fn delete(names: Vec<Str>, controller: &mut Connection) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let request = DeleteTopicsRequest {
        topic_names: names,
        timeout_ms: ADMIN_TIMEOUT_MS,
        ..DeleteTopicsRequest::default()
    };
    for outcome in controller.call(&request, 5).await?.responses {
        super::check(outcome.error_code, outcome.error_message.as_deref())?;
    }
    Ok(())
}
