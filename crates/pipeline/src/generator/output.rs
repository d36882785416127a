//! Where generated records go: an idempotent Kafka producer, or standard output.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, exponential_buckets};
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use telemetry::{Readiness, Registry};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Generated, GeneratorOptions, RunCounters, Target};
use crate::cluster::{TopicDefaults, ensure_topic};
use crate::{Backoff, COUNTER_HEADER, RUN_ID_HEADER, random_u64};

/// How long the end waits for acknowledgements.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(25);
/// How often a full queue is looked at.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(20);
/// Without an acknowledgement for that long while records wait, the generator is not ready.
const STALL: Duration = Duration::from_secs(10);
const PART: &str = "kafka";

pub(super) enum Output {
    Stdout(std::io::BufWriter<std::io::Stdout>),
    Kafka(Box<KafkaOutput>),
}

pub(super) struct KafkaOutput {
    topic: String,
    partitions: i32,
    counters: RunCounters,
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    readiness: Readiness,
}

impl Output {
    /// Waits for the brokers and creates the topic if need be. `None` when `stop` came first.
    pub(super) async fn open(
        topic: &str,
        options: &GeneratorOptions,
        registry: &Registry,
        readiness: &Readiness,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Output>> {
        if options.output == Target::Stdout {
            return Ok(Some(Output::Stdout(std::io::BufWriter::new(
                std::io::stdout(),
            ))));
        }
        readiness.not_ready(PART, "connecting");
        let mut backoff = Backoff::default();
        let partitions = loop {
            let prepared = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                prepared = prepare(topic, options) => prepared,
            };
            match prepared {
                Ok(partitions) => break partitions,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(topic, error, "the brokers are not ready, will try again");
                    readiness.not_ready(PART, error);
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                () = backoff.wait() => {}
            }
        };
        let run_id = random_uuid();
        tracing::info!(topic, partitions, run_id, "this run's id");
        let deliveries = Deliveries(Arc::new(Counts::new(topic, registry)?));
        let config = options
            .kafka
            .producer(&format!("millrace-{topic}-generator"));
        let producer = config
            .create_with_context(deliveries.clone())
            .context("cannot create a Kafka producer")?;
        let counters = RunCounters::new(topic, &run_id, registry)?;
        readiness.ready(PART);
        let topic = topic.to_owned();
        let readiness = readiness.clone();
        Ok(Some(Output::Kafka(Box::new(KafkaOutput {
            topic,
            partitions,
            counters,
            producer,
            deliveries,
            readiness,
        }))))
    }

    /// Hands the record over, waiting for room. False when `stop` came first.
    pub(super) async fn put(
        &mut self,
        record: Generated,
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        match self {
            Output::Stdout(out) => {
                out.write_all(&record.value)
                    .and_then(|()| out.write_all(b"\n"))
                    .context("cannot write to standard output")?;
                // A reader wants to see each record when it happens; a file does not mind.
                out.flush().context("cannot write to standard output")?;
                Ok(true)
            }
            Output::Kafka(kafka) => kafka.put(&record, stop).await,
        }
    }

    /// Returns when everything is out.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Output::Stdout(mut out) => out.flush().context("cannot write to standard output"),
            Output::Kafka(kafka) => kafka.close().await,
        }
    }
}

impl KafkaOutput {
    async fn put(&mut self, record: &Generated, stop: &CancellationToken) -> anyhow::Result<bool> {
        let partition = partition_of(record.key.as_bytes(), self.partitions);
        let counter = self.counters.peek(partition);
        let text = counter.to_string();
        loop {
            self.check()?;
            let headers = OwnedHeaders::new_with_capacity(2)
                .insert(Header {
                    key: RUN_ID_HEADER,
                    value: Some(self.counters.run_id()),
                })
                .insert(Header {
                    key: COUNTER_HEADER,
                    value: Some(&text),
                });
            let sent = Sent {
                at: Instant::now(),
                counter,
                acked: self.counters.acked(partition),
            };
            let message = BaseRecord::with_opaque_to(&self.topic, Box::new(sent))
                .partition(partition)
                .key(&record.key)
                .payload(&record.value)
                .headers(headers);
            match self.producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
                Err((error, _)) => return Err(error).context("the producer refuses a record"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                () = sleep(FULL_QUEUE_PAUSE) => {}
            }
        }
        self.counters.on_queued(partition);
        self.deliveries.0.queued.inc();
        Ok(true)
    }

