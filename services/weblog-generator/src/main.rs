//! Fake web-server logs into Kafka: visitors, sessions, a daily rhythm and incidents.

mod incidents;
mod site;
mod visitors;

use clap::Parser;
use pipeline::Service;
use pipeline::generator::{self, GeneratorOptions};

/// Writes the access log of a web shop that does not exist: visitors come, click through the shop and leave; a few pages
/// and a few addresses get most of the traffic; the day has its rhythm; now and then something breaks or a crawler comes
/// by. One JSON object per request, keyed by the visitor's address:
///
///   {"ip":"203.0.113.7","timestamp":"2026-01-01T12:00:00.000Z","method":"GET","url":"/products/42",
///    "status_code":200,"user_agent":"Mozilla/5.0 ..."}
///
/// Every record carries the run's id and a counter per partition in its headers, so that a lost or doubled record shows.
/// SIGTERM ends the run when every record is acknowledged.
///
/// Examples:
///   weblog-generator --output stdout --seed 7 --count 10
///   weblog-generator --bootstrap-servers localhost:9092 --rate 100
#[derive(Parser, Debug)]
#[command(name = "weblog-generator", version, verbatim_doc_comment)]
struct Command {
    /// The topic to write to.
    #[arg(long, env = "WEBLOG_TOPIC", default_value = "web-logs")]
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
    let service = Service::start(
        "weblog-generator",
        command.generator.metrics_addr.as_deref(),
    )
    .await?;
    let outcome = generator::run(
        &command.topic_name,
        &command.generator,
        visitors::Visitors::new,
        &service,
    )
    .await;
    service.end().await;
    outcome
}
