//! A producer that keeps writing while the cluster is hurt, and remembers every acknowledgement.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::Cluster;
use crate::wait::until;

/// One acknowledged record. Its value is `partition:counter`; the counter grows by one in each partition.
#[derive(Debug, Clone)]
pub struct Ack {
    pub partition: i32,
    /// None where the broker knows that it has the record, but not where: of batches that are repeated, a broker that has
    /// started again remembers the last one only, and calls the others duplicates.
    pub offset: Option<i64>,
    pub counter: u64,
    pub at: Instant,
}

#[derive(Default)]
struct Record {
    acks: Vec<Ack>,
    failures: Vec<String>,
}

#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Record>>);

impl Deliveries {
    fn with<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.0.lock().expect("no holder of the lock panics"))
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, counter: Box<u64>) {
        self.with(|record| match result {
            Ok(message) => record.acks.push(Ack {
                partition: message.partition(),
                offset: Some(message.offset()).filter(|offset| *offset >= 0),
                counter: *counter,
                at: Instant::now(),
            }),
            Err((error, _)) => record.failures.push(error.to_string()),
        });
    }
}

/// A running load on one topic, over all its partitions in turn.
pub struct Load {
    topic: String,
    deliveries: Deliveries,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts an idempotent producer with acks=all that writes `per_second` records of about `size` bytes and never
    /// gives one up. `settings` are librdkafka's, and override the harness's.
    pub fn start(
        cluster: &mut Cluster,
        topic: &str,
        per_second: u32,
        size: usize,
        settings: &[(&str, &str)],
    ) -> Result<Load> {
        let partitions = cluster.topic(topic)?.partitions.len() as i32;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap())
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "0")
            .set("socket.timeout.ms", "10000")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200")
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "200")
            .set("topic.metadata.refresh.fast.interval.ms", "50");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let deliveries = Deliveries::default();
        let producer: BaseProducer<Deliveries> = config.create_with_context(deliveries.clone())?;
        let end = Arc::new(AtomicBool::new(false));
        let ended = deliveries.clone();
        let writer = Writer {
            producer,
            topic: topic.to_string(),
            partitions,
            pause: Duration::from_secs(1) / per_second.max(1),
            padding: "x".repeat(size),
            end: Arc::clone(&end),
        };
        Ok(Load {
            topic: topic.to_string(),
            deliveries,
            end,
            thread: Some(std::thread::spawn(move || {
                let run = writer.run();
                if let Err(error) = &run {
                    ended.with(|record| record.failures.push(format!("{error:#}")));
                }
                run
            })),
        })
    }

    /// How many records have been acknowledged.
    pub fn acked(&self) -> usize {
        self.deliveries.with(|record| record.acks.len())
    }

    /// Waits until `more` further records have been acknowledged.
    pub fn wait_more(&self, more: usize) -> Result<()> {
        let aim = self.acked() + more;
        until(
            Duration::from_secs(60),
            &format!("{more} more acknowledgements in {}", self.topic),
            || Ok(self.acked() >= aim || self.failed().is_some()),
        )?;
        match self.failed() {
            Some(failure) => bail!("the producer of {} fails: {failure}", self.topic),
            None => Ok(()),
        }
    }

    /// Why a record was given up, or the whole load.
    fn failed(&self) -> Option<String> {
        self.deliveries
            .with(|record| record.failures.first().cloned())
    }

    /// Of each of `partitions`, how long after `since` its first acknowledgement came. Waits for all of them.
    pub fn first_acks_since(
        &self,
        since: Instant,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, Duration>> {
        let mut found = BTreeMap::new();
        until(
            Duration::from_secs(60),
            "every partition acknowledges again",
            || {
                found = self.deliveries.with(|record| first_since(record, since));
                Ok(partitions
                    .iter()
                    .all(|partition| found.contains_key(partition)))
            },
        )?;
        found.retain(|partition, _| partitions.contains(partition));
        Ok(found)
    }

    /// Ends the load, waits for what is still on its way, and gives every acknowledgement.
    pub fn finish(mut self) -> Result<Vec<Ack>> {
        self.end.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("finished once")?;
        thread
            .join()
            .map_err(|_| anyhow!("the load's thread panicked"))??;
        let record = self.deliveries.with(std::mem::take);
        ensure!(
            record.failures.is_empty(),
            "{} records were given up, the first with: {}",
            record.failures.len(),
            record.failures[0]
        );
        Ok(record.acks)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// The longest time that passed in one partition between two acknowledgements.
pub fn longest_wait(acks: &[Ack]) -> Duration {
    let mut last: BTreeMap<i32, Instant> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for ack in acks {
        if let Some(before) = last.insert(ack.partition, ack.at) {
            longest = longest.max(ack.at.saturating_duration_since(before));
        }
    }
    longest
}

fn first_since(record: &Record, since: Instant) -> BTreeMap<i32, Duration> {
    let mut first = BTreeMap::new();
    for ack in record.acks.iter().filter(|ack| ack.at > since) {
        first
            .entry(ack.partition)
            .or_insert_with(|| ack.at.duration_since(since));
    }
    first
}

struct Writer {
    producer: BaseProducer<Deliveries>,
    topic: String,
    partitions: i32,
    pause: Duration,
    padding: String,
    end: Arc<AtomicBool>,
}

impl Writer {
    fn run(self) -> Result<()> {
        let begin = Instant::now();
        let mut sent: u32 = 0;
        while !self.end.load(Ordering::Relaxed) {
            self.send(u64::from(sent))?;
            sent += 1;
            self.producer.poll(Duration::ZERO);
            while begin.elapsed() < self.pause * sent && !self.end.load(Ordering::Relaxed) {
                self.producer.poll(self.pause.min(Duration::from_millis(5)));
            }
        }
        self.producer.flush(Duration::from_secs(60))?;
        Ok(())
    }

    /// Queues one record, waiting while librdkafka's queue is full.
    fn send(&self, number: u64) -> Result<()> {
        let partition = (number % self.partitions as u64) as i32;
        let counter = number / self.partitions as u64;
        let key = counter.to_string();
        let value = format!("{partition}:{counter}:{}", self.padding);
        loop {
            let record = BaseRecord::with_opaque_to(&self.topic, Box::new(counter))
                .partition(partition)
                .key(&key)
                .payload(&value);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}
