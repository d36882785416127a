//! `k8s-load produce`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use pipeline::KafkaOptions;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::deliveries::Deliveries;

const FLUSH: Duration = Duration::from_secs(120);
const METADATA: Duration = Duration::from_secs(30);

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// The topic to write to; it must be there
    topic: String,

    /// The name of this run, which every record carries
    #[arg(long)]
    run: String,

    /// Records per second, over all partitions in turn
    #[arg(long, default_value_t = 200)]
    rate: u32,

    /// Bytes that are added to each record
    #[arg(long, default_value_t = 512)]
    size: usize,
}

/// The value of a record: `run:partition:counter:padding`. The counter grows by one in each partition of a run.
struct Load {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    run: String,
    padding: String,
    counters: Vec<u64>,
    turn: usize,
}

impl Load {
    /// Hands over the next record; false where the client's queue is full, and it must be tried again.
    fn send(&mut self) -> Result<bool> {
        let partition = self.turn % self.counters.len();
        let counter = self.counters[partition];
        let value = format!("{}:{partition}:{counter}:{}", self.run, self.padding);
        let record = BaseRecord::<(), _, _>::with_opaque_to(&self.topic, Box::new(Instant::now()))
            .partition(partition as i32)
            .payload(&value);
        match self.producer.send(record) {
            Ok(()) => {
                self.counters[partition] += 1;
                self.turn += 1;
                Ok(true)
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error).context("a record could not be handed over"),
        }
    }

    fn sent(&self) -> u64 {
        self.counters.iter().sum()
    }
}

pub async fn run(options: Options) -> Result<()> {
    let stop = telemetry::shutdown_signal()?;
    tokio::pin!(stop);
    let mut config = options.kafka.producer("k8s-load");
    config.set("compression.type", "none");
    let partitions = partitions(&config, &options.topic)?;
    let deliveries = Deliveries::new(partitions);
    let mut load = Load {
        producer: config.create_with_context(deliveries.clone())?,
        topic: options.topic,
        run: options.run,
        padding: "x".repeat(options.size),
        counters: vec![0; partitions],
        turn: 0,
    };
    let mut ticks = interval(Duration::from_secs(1) / options.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut reports = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => break,
            _ = reports.tick() => progress(&load, &deliveries),
            _ = ticks.tick() => { load.send()?; }
        }
    }
    finish(&load, &deliveries)
}

fn partitions(config: &rdkafka::ClientConfig, topic: &str) -> Result<usize> {
    let client: rdkafka::producer::BaseProducer = config.create()?;
    let metadata = client.client().fetch_metadata(Some(topic), METADATA)?;
    let found = metadata
        .topics()
        .first()
        .map_or(0, |t| t.partitions().len());
    ensure!(found > 0, "topic {topic} is not there");
    Ok(found)
}

fn progress(load: &Load, deliveries: &Deliveries) {
    let record = deliveries.lock();
    let line = json!({
        "acked": record.acked,
        "waiting": load.sent() - record.acked,
        "longest_ms": record.longest_ms,
    });
    println!("{line}");
}

/// Waits for what is under way, and says what there was.
fn finish(load: &Load, deliveries: &Deliveries) -> Result<()> {
    let flushed = load.producer.flush(FLUSH);
    let record = deliveries.lock();
    let line = json!({
        "done": true,
        "run": load.run,
        "sent": load.counters,
        "acked": record.acked,
        "acked_by_partition": record.by_partition,
        "failures": record.failures.iter().take(10).collect::<Vec<_>>(),
        "longest_ms": record.longest_ms,
        "p50_ms": record.quantile_ms(0.5),
        "p99_ms": record.quantile_ms(0.99),
        "p999_ms": record.quantile_ms(0.999),
        "slow": record.slow,
    });
    println!("{line}");
    flushed.context("records were still waiting at the end")?;
    if !record.failures.is_empty() {
        bail!("{} records failed", record.failures.len());
    }
    Ok(())
}
