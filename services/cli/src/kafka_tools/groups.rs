//! `kafka-consumer-groups.sh`: list and describe groups, delete groups and offsets, reset offsets.

use std::collections::BTreeMap;

use pipeline::KafkaOptions;
use wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::{DeleteGroupsRequest, OffsetDeleteRequest};
use wire::{ErrorCode, Str};

use super::arguments::{Flag, Given, Usage, optional, switch, unsupported, usage, value};
use super::log_offsets::Place;
use super::{client, group_state, groups_describe, groups_reset, java_error};
use crate::wire_client::Connection;

pub const PURPOSE: &str = "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets.";

pub const FLAGS: &[Flag] = &[
    switch("all-groups", "Apply to all consumer groups."),
    switch(
        "all-topics",
        "Consider all topics that the group has offsets of.",
    ),
    value("bootstrap-server", "REQUIRED: The server(s) to connect to."),
    value(
        "by-duration",
        "Reset offsets to a time that long ago: PnDTnHnMnS.",
    ),
    value("command-config", "A file of properties for the client."),
    switch(
        "delete",
        "Delete groups with all their offsets. --group may be repeated.",
    ),
    switch("delete-offsets", "Delete a group's offsets of topics."),
    switch("describe", "Describe groups and list their lag."),
    switch("dry-run", "Only show what --reset-offsets would do."),
    switch("execute", "Do what --reset-offsets shows."),
    switch("export", "Show the result of --reset-offsets as CSV."),
    value("from-file", "Reset offsets to the values in a CSV file."),
    value("group", "The consumer group."),
    switch("help", "Print usage information."),
    switch("list", "List all consumer groups."),
    switch("members", "With --describe: the members."),
    switch("offsets", "With --describe: the offsets (the default)."),
    switch(
        "reset-offsets",
        "Reset offsets of an inactive group: --to-datetime, --by-duration, --to-earliest, --to-latest, --shift-by, --from-file, --to-current or --to-offset, with --all-topics or --topic.",
    ),
    value(
        "shift-by",
        "Reset offsets by so many, backward when negative.",
    ),
    optional(
        "state",
        "With --describe: the state. With --list: the states, or only groups in these.",
    ),
    value(
        "timeout",
        "Without effect: the cluster's answer is waited for 15 seconds.",
    ),
    switch("to-current", "Reset offsets to the present ones."),
    value(
        "to-datetime",
        "Reset offsets to a time: YYYY-MM-DDThh:mm:ss.sss.",
    ),
    switch("to-earliest", "Reset offsets to the earliest."),
    switch("to-latest", "Reset offsets to the latest."),
    value("to-offset", "Reset offsets to this one."),
    value(
        "topic",
        "A topic, or some of its partitions: topic:0,1,2. May be repeated.",
    ),
    optional("type", "With --list: the types, or only groups of these."),
    unsupported(
        "validate-regex",
        "topics are not subscribed to by RE2 patterns here",
    ),
    switch("verbose", "With --describe: more columns."),
    switch("version", "Display the version."),
];

const ACTIONS: &[&str] = &[
    "list",
    "describe",
    "delete",
    "reset-offsets",
    "delete-offsets",
];

pub async fn run(given: &Given) -> anyhow::Result<()> {
    let action = action(given)?;
    let kafka = client::options(given, &["command-config"], &[])?;
    let outcome = match action {
        "list" => list(given, &kafka).await,
        "describe" => groups_describe::run(given, &kafka).await,
        "delete" => delete(given, &kafka).await,
        "reset-offsets" => groups_reset::run(given, &kafka).await,
        _ => delete_offsets(given, &kafka).await,
    };
    match outcome {
        // Kafka's tool prints what went wrong and ends with 0 all the same.
        Err(error) if error.downcast_ref::<Usage>().is_none() => {
            println!("\nError: Executing consumer group command failed due to {error:#}");
            Ok(())
        }
        other => other,
    }
}

fn action(given: &Given) -> Result<&'static str, Usage> {
    let mut actions = ACTIONS.iter().filter(|name| given.has(name));
    let (Some(action), None) = (actions.next(), actions.next()) else {
        return usage(
            "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, --delete-offsets, --validate-regex",
        );
    };
    given.required("bootstrap-server")?;
    let wanted = given.has("group") || given.has("all-groups");
    if matches!(*action, "describe" | "delete" | "reset-offsets") && !wanted {
        return usage(format!(
            "Option [{action}] takes one of these options: [all-groups], [group]"
        ));
    }
    if *action == "delete-offsets" && !(given.has("group") && given.has("topic")) {
        return usage("Option [delete-offsets] takes the following options: [topic], [group]");
    }
    if *action == "delete" && given.has("topic") {
        return usage(
            "The consumer does not support topic-specific offset deletion from a consumer group.",
        );
    }
    given.excludes("all-groups", &["group"])?;
    Ok(action)
}

