//! `kafka-consumer-groups.sh --reset-offsets`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, NaiveDateTime, Utc};
use pipeline::KafkaOptions;
use wire::Str;
use wire::messages::OffsetCommitRequest;
use wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use super::arguments::{Given, Usage, usage};
use super::group_state;
use super::groups::wanted;
use super::log_offsets::{EARLIEST, LATEST, Place, leaders, look_up};
use crate::admin::TIMEOUT;
use crate::wire_client::{Connection, check};

/// The ways to say where to.
const TARGETS: &[&str] = &[
    "to-offset",
    "to-datetime",
    "by-duration",
    "to-earliest",
    "to-latest",
    "shift-by",
    "from-file",
    "to-current",
];

type Offsets = BTreeMap<Place, i64>;

pub async fn run(given: &Given, kafka: &KafkaOptions) -> anyhow::Result<()> {
    let target = check_options(given)?;
    let export = given.has("export");
    if !given.has("execute") && !given.has("dry-run") {
        eprintln!(
            "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will require \
             either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are \
             scripting this command and want to keep the current default behavior without prompting."
        );
    }
    let groups = wanted(given, kafka).await?;
    let mut all = BTreeMap::new();
    for group in &groups {
        let found = group_state::describe(kafka, group).await?;
        let state = found.map_or_else(
            || "Dead".to_owned(),
            |(found, _)| found.group_state.to_string(),
        );
        if !matches!(state.as_str(), "Empty" | "Dead") {
            println!(
                "\nError: Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            );
            all.insert(group.clone(), Offsets::new());
            continue;
        }
        let offsets = plan(given, kafka, group, target).await?;
        if given.has("execute") {
            commit(kafka, group, &offsets).await?;
        }
        all.insert(group.clone(), offsets);
    }
    match export {
        true => print_csv(&all),
        false => print_table(&all),
    }
    Ok(())
}

fn check_options(given: &Given) -> Result<&'static str, Usage> {
    given.excludes("dry-run", &["execute"])?;
    let mut targets = TARGETS.iter().filter(|name| given.has(name));
    let (Some(target), None) = (targets.next(), targets.next()) else {
        return usage(format!(
            "Option [reset-offsets] takes exactly one of these options: [{}]",
            TARGETS.join("], [")
        ));
    };
    given.excludes("all-topics", &["topic"])?;
    if *target != "from-file" && !given.has("topic") && !given.has("all-topics") {
        return usage(
            "Option [reset-offsets] takes one of these options: [all-topics], [topic], [from-file]",
        );
    }
    Ok(target)
}

/// The partitions that the options name: of topics, some of a topic's, or all that the group has offsets of.
pub async fn places(
    given: &Given,
    kafka: &KafkaOptions,
    group: &str,
) -> anyhow::Result<BTreeSet<Place>> {
    if given.has("all-topics") {
        let committed = group_state::committed(kafka, group).await?;
        return Ok(committed.into_keys().collect());
    }
    let all = leaders(kafka).await?;
    let mut places = BTreeSet::new();
    for text in given.all("topic") {
        match text.split_once(':') {
            Some((topic, partitions)) => {
                for partition in partitions.split(',') {
                    let partition = partition.trim().parse();
                    let partition =
                        partition.with_context(|| format!("the partitions of {text}"))?;
                    places.insert((topic.to_owned(), partition));
                }
            }
            None => {
                let of_topic = all.keys().filter(|place| place.0 == text);
                let before = places.len();
                places.extend(of_topic.cloned());
                if places.len() == before {
                    bail!(
                        "org.apache.kafka.common.errors.UnknownTopicOrPartitionException: there is no topic {text}"
                    );
                }
            }
        }
    }
    Ok(places)
}

