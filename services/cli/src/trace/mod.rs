//! `millrace trace`: one record's way through the mesh, from its producer to every sink.

mod jaeger;
mod record;
mod sinks;
mod text;

use std::io::stdout;
use std::time::Duration;

use clap::Args;
use pipeline::KafkaOptions;
use serde_json::{Value, json};

use crate::verify::{duration, opensearch, postgres, s3};
use record::Found;

/// Show one record's way: produced, replicated, its row, its document, its object, its spans
///
/// The record is read from its partition; the stores are asked for what it has become there, which is compared with what
/// it must have become, as `millrace verify` does it. What is not there is explained: not stored yet, refused and
/// dead-lettered, taken by retention, or the store does not answer.
///
/// Spans are asked of Jaeger's query API: those of the trace that the record's `traceparent` header names, and by topic,
/// partition and offset those of brokers (append, replicate) and of sinks (poll, process), which work on batches.
///
/// The addresses are those that `make env` prints.
///
/// Examples:
///   eval "$(make -s env)" && millrace trace web-logs 0 1234
///   millrace trace web-logs 0 1234 --jaeger-url http://localhost:16686 --json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    /// The record's topic
    topic: String,

    /// The record's partition
    partition: i32,

    /// The record's offset
    offset: i64,

    #[command(flatten)]
    kafka: KafkaOptions,

    /// Jaeger's query API, of which spans are asked [default: none are shown]
    #[arg(long, env = "JAEGER_URL", value_name = "URL")]
    jaeger_url: Option<String>,

    /// How long after the record's timestamp its sinks are expected to have worked on it
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    within: Duration,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    postgres: postgres::Options,
    #[command(flatten)]
    opensearch: opensearch::Options,
    #[command(flatten)]
    s3: s3::Options,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let found = tokio::task::block_in_place(|| record::find(&options))?;
    let sinks = sinks::look(&options, &found).await;
    let spans = spans(&options, &found).await;
    let report = json!({
        "topic": options.topic,
        "partition": options.partition,
        "offset": options.offset,
        "record": found.as_json(),
        "replication": found.replication,
        "sinks": sinks,
        "spans": spans,
    });
    match options.json {
        true => crate::output::print_json(&mut stdout(), &report),
        false => text::print(&mut stdout(), &report),
    }
}

/// The spans in the order of time, or why there are none to show.
async fn spans(options: &Options, found: &Found) -> Value {
    let Some(url) = &options.jaeger_url else {
        return json!({"missing": "no tracing backend was asked: give --jaeger-url or JAEGER_URL"});
    };
    match jaeger::spans(url, options, found).await {
        Ok(spans) if spans.is_empty() => json!({
            "missing": "the tracing backend has none: the record's trace was not sampled, tracing was off, or the spans are older than what it keeps"
        }),
        Ok(spans) => json!({"found": spans}),
        Err(error) => json!({"missing": format!("the tracing backend cannot be asked: {error:#}")}),
    }
}
