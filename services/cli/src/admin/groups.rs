//! `millrace groups`.

use std::collections::BTreeMap;
use std::io::stdout;
use std::time::Instant;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use pipeline::KafkaOptions;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::groups::GroupList;
use serde_json::{Value, json};
use wire::messages::{ConsumerProtocolAssignment, OffsetFetchRequest};
use wire::{Message, Reader, Str};

use super::{Common, TIMEOUT};
use crate::output::{Table, print_json};
use crate::wire_client::{AGAIN, Connection, check, is_secured, may_pass};

#[derive(Subcommand)]
pub enum Command {
    /// List groups with their state and number of members
    List(List),
    /// Show the committed offset and the lag of each partition, and the members that read them
    Describe(Describe),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    common: Common,
    /// The group's id
    group: String,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(list) => list_groups(list).await,
        Command::Describe(describe) => describe_group(describe).await,
    }
}

type Admin = AdminClient<DefaultClientContext>;

/// A client of librdkafka, which asks every broker for its groups.
async fn client(kafka: &KafkaOptions) -> anyhow::Result<Admin> {
    // librdkafka would try until its time is over, and then not say which address is wrong.
    if !is_secured(kafka) {
        Connection::bootstrap(kafka).await?;
    }
    kafka
        .client("millrace-cli")
        .create()
        .context("cannot create a Kafka client")
}

fn fetch(admin: &Admin, group: Option<&str>) -> anyhow::Result<GroupList> {
    tokio::task::block_in_place(|| admin.inner().fetch_group_list(group, TIMEOUT))
        .context("cannot list the groups")
}

async fn list_groups(list: List) -> anyhow::Result<()> {
    let found = fetch(&client(&list.common.kafka).await?, None)?;
    let mut groups: Vec<_> = found.groups().iter().collect();
    groups.sort_by_key(|group| group.name());
    if list.common.json {
        let one = |group: &&rdkafka::groups::GroupInfo| {
            json!({
                "group": group.name(), "state": group.state(), "members": group.members().len(),
                "protocol_type": group.protocol_type(), "assignor": group.protocol(),
            })
        };
        return print_json(&mut stdout(), &groups.iter().map(one).collect());
    }
    let mut table = Table::new(["GROUP", "STATE", "MEMBERS", "ASSIGNOR"]);
    for group in groups {
        let members = group.members().len().to_string();
        table.row([
            group.name().into(),
            group.state().into(),
            members,
            group.protocol().into(),
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

/// What one partition looks like to a group.
struct Position {
    committed: Option<i64>,
    end: Option<i64>,
    member: Option<String>,
}

async fn describe_group(describe: Describe) -> anyhow::Result<()> {
    let admin = client(&describe.common.kafka).await?;
    let found = fetch(&admin, Some(&describe.group))?;
    let group = found
        .groups()
        .iter()
        .find(|group| group.name() == describe.group);
    let mut positions = committed(&describe.common.kafka, &describe.group).await?;
    let state = group.map_or("Dead", |group| group.state());
    if state == "Dead" && positions.is_empty() {
        bail!("there is no group {}", describe.group);
    }
    for member in group.map_or(&[][..], |group| group.members()) {
        let name = format!(
            "{} {} ({})",
            member.id(),
            member.client_host(),
            member.client_id()
        );
        for place in assigned(member.assignment())? {
            let empty = Position {
                committed: None,
                end: None,
                member: None,
            };
            positions.entry(place).or_insert(empty).member = Some(name.clone());
        }
    }
    for ((topic, partition), position) in &mut positions {
        let ends = tokio::task::block_in_place(|| {
            admin.inner().fetch_watermarks(topic, *partition, TIMEOUT)
        });
        position.end = ends.ok().map(|(_, end)| end);
    }
    print_group(
        &describe,
        state,
        group.map_or(0, |group| group.members().len()),
        &positions,
    )
}

fn print_group(
    describe: &Describe,
    state: &str,
    members: usize,
    positions: &BTreeMap<(String, i32), Position>,
) -> anyhow::Result<()> {
    let lag = |position: &Position| Some((position.end? - position.committed?).max(0));
    if describe.common.json {
        let one = |((topic, partition), position): (&(String, i32), &Position)| {
            json!({
                "topic": topic, "partition": partition, "committed_offset": position.committed,
                "log_end_offset": position.end, "lag": lag(position), "member": position.member,
            })
        };
        let partitions: Vec<Value> = positions.iter().map(one).collect();
        let group = json!({"group": describe.group, "state": state, "members": members, "partitions": partitions});
        return print_json(&mut stdout(), &group);
    }
    println!("{}  {state}  {members} members", describe.group);
    let number =
        |number: Option<i64>| number.map_or_else(|| "-".into(), |number| number.to_string());
    let mut table = Table::new([
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "LOG END",
        "LAG",
        "MEMBER",
    ]);
    for ((topic, partition), position) in positions {
        let member = position.member.clone().unwrap_or_else(|| "-".into());
        let (committed, end) = (number(position.committed), number(position.end));
        table.row([
            topic.clone(),
            partition.to_string(),
            committed,
            end,
            number(lag(position)),
            member,
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

/// Every offset that the group has committed.
async fn committed(
    options: &KafkaOptions,
    group: &str,
) -> anyhow::Result<BTreeMap<(String, i32), Position>> {
    let deadline = Instant::now() + TIMEOUT;
    let question = OffsetFetchRequest {
        group_id: Str::copy_from(group),
        topics: None,
        ..OffsetFetchRequest::default()
    };
    let answer = loop {
        let mut coordinator = Connection::coordinator(options, group, deadline).await?;
        let answer = coordinator.call(&question, 7).await?;
        if !may_pass(answer.error_code) || Instant::now() >= deadline {
            break answer;
        }
        tokio::time::sleep(AGAIN).await;
    };
    check(answer.error_code, None).context("cannot read the group's offsets")?;
    let mut positions = BTreeMap::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            check(partition.error_code, None).with_context(|| topic.name.to_string())?;
            let position = Position {
                committed: Some(partition.committed_offset),
                end: None,
                member: None,
            };
            positions.insert(
                (topic.name.to_string(), partition.partition_index),
                position,
            );
        }
    }
    Ok(positions)
}

/// The partitions in a member's assignment, which the consumers themselves encode.
fn assigned(assignment: Option<&[u8]>) -> anyhow::Result<Vec<(String, i32)>> {
    let Some(bytes) = assignment.filter(|bytes| !bytes.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let version = reader.i16()?.clamp(0, 3);
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, version)
        .context("a member's assignment")?;
    let of_topic = |topic: &wire::messages::consumer_protocol_assignment::TopicPartition| {
        let name = topic.topic.to_string();
        topic
            .partitions
            .iter()
            .map(move |partition| (name.clone(), *partition))
            .collect::<Vec<_>>()
    };
    Ok(assignment
        .assigned_partitions
        .iter()
        .flat_map(of_topic)
        .collect())
}