    /// Reports a stall, and fails where the run cannot go on: a record that is given up leaves a hole in its counters.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(reason) = self.deliveries.failure() {
            bail!("a record was refused for good: {reason}");
        }
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            bail!("the producer cannot go on: {code}: {reason}");
        }
        match self.deliveries.stalled(self.producer.in_flight_count()) {
            Some(reason) => self.readiness.not_ready(PART, reason),
            None => self.readiness.ready(PART),
        }
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        let waiting = self.producer.in_flight_count();
        tracing::info!(waiting, "waiting for the last acknowledgements");
        let producer = self.producer.clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIMEOUT))
            .await
            .context("flushing panicked")?;
        let left = self.producer.in_flight_count();
        flushed.map_err(|error| anyhow!("{left} records are not acknowledged: {error}"))?;
        if let Some(reason) = self.deliveries.failure() {
            bail!("a record was refused for good: {reason}");
        }
        tracing::info!(
            acknowledged = self.deliveries.0.acked.get(),
            "every record is acknowledged"
        );
        Ok(())
    }
}

/// One try to reach the brokers, with the topic's number of partitions.
async fn prepare(topic: &str, options: &GeneratorOptions) -> anyhow::Result<i32> {
    let defaults = TopicDefaults {
        partitions: options.topic.partitions,
        replication_factor: options.topic.replication_factor,
        ..TopicDefaults::default()
    };
    ensure_topic(&options.kafka, topic, &defaults).await?;
    crate::cluster::partition_count(&options.kafka, topic).await
}

/// What a delivery report needs to know of its record.
pub(super) struct Sent {
    at: Instant,
    counter: i64,
    acked: IntGauge,
}

#[derive(Clone)]
pub(super) struct Deliveries(Arc<Counts>);

struct Counts {
    queued: IntCounter,
    acked: IntCounter,
    ack_seconds: Histogram,
    began: Instant,
    /// When the last acknowledgement came, in milliseconds after `began`.
    last_ack_ms: std::sync::atomic::AtomicU64,
    failure: std::sync::OnceLock<String>,
}

impl Counts {
    fn new(topic: &str, registry: &Registry) -> anyhow::Result<Counts> {
        let opts =
            |name: &str, help: &str| prometheus::Opts::new(name, help).const_label("topic", topic);
        let queued = IntCounter::with_opts(opts(
            "millrace_generator_records_total",
            "Records handed to the Kafka client.",
        ))?;
        let acked = IntCounter::with_opts(opts(
            "millrace_generator_acked_total",
            "Records that the brokers acknowledged.",
        ))?;
        let ack_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "millrace_generator_ack_seconds",
                "Time from handing a record over to its acknowledgement.",
            )
            .const_label("topic", topic)
            .buckets(exponential_buckets(0.001, 2.0, 16)?),
        )?;
        registry.register(Box::new(queued.clone()))?;
        registry.register(Box::new(acked.clone()))?;
        registry.register(Box::new(ack_seconds.clone()))?;
        Ok(Counts {
            queued,
            acked,
            ack_seconds,
            began: Instant::now(),
            last_ack_ms: 0.into(),
            failure: std::sync::OnceLock::new(),
        })
    }
}

impl Deliveries {
    fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    fn stalled(&self, waiting: i32) -> Option<String> {
        let last = Duration::from_millis(
            self.0
                .last_ack_ms
                .load(std::sync::atomic::Ordering::Relaxed),
        );
        let silence = self.0.began.elapsed().saturating_sub(last);
        (waiting > 0 && silence > STALL).then(|| {
            format!(
                "no acknowledgement for {} s, {waiting} records wait",
                silence.as_secs()
            )
        })
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(_) => {
                let elapsed_ms =
                    u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.0
                    .last_ack_ms
                    .store(elapsed_ms, std::sync::atomic::Ordering::Relaxed);
                self.0.acked.inc();
                self.0.ack_seconds.observe(sent.at.elapsed().as_secs_f64());
                // An idempotent producer is acknowledged in order within a partition.
                sent.acked.set(sent.counter);
            }
            Err((error, _)) => {
                // The first reason is the one to report; later ones follow from it.
                let _ = self.0.failure.set(error.to_string());
            }
        }
    }
}

/// The partition that Kafka's own clients give this key: murmur2, positive, modulo.
fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % partitions.unsigned_abs().max(1)).unwrap_or(0)
}

/// MurmurHash2, 32 bits, with the seed that Kafka uses.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// A random UUID of version 4 (RFC 9562).
fn random_uuid() -> String {
    let (high, low) = (random_u64(), random_u64());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let (h, l) = (format!("{high:016x}"), format!("{low:016x}"));
    format!(
        "{}-{}-{}-{}-{}",
        &h[..8],
        &h[8..12],
        &h[12..],
        &l[..4],
        &l[4..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_kafkas_own_clients() {
        // Values of org.apache.kafka.common.utils.Utils.murmur2.
        for (key, hash) in [
            ("21", -973932308_i32),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        assert!((0..6).contains(&partition_of(b"10.0.0.1", 6)));
    }

    #[test]
    fn a_run_id_is_a_uuid_of_version_4() {
        let id = random_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        assert_ne!(id, random_uuid());
    }
}