/// The groups that the options name.
pub async fn wanted(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<Vec<String>> {
    if given.has("all-groups") {
        let all = group_state::list(kafka).await?;
        return Ok(all.into_iter().map(|group| group.id).collect());
    }
    Ok(given.all("group").map(str::to_owned).collect())
}

async fn list(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    let mut groups = group_state::list(kafka).await?;
    let one_of = |list: Option<&str>, word: &str| {
        list.is_none_or(|list| {
            list.split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(word))
        })
    };
    let (states, kinds) = (given.one("state")?, given.one("type")?);
    groups.retain(|group| one_of(states, &group.state) && one_of(kinds, &group.kind));
    let (with_state, with_kind) = (given.has("state"), given.has("type"));
    if !with_state && !with_kind {
        groups.iter().for_each(|group| println!("{}", group.id));
        return Ok(());
    }
    let width = groups
        .iter()
        .map(|group| group.id.len())
        .max()
        .unwrap_or(0)
        .max(25);
    let line = |id: &str, kind: &str, state: &str| {
        let kind = if with_kind {
            format!(" {kind:<20}")
        } else {
            String::new()
        };
        let state = if with_state {
            format!(" {state:<20}")
        } else {
            String::new()
        };
        println!("{id:<width$}{kind}{state}");
    };
    line("GROUP", "TYPE", "STATE");
    groups
        .iter()
        .for_each(|group| line(&group.id, &group.kind, &group.state));
    Ok(())
}

async fn delete(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in wanted(given, kafka).await? {
        let deadline = std::time::Instant::now() + crate::admin::TIMEOUT;
        let mut coordinator = Connection::coordinator(kafka, &group, deadline).await?;
        let request = DeleteGroupsRequest {
            groups_names: vec![Str::copy_from(&group)],
        };
        let answer = coordinator.call(&request, 2).await?;
        let code = answer.results.first().map_or(0, |result| result.error_code);
        match code {
            0 => deleted.push(format!("'{group}'")),
            code => failed.push(format!(
                "* Group '{group}' could not be deleted due to: {}",
                java_error(code, None)
            )),
        }
    }
    if failed.is_empty() {
        println!(
            "Deletion of requested consumer groups ({}) was successful.",
            deleted.join(", ")
        );
        return Ok(());
    }
    println!(
        "\nError: Deletion of some consumer groups failed:\n{}",
        failed.join("\n")
    );
    if !deleted.is_empty() {
        println!(
            "\nThese consumer groups were deleted successfully: {}",
            deleted.join(", ")
        );
    }
    Ok(())
}

async fn delete_offsets(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    let Some(group) = given.one("group")? else {
        return Ok(usage("Missing required argument \"[group]\"")?);
    };
    let places = groups_reset::places(given, kafka, group).await?;
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for (topic, partition_index) in &places {
        let partitions = topics.entry(topic).or_default();
        partitions.push(OffsetDeleteRequestPartition {
            partition_index: *partition_index,
        });
    }
    let request = OffsetDeleteRequest {
        group_id: Str::copy_from(group),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| OffsetDeleteRequestTopic {
                name: Str::copy_from(name),
                partitions,
            })
            .collect(),
    };
    let deadline = std::time::Instant::now() + crate::admin::TIMEOUT;
    let mut coordinator = Connection::coordinator(kafka, group, deadline).await?;
    let answer = coordinator.call(&request, 0).await?;
    let mut outcomes: BTreeMap<Place, i16> = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            let place = (topic.name.to_string(), partition.partition_index);
            outcomes.insert(place, partition.error_code);
        }
    }
    print_deleted(group, answer.error_code, &outcomes);
    Ok(())
}

fn print_deleted(group: &str, code: i16, outcomes: &BTreeMap<Place, i16>) {
    let known = ErrorCode::from_code(code);
    match known {
        Some(ErrorCode::None) if outcomes.values().all(|code| *code == 0) => {
            println!("Request succeeded for deleting offsets from group {group}.");
        }
        Some(ErrorCode::None) => {
            println!("\nError: Encountered some partition-level error, see the follow-up details.");
        }
        Some(ErrorCode::GroupIdNotFound) => {
            println!("\nError: '{group}' is not a valid consumer group.")
        }
        Some(ErrorCode::NonEmptyGroup) => {
            println!(
                "\nError: Encounter some unknown error: {}",
                java_error(code, None)
            );
        }
        _ => println!(
            "\nError: Encounter some unknown error: {}",
            java_error(code, None)
        ),
    }
    println!("\n{:<15} {:<10} {:<15}", "TOPIC", "PARTITION", "STATUS");
    for ((topic, partition), code) in outcomes {
        let status = match code {
            0 => "Successful".to_owned(),
            code => format!("Error: {}", java_error(*code, None)),
        };
        println!("{topic:<15} {partition:<10} {status:<15}");
    }
}
