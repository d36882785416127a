//! Dead letters, read once from `<topic>.dlq` and then followed while verify waits. They are at least once: what counts is
//! the distinct (sink, partition, offset).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use pipeline::dead_letter::{
    OFFSET_HEADER, PARTITION_HEADER, SINK_HEADER, TOPIC_HEADER, dead_letter_topic,
};
use pipeline::{KafkaOptions, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::source;

const SILENCE: Duration = Duration::from_secs(60);

/// The dead letters of one topic, by sink and partition.
pub struct DeadLetters {
    topic: String,
    consumer: BaseConsumer,
    /// Where each partition of the dead-letter topic is read on.
    positions: BTreeMap<i32, i64>,
    of: BTreeMap<(String, i32), BTreeSet<i64>>,
    /// Letters whose headers say of no record that it was refused.
    pub unreadable: u64,
}

impl DeadLetters {
    pub fn open(options: &KafkaOptions, topic: &str) -> anyhow::Result<DeadLetters> {
        let consumer = source::consumer(options)?;
        let topic = topic.to_owned();
        let mut letters = DeadLetters {
            topic,
            consumer,
            positions: BTreeMap::new(),
            of: BTreeMap::new(),
            unreadable: 0,
        };
        letters.read_on()?;
        Ok(letters)
    }

    /// Reads what has come since the last time.
    pub fn read_on(&mut self) -> anyhow::Result<()> {
        let name = dead_letter_topic(&self.topic);
        let Some(topic) = source::fix(&self.consumer, &name)? else {
            return Ok(());
        };
        let mut assignment = TopicPartitionList::new();
        let mut open = BTreeSet::new();
        for range in topic.ranges {
            let position = self
                .positions
                .get(&range.partition)
                .copied()
                .unwrap_or_default()
                .max(range.start);
            if position < range.end {
                assignment.add_partition_offset(
                    &name,
                    range.partition,
                    Offset::Offset(position),
                )?;
                open.insert(range.partition);
            }
        }
        self.consumer.assign(&assignment)?;
        let mut silent_since = Instant::now();
        while !open.is_empty() {
            match self.consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    silent_since = Instant::now();
                    let record = Record::from_message(&message);
                    self.positions
                        .insert(rdkafka::Message::partition(&message), record.offset + 1);
                    match letter(&record) {
                        Some((topic, sink, partition, offset)) if topic == self.topic => {
                            self.of.entry((sink, partition)).or_default().insert(offset);
                        }
                        _ => self.unreadable += 1,
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) if silent_since.elapsed() > SILENCE => {
                    return Err(error).context(name);
                }
                None if silent_since.elapsed() > SILENCE => anyhow::bail!("{name} gives nothing"),
                Some(Err(_)) | None => {}
            }
        }
        Ok(())
    }

    /// The offsets from `from` to before `below` that the sink refused.
    pub fn between(&self, sink: &str, partition: i32, from: i64, below: i64) -> BTreeSet<i64> {
        let of = self.of.get(&(sink.to_owned(), partition));
        of.map(|offsets| offsets.range(from..below).copied().collect())
            .unwrap_or_default()
    }
}

fn letter(record: &Record) -> Option<(&str, String, i32, i64)> {
    Some((
        record.header_text(TOPIC_HEADER)?,
        record.header_text(SINK_HEADER)?.to_owned(),
        record.header_text(PARTITION_HEADER)?.parse().ok()?,
        record.header_text(OFFSET_HEADER)?.parse().ok()?,
    ))
}
