//! `kafka-consumer-groups.sh --describe`: offsets, members or state of groups.

use std::collections::BTreeMap;

use pipeline::KafkaOptions;
use wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};

use super::arguments::Given;
use super::group_state::{self, Committed, Coordinator, assigned};
use super::groups::wanted;
use super::log_offsets::{LATEST, Place, look_up};

pub async fn run(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    given.excludes("members", &["offsets", "state"])?;
    given.excludes("offsets", &["state"])?;
    let verbose = given.has("verbose");
    for group in wanted(given, kafka).await? {
        let found = group_state::describe(kafka, &group).await?;
        let Some((described, coordinator)) = found else {
            anyhow::bail!(
                "org.apache.kafka.common.errors.GroupIdNotFoundException: Group {group} not found."
            );
        };
        if given.has("members") {
            print_members(&described, verbose)?;
        } else if given.has("state") {
            print_state(&described, &coordinator);
        } else {
            print_offsets(kafka, &described, verbose).await?;
        }
    }
    Ok(())
}

/// Says what a group without a line has; whether lines follow.
fn has_lines(group: &DescribedGroup, lines: usize) -> bool {
    match &*group.group_state {
        "Dead" => println!(
            "\nError: Consumer group '{}' does not exist.",
            &*group.group_id
        ),
        "Empty" => eprintln!(
            "\nConsumer group '{}' has no active members.",
            &*group.group_id
        ),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            eprintln!(
                "\nWarning: Consumer group '{}' is rebalancing.",
                &*group.group_id
            );
        }
        _ => {}
    }
    lines > 0
}

/// A table whose columns have a least width each. Where the last has none, its cells are not padded, as in Kafka's tool.
fn print_table(header: &[&str], least: &[usize], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(least[column])
    };
    let mut widths: Vec<usize> = (0..header.len()).map(width).collect();
    if let (Some(last), Some(0)) = (widths.last_mut(), least.last()) {
        *last = 0;
    }
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths);
        let padded = padded.map(|(cell, width)| format!("{cell:<width$}"));
        println!("{}", padded.collect::<Vec<_>>().join(" "));
    };
    println!();
    line(header.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}

async fn print_offsets(
    kafka: &KafkaOptions,
    group: &DescribedGroup,
    verbose: bool,
) -> anyhow::Result<()> {
    let committed = group_state::committed(kafka, &group.group_id).await?;
    let mut readers: BTreeMap<Place, &DescribedGroupMember> = BTreeMap::new();
    for member in &group.members {
        for place in assigned(member)? {
            readers.insert(place, member);
        }
    }
    let mut places: Vec<&Place> = committed.keys().chain(readers.keys()).collect();
    places.sort();
    places.dedup();
    let ends = look_up(kafka, places.iter().copied(), LATEST).await?;
    let rows: Vec<Vec<String>> = places
        .iter()
        .map(|place| {
            let end = ends.get(*place).copied().flatten();
            let reader = readers.get(*place).copied();
            offset_row(group, place, committed.get(*place), end, reader, verbose)
        })
        .collect();
    if !has_lines(group, rows.len()) {
        return Ok(());
    }
    let mut header = vec![
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ];
    let mut least = vec![15, 15, 10, 15, 15, 15, 15, 15, 0];
    if verbose {
        header.insert(3, "LEADER-EPOCH");
        least.insert(3, 15);
    }
    print_table(&header, &least, &rows);
    Ok(())
}

fn offset_row(
    group: &DescribedGroup,
    place: &Place,
    committed: Option<&Committed>,
    end: Option<i64>,
    reader: Option<&DescribedGroupMember>,
    verbose: bool,
) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |one| one.to_string());
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let offset = committed.map(|committed| committed.offset);
    let lag = end.zip(offset).map(|(end, offset)| end - offset);
    let mut row = vec![
        group.group_id.to_string(),
        place.0.clone(),
        place.1.to_string(),
        number(offset),
        number(end),
        number(lag),
        text(reader.map(|member| &*member.member_id)),
        text(reader.map(|member| &*member.client_host)),
        text(reader.map(|member| &*member.client_id)),
    ];
    if verbose {
        let epoch = committed.filter(|committed| committed.leader_epoch >= 0);
        row.insert(
            3,
            number(epoch.map(|committed| i64::from(committed.leader_epoch))),
        );
    }
    row
}

fn print_members(group: &DescribedGroup, verbose: bool) -> anyhow::Result<()> {
    has_lines(group, group.members.len());
    let mut rows = Vec::new();
    for member in &group.members {
        let places = assigned(member)?;
        let mut row = vec![
            group.group_id.to_string(),
            member.member_id.to_string(),
            member.client_host.to_string(),
            member.client_id.to_string(),
            places.len().to_string(),
        ];
        if verbose {
            // Epochs and a target assignment are of the newer protocol's groups.
            row.extend(["-".into(), assignment(&places), "-".into(), "-".into()]);
        }
        rows.push(row);
    }
    let mut header = vec!["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"];
    // Its last column has a blank behind it.
    let mut least = vec![15, 15, 15, 15, 16];
    if verbose {
        header.extend([
            "CURRENT-EPOCH",
            "CURRENT-ASSIGNMENT",
            "TARGET-EPOCH",
            "TARGET-ASSIGNMENT",
        ]);
        least = vec![15, 15, 15, 15, 15, 15, 20, 15, 20];
    }
    print_table(&header, &least, &rows);
    Ok(())
}

/// `web-logs:0,1;orders:2`.
fn assignment(places: &[Place]) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in places {
        topics.entry(topic).or_default().push(*partition);
    }
    if topics.is_empty() {
        return "-".into();
    }
    let one = |(topic, mut partitions): (&str, Vec<i32>)| {
        partitions.sort_unstable();
        format!("{topic}:{}", crate::output::joined(&partitions))
    };
    topics.into_iter().map(one).collect::<Vec<_>>().join(";")
}

fn print_state(group: &DescribedGroup, coordinator: &Coordinator) {
    has_lines(group, 1);
    let strategy = match &*group.protocol_data {
        "" => "-",
        strategy => strategy,
    };
    let row = vec![
        group.group_id.to_string(),
        format!("{}  ({})", coordinator.address, coordinator.id),
        strategy.to_owned(),
        group.group_state.to_string(),
        group.members.len().to_string(),
    ];
    let header = [
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        "#MEMBERS",
    ];
    print_table(&header, &[15, 25, 20, 20, 0], &[row]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_one_word() {
        let place = |topic: &str, partition| (topic.to_owned(), partition);
        let places = [place("b", 2), place("a", 1), place("a", 0)];
        assert_eq!(assignment(&places), "a:0,1;b:2");
        assert_eq!(assignment(&[]), "-");
    }
}
