//! What the generators share: their flags, the pace, and handing records to Kafka or standard output.
//!
//! A record depends on the seed and on virtual time alone, and virtual time on the seed and the flags: the same seed gives
//! the same records, however fast the brokers take them.

mod deliveries;
mod output;
mod pace;
mod partitioner;
mod run_counters;
mod zipf;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

pub use run_counters::RunCounters;
pub use zipf::Zipf;

use crate::{KafkaOptions, Service, random_u64};
use output::Output;
use pace::Pace;

/// Virtual time begins here when a seed is given and no start.
const SEEDED_START: &str = "2026-01-01T00:00:00Z";

/// The flags of a generator.
#[derive(Args, Clone, Debug)]
pub struct GeneratorOptions {
    /// Records per second on the average of a day; 0 is as fast as the brokers take them. Over the day the rate swings by
    /// two fifths, lowest before dawn, unless --steady.
    #[arg(long, env = "RATE", default_value_t = 20.0, value_parser = rate)]
    pub rate: f64,

    /// How many records are sent together; the mean rate stays.
    #[arg(long, env = "BURST", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub burst: u32,

    /// End after that many records.
    #[arg(long, env = "COUNT")]
    pub count: Option<u64>,

    /// The same seed gives the same records. Time then begins at --start and moves with the records, not with the clock.
    #[arg(long, env = "SEED")]
    pub seed: Option<u64>,

    /// The time of the first record; default: now, and with --seed 2026-01-01T00:00:00Z.
    #[arg(long, env = "START", value_name = "RFC3339")]
    pub start: Option<DateTime<Utc>>,

    /// No daily rhythm.
    #[arg(long, env = "STEADY")]
    pub steady: bool,

    /// Where the records go.
    #[arg(long, env = "OUTPUT", value_enum, default_value_t = Target::Kafka)]
    pub output: Target,

    /// Address for /metrics, /healthz and /readyz; not served when absent.
    #[arg(long, env = "METRICS_ADDR", value_name = "HOST:PORT")]
    pub metrics_addr: Option<String>,

    #[command(flatten)]
    pub kafka: KafkaOptions,

    #[command(flatten)]
    pub topic: TopicOptions,
}

/// How the topic is created when it does not exist.
#[derive(Args, Clone, Debug)]
pub struct TopicOptions {
    /// Partitions of the topic if it must be created.
    #[arg(long, env = "TOPIC_PARTITIONS", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,

    /// Replicas of the topic if it must be created; default: three, or as many as there are brokers.
    #[arg(long, env = "TOPIC_REPLICATION_FACTOR", value_parser = clap::value_parser!(i32).range(1..))]
    pub replication_factor: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The brokers at --bootstrap-servers.
    Kafka,
    /// One line per record on standard output.
    Stdout,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    if rate.is_finite() && rate >= 0.0 {
        Ok(rate)
    } else {
        Err("must be 0 or more".to_owned())
    }
}

/// A record without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    pub key: String,
    pub value: Vec<u8>,
}

/// Makes records; all randomness comes from the seed it was built with.
pub trait Generator {
    /// The record of the moment `now` of virtual time.
    fn generate(&mut self, now: DateTime<Utc>) -> Generated;
}

/// Generates until the count is reached or the service is to stop, and returns when every record is acknowledged.
///
/// # Errors
/// When a record is refused for good, or is not acknowledged in time after the end.
pub async fn run<G: Generator>(
    topic: &str,
    options: &GeneratorOptions,
    build: impl FnOnce(u64) -> G,
    service: &Service,
) -> anyhow::Result<()> {
    let stop = &service.stop;
    let seed = options.seed.unwrap_or_else(random_u64);
    tracing::info!(
        topic,
        seed,
        rate = options.rate,
        burst = options.burst,
        "generating"
    );
    let Some(mut output) = Output::open(topic, options, service).await? else {
        return Ok(());
    };
    let mut generator = build(seed);
    let mut pace = Pace::new(options, start(options)?);
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 && !stop.is_cancelled() {
        for now in pace
            .next_burst(stop)
            .await
            .into_iter()
            .take(usize::try_from(left).unwrap_or(usize::MAX))
        {
            if !output.put(generator.generate(now), stop).await? {
                break;
            }
            left -= 1;
        }
    }
    output.close(stop).await
}

fn start(options: &GeneratorOptions) -> anyhow::Result<Option<DateTime<Utc>>> {
    match (options.start, options.seed) {
        (Some(start), _) => Ok(Some(start)),
        (None, Some(_)) => Ok(Some(
            SEEDED_START.parse().context("the start of seeded time")?,
        )),
        (None, None) => Ok(None),
    }
}
