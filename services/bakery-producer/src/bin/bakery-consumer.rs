//! Joins a group and prints each order as a small receipt.

use std::io::{ErrorKind, Write};

use anyhow::Context;
use bakery_producer::order::Order;
use bakery_producer::receipt::receipt;
use clap::Parser;
use pipeline::families::PRINTED;
use pipeline::{KafkaOptions, Service};
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use telemetry::Readiness;

/// The part in the readiness report that stands for the brokers.
const PART: &str = "kafka";

/// Joins a consumer group and prints each order of the bakery as a small receipt, or as one line of JSON. What is not an
/// order (people type free text into this topic) is printed as it is.
///
/// Examples:
///   bakery-consumer
///   bakery-consumer --json --count 5
#[derive(Parser, Debug)]
#[command(name = "bakery-consumer", version, verbatim_doc_comment)]
struct Command {
    /// The topic to read.
    #[arg(long, env = "BAKERY_TOPIC", default_value = "bk-orders")]
    topic_name: String,

    /// The consumer group to join. A group that is new begins with the oldest order.
    #[arg(long, env = "GROUP_ID", default_value = "bakery-consumer")]
    group: String,

    /// One line of JSON per order instead of a receipt.
    #[arg(long)]
    json: bool,

    /// End after that many records.
    #[arg(long)]
    count: Option<u64>,

    /// Address for /metrics, /healthz and /readyz; not served when absent.
    #[arg(long, env = "METRICS_ADDR", value_name = "HOST:PORT")]
    metrics_addr: Option<String>,

    #[command(flatten)]
    kafka: KafkaOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let service = Service::start("bakery-consumer", command.metrics_addr.as_deref()).await?;
    let outcome = print_orders(&command, &service).await;
    service.end().await;
    outcome
}

/// Ready as soon as the group has given this member its partitions.
struct Membership(Readiness);

impl ClientContext for Membership {}

impl ConsumerContext for Membership {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => self.0.ready(PART),
            Rebalance::Revoke(_) => self.0.not_ready(PART, "joining its group again"),
            Rebalance::Error(error) => self.0.not_ready(PART, error.to_string()),
        }
    }
}

async fn print_orders(command: &Command, service: &Service) -> anyhow::Result<()> {
    service.readiness.not_ready(PART, "joining its group");
    let printed = service.registry.counters(&PRINTED);
    let mut config = command.kafka.client("bakery-consumer");
    config
        .set("group.id", &command.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("queued.max.messages.kbytes", "8192");
    let consumer: StreamConsumer<Membership> = config
        .create_with_context(Membership(service.readiness.clone()))
        .context("cannot create a Kafka consumer")?;
    consumer
        .subscribe(&[&command.topic_name])
        .context("cannot subscribe")?;
    let mut left = command.count.unwrap_or(u64::MAX);
    while left > 0 {
        let received = tokio::select! {
            biased;
            () = service.stop.cancelled() => break,
            received = consumer.recv() => received,
        };
        match received {
            Ok(message) => {
                match print(message.payload().unwrap_or_default(), command.json) {
                    Ok(kind) => printed.with(&[kind]).inc(),
                    // Whoever read it has seen enough.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                    Err(error) => return Err(error).context("cannot write to standard output"),
                }
                if let Err(error) = consumer.store_offset_from_message(&message) {
                    tracing::debug!(%error, "the partition has moved to another member");
                }
                left -= 1;
            }
            Err(KafkaError::MessageConsumptionFatal(code)) => {
                anyhow::bail!("the Kafka consumer failed for good: {code}")
            }
            // Lost connections and elections: the client goes on by itself.
            Err(error) => tracing::warn!(%error, "waiting for the brokers"),
        }
    }
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => tracing::warn!(%error, "the last orders may be printed again"),
    }
    tokio::task::spawn_blocking(move || drop(consumer))
        .await
        .context("leaving the group panicked")
}

/// Prints a record and says what kind it was.
fn print(value: &[u8], json: bool) -> std::io::Result<&'static str> {
    let mut out = std::io::stdout().lock();
    let kind = match serde_json::from_slice::<Order>(value) {
        Ok(order) => {
            match json {
                true => out.write_all(&[&serde_json::to_vec(&order)?[..], b"\n"].concat())?,
                false => out.write_all(receipt(&order).as_bytes())?,
            }
            "order"
        }
        Err(_) => {
            out.write_all(&[value, b"\n"].concat())?;
            "text"
        }
    };
    out.flush()?;
    Ok(kind)
}
