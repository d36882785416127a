//! A member of a consumer group that commits by hand what it has read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{asked_to_end, config, log};
use crate::chaos::field::TOPICS;
use crate::chaos::history::{Journal, Place, Told};

const POLL: Duration = Duration::from_millis(100);
/// How often it commits.
const COMMIT: Duration = Duration::from_millis(400);

/// Who a member is.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub group: &'a str,
    /// `group.instance.id` of a static member.
    pub instance: Option<&'a str>,
    pub assignor: &'a str,
}

/// Tells of assignments.
struct Events(Journal);

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
}

impl ConsumerContext for Events {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Told before it is carried out, so that nothing is read outside of what was told.
        match rebalance {
            Rebalance::Assign(list) => self.0.tell(&Told::Assigned(places_of(list))),
            Rebalance::Revoke(list) => self.0.tell(&Told::Revoked(places_of(list))),
            Rebalance::Error(_) => return,
        };
    }
}

fn places_of(list: &TopicPartitionList) -> Vec<Place> {
    // A group is assigned nothing that it has not subscribed.
    let elements = list.elements();
    let places = elements.iter();
    places
        .filter_map(|element| Place::of(element.topic(), element.partition()).ok())
        .collect()
}

/// Reads until it is asked to end, and leaves its group then.
pub fn run(bootstrap: &str, member: Member<'_>, journal: &Path) -> Result<()> {
    let journal = Journal::open(journal)?;
    let mut config = config(bootstrap);
    config
        .set("group.id", member.group)
        .set("partition.assignment.strategy", member.assignor)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("check.crcs", "true")
        // Longer than any fault but the worst: a member that has lost its session by its own clock joins anew, and
        // librdkafka calls it fatal when a commit of its former self is fenced then.
        .set("session.timeout.ms", "15000")
        .set("heartbeat.interval.ms", "1000");
    if let Some(instance) = member.instance {
        config.set("group.instance.id", instance);
    }
    let consumer: BaseConsumer<Events> = config.create_with_context(Events(journal.clone()))?;
    let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    consumer.subscribe(&topics)?;
    let end = asked_to_end();
    let mut read = Read::default();
    while !end.load(Ordering::Relaxed) {
        // Errors pass while a broker is away; what counts is what comes.
        if let Some(Ok(message)) = consumer.poll(POLL) {
            let from = Place::of(message.topic(), message.partition())?;
            let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
            let offset = message.offset();
            journal.tell(&Told::Polled {
                from,
                offset,
                record: value.split(' ').next().unwrap_or_default().into(),
            });
            read.next.insert(from, offset + 1);
        }
        if let Some((_, why)) = consumer.client().fatal_error() {
            journal.tell(&Told::Ended);
            bail!("{why}");
        }
        read.commit(&consumer, &journal)?;
    }
    drop(consumer);
    journal.tell(&Told::Ended);
    Ok(())
}

/// What has been read and is not yet committed.
#[derive(Default)]
struct Read {
    next: BTreeMap<Place, i64>,
    last: Option<Instant>,
}

impl Read {
    /// Where it is time for that, commits what is assigned still. Each partition alone: librdkafka calls a commit a success
    /// as long as one of its partitions is.
    fn commit(&mut self, consumer: &BaseConsumer<Events>, journal: &Journal) -> Result<()> {
        if self.last.is_some_and(|last| last.elapsed() < COMMIT) || self.next.is_empty() {
            return Ok(());
        }
        let assigned = places_of(&consumer.assignment()?);
        self.next.retain(|place, _| assigned.contains(place));
        while let Some((of, next)) = self.next.first_key_value().map(|(of, next)| (*of, *next)) {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(of.topic, of.partition, Offset::Offset(next))?;
            let asked_ns = journal.tell(&Told::Committing { of, next });
            // What is refused or not answered is tried again later, unless it is revoked by then.
            if consumer.commit(&list, CommitMode::Sync).is_err() {
                break;
            }
            journal.tell(&Told::Committed { of, next, asked_ns });
            self.next.remove(&of);
        }
        self.last = Some(Instant::now());
        Ok(())
    }
}