/// The offset that each partition would get.
async fn plan(
    given: &Given,
    kafka: &KafkaOptions,
    group: &str,
    target: &str,
) -> anyhow::Result<Offsets> {
    if let Some(file) = given.one("from-file")? {
        let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
        return within(kafka, from_csv(&text, group)?).await;
    }
    let places = places(given, kafka, group).await?;
    let known = |found: BTreeMap<Place, Option<i64>>| -> Offsets {
        found
            .into_iter()
            .filter_map(|(place, offset)| Some((place, offset?)))
            .collect()
    };
    match target {
        "to-earliest" => Ok(known(look_up(kafka, &places, EARLIEST).await?)),
        "to-latest" => Ok(known(look_up(kafka, &places, LATEST).await?)),
        "to-offset" => {
            let Some(offset) = given.number::<i64>("to-offset")? else {
                bail!("--to-offset takes an offset");
            };
            within(
                kafka,
                places.into_iter().map(|place| (place, offset)).collect(),
            )
            .await
        }
        "shift-by" => {
            let by = given.number::<i64>("shift-by")?.unwrap_or(0);
            let current = group_state::committed(kafka, group).await?;
            let mut shifted = Offsets::new();
            for place in places {
                let Some(committed) = current.get(&place) else {
                    bail!(
                        "Cannot shift offset for partition {}-{} since there is no current committed offset",
                        place.0,
                        place.1
                    );
                };
                shifted.insert(place, committed.offset.saturating_add(by));
            }
            within(kafka, shifted).await
        }
        "to-current" => {
            let current = group_state::committed(kafka, group).await?;
            let ends = known(look_up(kafka, &places, LATEST).await?);
            let offset = |place: Place| {
                let committed = current.get(&place).map(|committed| committed.offset);
                Some((
                    place.clone(),
                    committed.or_else(|| ends.get(&place).copied())?,
                ))
            };
            Ok(places.into_iter().filter_map(offset).collect())
        }
        _ => at_time(kafka, &places, time(given)?).await,
    }
}

/// The first offset at or after a time; the end where there is no such record.
async fn at_time(
    kafka: &KafkaOptions,
    places: &BTreeSet<Place>,
    time_ms: i64,
) -> anyhow::Result<Offsets> {
    let found = look_up(kafka, places, time_ms).await?;
    let ends = look_up(kafka, places, LATEST).await?;
    let mut offsets = Offsets::new();
    for (place, offset) in found {
        let end = ends.get(&place).copied().flatten();
        if offset.is_none() {
            println!(
                "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.",
                place.1, place.0
            );
        }
        if let Some(offset) = offset.or(end) {
            offsets.insert(place, offset);
        }
    }
    Ok(offsets)
}

fn time(given: &Given) -> anyhow::Result<i64> {
    match (given.one("to-datetime")?, given.one("by-duration")?) {
        (Some(text), _) => datetime_ms(text),
        (None, Some(text)) => Ok(Utc::now().timestamp_millis() - duration_ms(text)?),
        (None, None) => bail!("there is no time"),
    }
}

/// `2026-01-01T00:00:00.000`, in UTC unless it says another zone.
fn datetime_ms(text: &str) -> anyhow::Result<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
    let time =
        time.with_context(|| format!("{text} is not a time such as 2026-01-01T00:00:00.000"))?;
    Ok(time.and_utc().timestamp_millis())
}

/// `P1DT2H3M4.5S` (ISO 8601).
fn duration_ms(text: &str) -> anyhow::Result<i64> {
    let refuse = || anyhow!("{text} is not a duration such as P1DT2H3M4S");
    let rest = text.strip_prefix('P').ok_or_else(refuse)?;
    let (days, clock) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total_ms = 0.0;
    let mut parts = 0;
    for (part, units) in [
        (days, &[('D', 86_400.0)][..]),
        (clock, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)]),
    ] {
        let mut rest = part;
        for (unit, seconds) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let number: f64 = number.parse().map_err(|_| refuse())?;
                total_ms += number * seconds * 1000.0;
                rest = after;
                parts += 1;
            }
        }
        if !rest.is_empty() {
            return Err(refuse());
        }
    }
    match parts {
        0 => Err(refuse()),
        _ => Ok(total_ms as i64),
    }
}

/// Offsets that lie outside of their logs become the nearest that does not.
async fn within(kafka: &KafkaOptions, wanted: Offsets) -> anyhow::Result<Offsets> {
    let starts = look_up(kafka, wanted.keys(), EARLIEST).await?;
    let ends = look_up(kafka, wanted.keys(), LATEST).await?;
    let mut offsets = Offsets::new();
    for (place, offset) in wanted {
        let (Some(Some(start)), Some(Some(end))) = (starts.get(&place), ends.get(&place)) else {
            bail!("{}-{} has no leader", place.0, place.1);
        };
        let held = offset.clamp(*start, *end);
        if held != offset {
            let (word, bound) = if offset < *start {
                ("lower", "earliest")
            } else {
                ("higher", "latest")
            };
            eprintln!(
                "WARN New offset ({offset}) is {word} than {bound} offset for topic partition {}-{}. Value will be set to {held}",
                place.0, place.1
            );
        }
        offsets.insert(place, held);
    }
    Ok(offsets)
}

