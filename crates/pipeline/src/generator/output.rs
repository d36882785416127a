//! Where generated records go: an idempotent Kafka producer, or standard output.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use telemetry::Readiness;
use telemetry::traces::{Span, TRACEPARENT, TRACESTATE, Tracer};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::deliveries::{Deliveries, Sent};
use super::partitioner::partition_of;
use super::{Generated, GeneratorOptions, RunCounters, Target};
use crate::cluster::{TopicDefaults, ensure_topic, partition_count_blocking};
use crate::{Backoff, COUNTER_HEADER, RUN_ID_HEADER, Service, random_u64, spans};

/// How long a run that is told to end waits for acknowledgements.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(25);
/// How often a full queue, or one that must become empty, is looked at.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(20);
/// How often the topic's number of partitions is looked at.
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(5);
const PART: &str = "kafka";

pub(super) enum Output {
    Stdout(std::io::BufWriter<std::io::Stdout>),
    Kafka(Box<KafkaOutput>),
}

pub(super) struct KafkaOutput {
    topic: String,
    partitions: Arc<AtomicI32>,
    _watch: AbortOnDropHandle<()>,
    counters: RunCounters,
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    readiness: Readiness,
    tracer: Tracer,
}

impl Output {
    /// Waits for the brokers and creates the topic if need be. `None` when `stop` came first.
    pub(super) async fn open(
        topic: &str,
        options: &GeneratorOptions,
        service: &Service,
    ) -> anyhow::Result<Option<Output>> {
        let Service {
            registry,
            readiness,
            stop,
            ..
        } = service;
        if options.output == Target::Stdout {
            return Ok(Some(Output::Stdout(std::io::BufWriter::new(
                std::io::stdout(),
            ))));
        }
        readiness.not_ready(PART, "connecting");
        let deliveries = Deliveries::new(topic, registry);
        let config = options
            .kafka
            .producer(&format!("millrace-{topic}-generator"));
        let producer: ThreadedProducer<Deliveries> = config
            .create_with_context(deliveries.clone())
            .context("cannot create a Kafka producer")?;
        let mut backoff = Backoff::default();
        let partitions = loop {
            let prepared = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                prepared = prepare(topic, options, &producer) => prepared,
            };
            match prepared {
                Ok(partitions) => break partitions,
                Err(error) => {
                    let error = crate::consumer::reason(&error);
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
        let partitions = Arc::new(AtomicI32::new(partitions));
        let watch = watch_partitions(topic.to_owned(), producer.clone(), partitions.clone());
        let counters = RunCounters::new(topic, &run_id, registry);
        readiness.ready(PART);
        let topic = topic.to_owned();
        let readiness = readiness.clone();
        Ok(Some(Output::Kafka(Box::new(KafkaOutput {
            topic,
            partitions,
            _watch: AbortOnDropHandle::new(tokio::spawn(watch)),
            counters,
            producer,
            deliveries,
            readiness,
            tracer: service.traces.tracer(),
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

    /// Returns when everything is out: as late as that may be, but for a limited time when `stop` is cancelled.
    pub(super) async fn close(self, stop: &CancellationToken) -> anyhow::Result<()> {
        match self {
            Output::Stdout(mut out) => out.flush().context("cannot write to standard output"),
            Output::Kafka(kafka) => kafka.close(stop).await,
        }
    }
}

impl KafkaOutput {
    async fn put(&mut self, record: &Generated, stop: &CancellationToken) -> anyhow::Result<bool> {
        let partitions = self.partitions.load(Ordering::Relaxed);
        let partition = partition_of(record.key.as_bytes(), partitions);
        let counter = self.counters.peek(partition);
        let text = counter.to_string();
        if self.producer.in_flight_count() == 0 {
            self.deliveries.on_idle();
        }
        let mut span = spans::send(&self.tracer, &self.topic, partition, record.value.len());
        loop {
            self.check()?;
            let headers = self.headers(&text, &span);
            let sent = Sent {
                at: Instant::now(),
                counter,
                acked: self.counters.acked(partition),
                span,
            };
            let message = BaseRecord::with_opaque_to(&self.topic, Box::new(sent))
                .partition(partition)
                .key(&record.key)
                .payload(&record.value)
                .headers(headers);
            match self.producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    span = refused.delivery_opaque.span;
                }
                Err((error, _)) => return Err(error).context("the producer refuses a record"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                () = sleep(FULL_QUEUE_PAUSE) => {}
            }
        }
        self.counters.on_queued(partition);
        self.deliveries.on_queued();
        Ok(true)
    }

    /// By which the record is counted, and by which its trace goes on.
    fn headers(&self, counter: &str, span: &Span) -> OwnedHeaders {
        let trace = span.headers();
        let (parent, state) = match &trace {
            Some((parent, state)) => (Some(parent.as_str()), state.as_deref()),
            None => (None, None),
        };
        let all = [
            (RUN_ID_HEADER, Some(self.counters.run_id())),
            (COUNTER_HEADER, Some(counter)),
            (TRACEPARENT, parent),
            (TRACESTATE, state),
        ];
        let mut headers = OwnedHeaders::new_with_capacity(all.len());
        for (key, value) in all.into_iter().filter(|(_, value)| value.is_some()) {
            headers = headers.insert(Header { key, value });
        }
        headers
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

    async fn close(self, stop: &CancellationToken) -> anyhow::Result<()> {
        let waiting = self.producer.in_flight_count();
        tracing::info!(waiting, "waiting for the last acknowledgements");
        while self.producer.in_flight_count() > 0 && !stop.is_cancelled() {
            self.check()?;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = sleep(FULL_QUEUE_PAUSE) => {}
            }
        }
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
            acknowledged = self.deliveries.acknowledged(),
            "every record is acknowledged"
        );
        Ok(())
    }
}

/// One try to reach the brokers, with the topic's number of partitions.
async fn prepare(
    topic: &str,
    options: &GeneratorOptions,
    producer: &ThreadedProducer<Deliveries>,
) -> anyhow::Result<i32> {
    let defaults = TopicDefaults {
        partitions: options.topic.partitions,
        replication_factor: options.topic.replication_factor,
        ..TopicDefaults::default()
    };
    ensure_topic(&options.kafka, topic, &defaults).await?;
    count_partitions(topic.to_owned(), producer.clone()).await
}

/// Records go to partitions that are added while the run lasts, as any Kafka producer's do.
async fn watch_partitions(
    topic: String,
    producer: ThreadedProducer<Deliveries>,
    partitions: Arc<AtomicI32>,
) {
    loop {
        sleep(PARTITIONS_INTERVAL).await;
        // An outage is the deliveries' to report.
        let Ok(now) = count_partitions(topic.clone(), producer.clone()).await else {
            continue;
        };
        let before = partitions.fetch_max(now, Ordering::Relaxed);
        if before < now {
            tracing::info!(topic, before, now, "the topic has more partitions");
        }
    }
}

async fn count_partitions(
    topic: String,
    producer: ThreadedProducer<Deliveries>,
) -> anyhow::Result<i32> {
    let count =
        tokio::task::spawn_blocking(move || partition_count_blocking(producer.client(), &topic));
    count.await.context("the look-up panicked")?
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
    fn a_run_id_is_a_uuid_of_version_4() {
        let id = random_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        assert_ne!(id, random_uuid());
    }
}
