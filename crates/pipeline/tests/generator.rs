//! A generator against a real cluster: partitions that are added while it runs.
//!
//! `KAFKA_BOOTSTRAP_SERVERS=host:port cargo test -p pipeline -- --ignored`

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use pipeline::Service;
use pipeline::generator::{self, Generated, Generator, GeneratorOptions};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use telemetry::Registry;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: GeneratorOptions,
}

/// Keys that are spread over all partitions.
struct Numbers(u64);

impl Generator for Numbers {
    fn generate(&mut self, _: DateTime<Utc>) -> Generated {
        self.0 += 1;
        Generated {
            key: self.0.to_string(),
            value: b"{}".to_vec(),
        }
    }
}

/// The partitions in which the brokers have acknowledged a record.
fn acknowledged(registry: &Registry) -> Vec<String> {
    let text = registry.render();
    let series = text
        .lines()
        .filter_map(|line| line.strip_prefix("millrace_generator_acked_counter{"));
    let partitions = series.filter_map(|labels| {
        let (_, rest) = labels.split_once("partition=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    partitions.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn partitions_that_are_added_get_records_without_a_restart() {
    // Given a generator that writes to a topic of one partition
    let topic = format!("generator-test-{:016x}", pipeline::random_u64());
    let arguments = ["x", "--rate", "200", "--partitions", "1"];
    let options = Command::parse_from(arguments).options;
    let service = Service::silent();
    let (registry, stop) = (service.registry.clone(), service.stop.clone());
    let run = {
        let (topic, options) = (topic.clone(), options.clone());
        tokio::spawn(async move { generator::run(&topic, &options, Numbers, &service).await })
    };
    until("the first", || acknowledged(&registry) == ["0"]).await;
    // When the topic gets two more
    let admin: AdminClient<DefaultClientContext> =
        options.kafka.client("test").create().expect("a client");
    let (three, options) = ([NewPartitions::new(&topic, 3)], AdminOptions::new());
    let more = admin.create_partitions(&three, &options).await;
    let more = more.expect("an answer");
    more[0].as_ref().expect("more partitions");
    // Then they get their share
    until("all", || acknowledged(&registry).len() == 3).await;
    stop.cancel();
    run.await.expect("no panic").expect("a clean end");
}

/// Looks again and again until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
