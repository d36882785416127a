//! `k8s-load check`: every run's records, each once and in order of its partition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use pipeline::KafkaOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

const ANSWER: Duration = Duration::from_secs(30);
/// How long the log may give nothing before the check is given up.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_LISTED: usize = 20;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// The topic that was written to
    topic: String,
}

/// What has been seen of one partition of one run.
#[derive(Default)]
struct Seen {
    next: u64,
}

#[derive(Default)]
struct Findings {
    runs: BTreeMap<String, BTreeMap<i32, Seen>>,
    records: u64,
    /// A counter that did not follow its predecessor: something was lost, doubled or reordered.
    wrong: Vec<String>,
}

impl Findings {
    fn take(&mut self, partition: i32, offset: i64, value: &[u8]) {
        self.records += 1;
        let Some((run, home, counter)) = parse(value) else {
            self.wrong
                .push(format!("{partition}@{offset}: not a record of a load"));
            return;
        };
        let runs = self.runs.entry(run.to_string()).or_default();
        let seen = runs.entry(partition).or_default();
        if home != partition || counter != seen.next {
            self.wrong.push(format!(
                "{partition}@{offset}: {run} has counter {counter} of partition {home}, expected {}",
                seen.next
            ));
        }
        seen.next = counter + 1;
    }
}

fn parse(value: &[u8]) -> Option<(&str, i32, u64)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut words = text.splitn(4, ':');
    let run = words.next()?;
    let partition = words.next()?.parse().ok()?;
    let counter = words.next()?.parse().ok()?;
    words.next()?;
    Some((run, partition, counter))
}

pub fn run(options: &Options) -> Result<()> {
    let mut config = options.kafka.client("k8s-check");
    config
        .set("group.id", "k8s-check")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create()?;
    let mut left = ends(&consumer, &options.topic)?;
    let mut assignment = TopicPartitionList::new();
    for partition in left.keys() {
        assignment.add_partition_offset(&options.topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let findings = read(&consumer, &mut left)?;
    let runs: BTreeMap<_, BTreeMap<_, _>> = findings
        .runs
        .iter()
        .map(|(run, partitions)| {
            (
                run,
                partitions.iter().map(|(p, seen)| (p, seen.next)).collect(),
            )
        })
        .collect();
    let listed = &findings.wrong[..findings.wrong.len().min(MAX_LISTED)];
    println!(
        "{}",
        json!({"records": findings.records, "runs": runs, "wrong": listed})
    );
    if !findings.wrong.is_empty() {
        bail!("{} records are not where they belong", findings.wrong.len());
    }
    Ok(())
}

/// The log end of each partition that holds anything.
fn ends(consumer: &BaseConsumer, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().first().context("no such topic")?;
    let mut ends = BTreeMap::new();
    for partition in found.partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ANSWER)?;
        if high > low {
            ends.insert(partition.id(), high);
        }
    }
    Ok(ends)
}

fn read(consumer: &BaseConsumer, left: &mut BTreeMap<i32, i64>) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut heard = Instant::now();
    while !left.is_empty() {
        if heard.elapsed() > SILENCE {
            bail!("nothing came for {SILENCE:?}; still to be read: {left:?}");
        }
        let Some(message) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        let message = message?;
        heard = Instant::now();
        let (partition, offset) = (message.partition(), message.offset());
        let Some(end) = left.get(&partition) else {
            continue;
        };
        if offset < *end {
            findings.take(partition, offset, message.payload().unwrap_or_default());
        }
        if offset + 1 >= *end {
            left.remove(&partition);
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_a_repeat_and_a_stranger_are_found() {
        let mut findings = Findings::default();
        for (offset, value) in ["a:0:0:x", "a:0:1:x", "b:0:0:x", "a:0:2:x"]
            .iter()
            .enumerate()
        {
            findings.take(0, offset as i64, value.as_bytes());
        }
        assert!(findings.wrong.is_empty());
        findings.take(0, 4, b"a:0:4:x"); // 3 is missing
        findings.take(0, 5, b"a:0:4:x"); // twice
        findings.take(0, 6, b"b:1:1:x"); // of another partition
        findings.take(0, 7, b"hello");
        assert_eq!(findings.wrong.len(), 4);
    }
}
