//! A full read of a topic, compared with what a load was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::load::Ack;
use crate::topics::{EARLIEST, LATEST};
use crate::{Cluster, Load};

/// How long a read may go without a new record.
const PATIENCE: Duration = Duration::from_secs(60);

/// One record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    pub value: String,
}

/// Everything between log start and high watermark, by partition and in the order of arrival.
pub fn everything(cluster: &mut Cluster, topic: &str) -> Result<BTreeMap<i32, Vec<Seen>>> {
    let mut wanted = BTreeMap::new();
    for partition in cluster.topic(topic)?.partitions {
        let start = cluster.offset(topic, partition.index, EARLIEST)?;
        let end = cluster.offset(topic, partition.index, LATEST)?;
        wanted.insert(partition.index, (start, end));
    }
    let consumer = consumer(cluster, topic, &wanted)?;
    let mut seen: BTreeMap<i32, Vec<Seen>> = wanted.keys().map(|p| (*p, Vec::new())).collect();
    let mut open: BTreeSet<i32> = wanted
        .iter()
        .filter(|(_, (start, end))| start < end)
        .map(|(partition, _)| *partition)
        .collect();
    let mut last = Instant::now();
    while !open.is_empty() {
        ensure!(
            last.elapsed() < PATIENCE,
            "no record for {PATIENCE:?}; partitions {open:?} are not at their end {wanted:?}"
        );
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        last = Instant::now();
        let (partition, offset) = (message.partition(), message.offset());
        let value = message.payload().unwrap_or_default();
        seen.entry(partition).or_default().push(Seen {
            offset,
            value: String::from_utf8_lossy(value).into_owned(),
        });
        if offset + 1 >= wanted[&partition].1 {
            open.remove(&partition);
        }
    }
    Ok(seen)
}

fn consumer(
    cluster: &Cluster,
    topic: &str,
    wanted: &BTreeMap<i32, (i64, i64)>,
) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "full-read")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for (partition, (start, _)) in wanted {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*start))?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// Proves that every acknowledged record is there once, at its offset, and that each partition is in order.
pub fn check_acked(cluster: &mut Cluster, topic: &str, acks: &[Ack]) -> Result<()> {
    ensure!(!acks.is_empty(), "nothing was acknowledged");
    let seen = everything(cluster, topic)?;
    for (partition, records) in &seen {
        check_order(*partition, records)?;
    }
    for ack in acks {
        let records = &seen[&ack.partition];
        let found = match ack.offset {
            Some(offset) => records.binary_search_by_key(&offset, |record| record.offset),
            // They are in this order, and each can be read: that has just been checked.
            None => records
                .binary_search_by_key(&Some(ack.counter), |record| counter_of(&record.value).ok()),
        };
        let found = found.ok().with_context(|| format!("lost: {ack:?}"))?;
        let counter = counter_of(&records[found].value)?;
        ensure!(
            counter == ack.counter,
            "changed: {ack:?} is now {:?}",
            records[found]
        );
    }
    Ok(())
}

/// Offsets without a gap, and counters that grow: nothing doubled, nothing out of order.
fn check_order(partition: i32, records: &[Seen]) -> Result<()> {
    for pair in records.windows(2) {
        ensure!(
            pair[0].offset + 1 == pair[1].offset,
            "partition {partition}: a gap between offsets {} and {}",
            pair[0].offset,
            pair[1].offset
        );
        let (before, after) = (counter_of(&pair[0].value)?, counter_of(&pair[1].value)?);
        ensure!(
            before < after,
            "partition {partition}, offset {}: counter {after} behind counter {before}",
            pair[1].offset
        );
    }
    Ok(())
}

fn counter_of(value: &str) -> Result<u64> {
    let counter = value.split(':').nth(1).context("a value of no load")?;
    Ok(counter.parse()?)
}

/// Ends the load and proves everything a scenario must prove: acknowledged is kept, replicas are the same.
pub fn finish_and_check(cluster: &mut Cluster, topic: &str, load: Load) -> Result<()> {
    let acks = load.finish()?;
    cluster.wait_in_sync(topic)?;
    check_acked(cluster, topic, &acks)?;
    crate::replicas::check_identical(cluster, topic)
}
