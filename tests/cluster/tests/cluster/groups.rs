//! A rolling restart with a consumer group running: no acknowledged record is missed, no
//! acknowledged commit goes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use cluster::read::{check_acked, everything};
use cluster::{Cluster, replicas, within};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset};

use crate::{TOPIC, loaded, scenario};

const GROUP: &str = "rolling";

/// A member that commits what it has read and remembers both.
struct Member {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<BTreeMap<i32, i64>>>,
}

impl Member {
    fn start(cluster: &Cluster) -> Result<Member> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", GROUP)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "10000")
            .set("reconnect.backoff.max.ms", "200")
            .create()?;
        consumer.subscribe(&[TOPIC])?;
        let end = Arc::new(AtomicBool::new(false));
        let stop = end.clone();
        let thread = std::thread::spawn(move || consume(&consumer, &stop));
        Ok(Member { end, thread })
    }

    /// The highest acknowledged commit of each partition.
    fn finish(self) -> Result<BTreeMap<i32, i64>> {
        self.end.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("the member panicked"))?
    }
}

fn consume(consumer: &BaseConsumer, end: &AtomicBool) -> Result<BTreeMap<i32, i64>> {
    let mut committed: BTreeMap<i32, i64> = BTreeMap::new();
    let mut unread: BTreeMap<i32, i64> = BTreeMap::new();
    while !end.load(Ordering::Relaxed) {
        // Errors pass while a broker is away; what counts is what was acknowledged.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let (partition, next) = (message.partition(), message.offset() + 1);
        unread.insert(partition, next);
        if unread.values().sum::<i64>() % 50 == 0
            && consumer.commit_message(&message, CommitMode::Sync).is_ok()
        {
            let before = committed.insert(partition, next).unwrap_or(0);
            ensure!(
                before <= next,
                "partition {partition}: commit {next} behind commit {before}"
            );
        }
    }
    Ok(committed)
}

/// What the group has committed, asked by a client that is not a member.
fn committed(cluster: &Cluster, partitions: &[i32]) -> Result<BTreeMap<i32, i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", GROUP)
        .create()?;
    let mut asked = rdkafka::TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(TOPIC, *partition);
    }
    let answer = within(Duration::from_secs(30), "the committed offsets", || {
        Ok(Some(consumer.committed_offsets(
            asked.clone(),
            Duration::from_secs(5),
        )?))
    })?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        if let Offset::Offset(offset) = element.offset() {
            found.insert(element.partition(), offset);
        }
    }
    Ok(found)
}

#[test]
fn a_rolling_restart_keeps_records_and_commits() {
    let (cluster, load) = loaded(300).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let member = Member::start(cluster)?;
        for id in 1..=3 {
            cluster.node(id).stop()?;
            load.wait_more(100)?;
            cluster.restart(id)?;
            cluster.wait_in_sync(TOPIC)?;
        }
        load.wait_more(300)?;
        let acks = load.finish()?;
        let acknowledged = member.finish()?;
        ensure!(!acknowledged.is_empty(), "no commit was ever acknowledged");
        let partitions: Vec<i32> = acknowledged.keys().copied().collect();
        let kept = committed(cluster, &partitions)?;
        for (partition, offset) in &acknowledged {
            let kept = kept
                .get(partition)
                .context("an acknowledged commit is lost")?;
            ensure!(
                kept >= offset,
                "partition {partition}: commit {offset} has become {kept}"
            );
        }
        check_acked(cluster, TOPIC, &acks)?;
        ensure!(
            !everything(cluster, "__consumer_offsets")?.is_empty(),
            "no offsets topic"
        );
        replicas::check_identical(cluster, TOPIC)
    });
}
