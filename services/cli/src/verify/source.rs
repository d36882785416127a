//! The log that the sinks are compared with: its range is fixed at the beginning, then it is read once, in offset order.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pipeline::cluster::{TopicIdentity, describe_blocking};
use pipeline::{KafkaOptions, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::offsets::{TIMEOUT, patiently, range};

/// Records in a chunk.
const CHUNK_RECORDS: usize = 1_000;
/// Bytes in a chunk.
const CHUNK_BYTES: usize = 8 << 20;
/// How long the log may give nothing before verify gives up.
const SILENCE: Duration = Duration::from_secs(60);

/// The part of a partition that is verified: from the log start offset to before the last stable offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub partition: i32,
    pub start: i64,
    pub end: i64,
}

/// A topic as it was when verify began.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub identity: TopicIdentity,
    pub ranges: Vec<Range>,
}

/// Consecutive records and the offsets that they cover: from `from` to before `below`.
#[derive(Debug)]
pub struct Chunk {
    pub from: i64,
    pub below: i64,
    pub records: Vec<Record>,
    /// Offsets before `from` that retention took while verify was reading.
    pub expired: Option<(i64, i64)>,
}

pub fn consumer(options: &KafkaOptions) -> anyhow::Result<BaseConsumer> {
    let mut config = options.consumer("millrace-verify", "millrace-verify");
    config
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // A partition is begun while the fetch of the one before still waits for records.
        .set("fetch.wait.max.ms", "20");
    config.create().context("cannot create a Kafka client")
}

/// Fixes the range of every partition. `None` when there is no such topic.
pub fn fix(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Option<Topic>> {
    let Some(identity) = patiently(|| describe_blocking(consumer.client(), topic))? else {
        return Ok(None);
    };
    let metadata = patiently(|| {
        consumer
            .fetch_metadata(None, TIMEOUT)
            .context("no broker answers")
    })?;
    let Some(found) = metadata.topics().iter().find(|known| known.name() == topic) else {
        return Ok(None);
    };
    let mut partitions: Vec<i32> = found
        .partitions()
        .iter()
        .map(|partition| partition.id())
        .collect();
    partitions.sort_unstable();
    let mut ranges = Vec::new();
    for partition in partitions {
        // The consumer reads committed records only, so the end is the last stable offset.
        let (start, end) = patiently(|| range(consumer, topic, partition))?;
        ranges.push(Range {
            partition,
            start,
            end,
        });
    }
    Ok(Some(Topic {
        name: topic.to_owned(),
        identity,
        ranges,
    }))
}

/// Reads one partition's range.
pub struct Reader<'a> {
    consumer: &'a BaseConsumer,
    topic: &'a str,
    range: Range,
    position: i64,
    /// Whether the leader has been seen to know the whole range.
    leader_knows: bool,
}

impl<'a> Reader<'a> {
    pub fn start(
        consumer: &'a BaseConsumer,
        topic: &'a str,
        range: Range,
    ) -> anyhow::Result<Reader<'a>> {
        let reader = Reader {
            consumer,
            topic,
            range,
            position: range.start,
            leader_knows: false,
        };
        reader.assign()?;
        Ok(reader)
    }

    fn assign(&self) -> anyhow::Result<()> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(
            self.topic,
            self.range.partition,
            Offset::Offset(self.position),
        )?;
        Ok(self.consumer.assign(&assignment)?)
    }

    /// The next chunk; `None` at the end of the range. The last chunk reaches to the end even where the last offsets
    /// are transaction markers.
    pub fn next(&mut self) -> anyhow::Result<Option<Chunk>> {
        if self.position >= self.range.end {
            return Ok(None);
        }
        let mut chunk = Chunk {
            from: self.position,
            below: self.position,
            records: Vec::new(),
            expired: None,
        };
        let mut bytes = 0;
        let mut silent_since = Instant::now();
        while chunk.records.len() < CHUNK_RECORDS && bytes < CHUNK_BYTES {
            match self.consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    silent_since = Instant::now();
                    let record = Record::from_message(&message);
                    if record.offset >= self.range.end {
                        self.position = self.range.end;
                        break;
                    }
                    self.position = record.offset + 1;
                    bytes += record.size_bytes();
                    chunk.records.push(record);
                    if self.position == self.range.end {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition)))
                    if partition == self.range.partition && self.on_end()? =>
                {
                    self.position = self.range.end;
                    break;
                }
                Some(Err(error)) if is_out_of_range(&error) => {
                    if !chunk.records.is_empty() {
                        break;
                    }
                    self.skip_expired(&mut chunk)?;
                }
                Some(Err(error)) if silent_since.elapsed() > SILENCE => {
                    return Err(error).context("cannot read the log to the end that was fixed");
                }
                Some(Err(_)) => {}
                None if silent_since.elapsed() > SILENCE => {
                    bail!(
                        "{}-{} gives nothing at offset {}",
                        self.topic,
                        self.range.partition,
                        self.position
                    )
                }
                None => {}
            }
        }
        chunk.below = self.position;
        Ok(Some(chunk))
    }

    /// Whether the end that was met is behind the range, so that what is left of it are no records but markers of
    /// transactions. A leader that was elected a moment ago may give an end that lies inside the range, and what comes
    /// after it must not go unverified: so the end counts only when it is met after the leader was seen to know the range.
    fn on_end(&mut self) -> anyhow::Result<bool> {
        if self.leader_knows {
            return Ok(true);
        }
        let looked = range(self.consumer, self.topic, self.range.partition);
        self.leader_knows = looked.is_ok_and(|(_, end)| end >= self.range.end);
        self.assign()?;
        Ok(false)
    }

    fn skip_expired(&mut self, chunk: &mut Chunk) -> anyhow::Result<()> {
        let (start, _) = range(self.consumer, self.topic, self.range.partition)?;
        if start <= self.position {
            bail!(
                "{}-{} does not give offset {}, which it should have",
                self.topic,
                self.range.partition,
                self.position
            );
        }
        let start = start.min(self.range.end);
        chunk.expired = Some((chunk.from, start));
        (chunk.from, self.position) = (start, start);
        self.assign()
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

    use super::*;

    #[test]
    fn an_end_inside_the_range_is_not_taken_for_its_end() {
        // Given a leader that knows ten records of a range of twenty
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", 1, 1).expect("a topic");
        let options = KafkaOptions {
            bootstrap_servers: cluster.bootstrap_servers(),
            ..KafkaOptions::default()
        };
        let config = options.producer("test");
        let producer: ThreadedProducer<_> = config.create().expect("a producer");
        let produce = || {
            for _ in 0..10 {
                let record = BaseRecord::<str, str>::to("t").payload("x");
                producer.send(record).expect("room in the queue");
            }
            producer.flush(TIMEOUT).expect("produced");
        };
        produce();
        let consumer = consumer(&options).expect("a consumer");
        let range = Range {
            partition: 0,
            start: 0,
            end: 20,
        };
        let mut reader = Reader::start(&consumer, "t", range).expect("assigned");
        // When it learns of the others only while verify reads
        let (tell, told) = std::sync::mpsc::channel();
        let chunk = std::thread::scope(|scope| {
            scope.spawn(move || tell.send(reader.next()).expect("the test waits"));
            let early = told.recv_timeout(Duration::from_secs(1));
            assert!(early.is_err(), "taken for the end: {early:?}");
            produce();
            let chunk = told.recv_timeout(TIMEOUT).expect("in time");
            chunk.expect("read").expect("a chunk")
        });
        // Then all of them are read
        assert_eq!((chunk.below, chunk.records.len()), (20, 20));
    }
}