/// Lines of `topic,partition,offset`, or of `group,topic,partition,offset`.
fn from_csv(text: &str, group: &str) -> anyhow::Result<Offsets> {
    let mut offsets = Offsets::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line
            .split(',')
            .map(|cell| cell.trim().trim_matches('"'))
            .collect();
        let (of, topic, partition, offset) = match cells[..] {
            [topic, partition, offset] => (group, topic, partition, offset),
            [of, topic, partition, offset] => (of, topic, partition, offset),
            _ => bail!("{line:?} is not topic,partition,offset"),
        };
        if of == group {
            let number = || format!("{line:?} is not topic,partition,offset");
            let place = (topic.to_owned(), partition.parse().with_context(number)?);
            offsets.insert(place, offset.parse().with_context(number)?);
        }
    }
    Ok(offsets)
}

async fn commit(kafka: &KafkaOptions, group: &str, offsets: &Offsets) -> anyhow::Result<()> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition_index), offset) in offsets {
        topics
            .entry(topic)
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: *partition_index,
                committed_offset: *offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(Str::copy_from("")),
            });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name: Str::copy_from(name),
            partitions,
            ..OffsetCommitRequestTopic::default()
        });
    let request = OffsetCommitRequest {
        group_id: Str::copy_from(group),
        generation_id_or_member_epoch: -1,
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    let mut coordinator = Connection::coordinator(kafka, group, Instant::now() + TIMEOUT).await?;
    // From version 9 on, a group that does not exist is not created.
    let answer = coordinator.call(&request, 8).await?;
    for topic in answer.topics {
        for partition in topic.partitions {
            check(partition.error_code, None).with_context(|| {
                format!(
                    "the offset of {}-{}",
                    &*topic.name, partition.partition_index
                )
            })?;
        }
    }
    Ok(())
}

fn print_table(all: &BTreeMap<String, Offsets>) {
    let of = |length: fn(&(&String, &Place)) -> usize| {
        let rows = all
            .iter()
            .flat_map(|(group, offsets)| offsets.keys().map(move |place| (group, place)));
        rows.map(|row| length(&row)).max().unwrap_or(0).max(15)
    };
    let (group_width, topic_width) = (of(|row| row.0.len()), of(|row| row.1.0.len()));
    println!(
        "\n{:<group_width$} {:<topic_width$} {:<10} NEW-OFFSET",
        "GROUP", "TOPIC", "PARTITION"
    );
    for (group, offsets) in all {
        for ((topic, partition), offset) in offsets {
            println!("{group:<group_width$} {topic:<topic_width$} {partition:<10} {offset}");
        }
    }
}

fn print_csv(all: &BTreeMap<String, Offsets>) {
    let several = all.len() > 1;
    for (group, offsets) in all {
        for ((topic, partition), offset) in offsets {
            match several {
                true => println!("{group},{topic},{partition},{offset}"),
                false => println!("{topic},{partition},{offset}"),
            }
        }
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read_as_java_reads_them() {
        assert_eq!(
            datetime_ms("1970-01-01T00:00:01.500").expect("a time"),
            1500
        );
        assert_eq!(
            datetime_ms("1970-01-01T01:00:00.000+01:00").expect("a time"),
            0
        );
        assert_eq!(duration_ms("P1DT2H3M4.5S").expect("a duration"), 93_784_500);
        assert_eq!(duration_ms("PT0S").expect("a duration"), 0);
        for wrong in ["P", "1D", "PT", "PT1D", "PTxS", "P1H"] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
        assert!(datetime_ms("yesterday").is_err());
    }

    #[test]
    fn a_file_may_name_its_groups_or_not() {
        let text = "a,0,5\n\"b\",1,6\nother,c,2,7\nmine,d,3,8\n";
        let offsets = from_csv(text, "mine").expect("good lines");
        let expected = [("a", 0, 5), ("b", 1, 6), ("d", 3, 8)];
        let expected =
            expected.map(|(topic, partition, offset)| ((topic.to_owned(), partition), offset));
        assert_eq!(offsets, Offsets::from(expected));
        assert!(from_csv("a,0", "g").is_err() && from_csv("a,x,1", "g").is_err());
    }
}
