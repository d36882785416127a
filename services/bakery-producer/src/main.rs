//! Orders of a bakery chain into Kafka.

use bakery_producer::bakery::Bakery;
use clap::Parser;
use pipeline::Service;
use pipeline::generator::{self, GeneratorOptions};

/// Writes the orders of a bakery chain that does not exist. One JSON object per order, keyed by the order's id, money in
/// cents:
///
///   {"id":"...","customer":"...","items":[{"product":"Baguette","quantity":2,"unit_price":285}],"total":570,
///    "store":"Harbour","payment_method":"cash","ordered_at":"2026-01-01T08:00:00.000Z"}
///
/// Every record carries the run's id and a counter per partition in its headers, so that a lost or doubled record shows.
/// SIGTERM ends the run when every record is acknowledged.
///
/// Examples:
///   bakery-producer --output stdout --seed 7 --count 10
///   bakery-producer --bootstrap-servers localhost:9092 --rate 2
#[derive(Parser, Debug)]
#[command(name = "bakery-producer", version, verbatim_doc_comment)]
#[command(mut_arg("rate", |rate| rate.default_value("2")))]
struct Command {
    /// The topic to write to.
    #[arg(long, env = "BAKERY_TOPIC", default_value = "bk-orders")]
    topic_name: String,

    #[command(flatten)]
    generator: GeneratorOptions,

    #[command(subcommand)]
    action: Option<pipeline::Action>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    if let Some(action) = command.action {
        action.run(command.generator.metrics_addr.as_deref());
    }
    let service =
        Service::start("bakery-producer", command.generator.metrics_addr.as_deref()).await?;
    let outcome = generator::run(
        &command.topic_name,
        &command.generator,
        Bakery::new,
        &service,
    )
    .await;
    service.end().await;
    outcome
}
