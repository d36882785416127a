//! A record's trace, from its producer over the brokers to every sink, as a real collector got it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::until;
use e2e::collector::Span;
use e2e::jaeger;
use serde_json::{Value, json};

use crate::mesh::{GENERATORS, Mesh, SINKS};

/// How long a span may be on its way, from its work on.
const PATIENCE: Duration = Duration::from_secs(180);

const PRODUCER: i64 = 4;
const CONSUMER: i64 = 5;
const CLIENT: i64 = 3;
const SERVER: i64 = 2;
/// Each sink with the service that has it and the span of its store.
const SINKS_OF: [(&str, &str, &[&str]); 3] = [
    ("postgres", "etl", &["INSERT web_logs", "INSERT orders"]),
    ("opensearch", "etl", &["bulk"]),
    ("s3", "archiver", &["S3/PutObject"]),
];

/// Where a record is.
struct Place {
    topic: &'static str,
    partition: String,
    offset: i64,
}

/// All of the mesh's parts export over gRPC, and then over HTTP.
pub fn arrive_whole(mesh: &mut Mesh) -> Result<()> {
    mesh.start_again(GENERATORS)?;
    whole(mesh, "web-logs")?;
    whole(mesh, "bk-orders")?;
    let parts = format!("broker-1,broker-2,broker-3,{GENERATORS},{SINKS}");
    mesh.stop(&parts)?;
    let http = mesh.collector.http();
    mesh.stack.set("OTEL_EXPORTER_OTLP_ENDPOINT", &http);
    mesh.stack
        .set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    mesh.start_again(&parts)?;
    mesh.collector.forget();
    let place = whole(mesh, "web-logs")?;
    shown_by_the_command(mesh, &place)
}

/// Waits for a record of which every span has come, and checks them.
fn whole(mesh: &Mesh, topic: &'static str) -> Result<Place> {
    let mut why = anyhow::anyhow!("no span `send {topic}` has come");
    let mut found = None;
    let looked = until(PATIENCE, "a whole trace", || {
        let spans = mesh.collector.spans();
        let sent = spans
            .iter()
            .filter(|span| span.name == format!("send {topic}"));
        for send in sent.rev().take(200) {
            match check(&spans, send, topic) {
                Ok(place) => found = Some(place),
                Err(error) => why = error,
            }
        }
        Ok(found.is_some())
    });
    looked.with_context(|| format!("the newest record: {why:#}"))?;
    found.context("a place")
}

fn check(spans: &[Span], send: &Span, topic: &'static str) -> Result<Place> {
    let generator = match topic {
        "web-logs" => "weblog-generator",
        _ => "bakery-producer",
    };
    ensure!(
        send.kind == PRODUCER && send.parent.is_empty() && !send.is_error,
        "{send:?}"
    );
    ensure!(send.service == generator, "{send:?}");
    ensure!(
        send.resource["service.instance.id"] == json!(generator),
        "{send:?}"
    );
    ensure!(
        send.resource["service.version"] == json!("0.1.0"),
        "{send:?}"
    );
    ensure!(send.text("messaging.system") == "kafka", "{send:?}");
    ensure!(send.text("messaging.operation.type") == "send", "{send:?}");
    let place = Place {
        topic,
        partition: send.text("messaging.destination.partition.id").to_owned(),
        offset: send.number("messaging.kafka.offset").context("no offset")?,
    };
    appended(spans, &place).with_context(|| format!("offset {}", place.offset))?;
    for (sink, service, stores) in SINKS_OF {
        processed(spans, send, &place, (sink, service), stores)
            .with_context(|| format!("{sink}, offset {}", place.offset))?;
    }
    Ok(place)
}

/// The broker's part is joined by offset, and has its phases.
fn appended(spans: &[Span], place: &Place) -> Result<()> {
    let name = format!("append {}", place.topic);
    let mut appends = spans.iter().filter(|span| {
        span.name == name && span.covers(place.topic, &place.partition, place.offset)
    });
    let append = appends.next().context("no span of a broker")?;
    ensure!(
        append.service == "millrace-broker" && append.kind == SERVER,
        "{append:?}"
    );
    let instance = append.resource["service.instance.id"].as_str();
    let id = append.number("millrace.broker.id").context("broker id")?;
    ensure!(instance == Some(&format!("broker-{id}")), "{append:?}");
    ensure!(
        append.number("millrace.leader.epoch").is_some(),
        "{append:?}"
    );
    for phase in ["write", "replicate"] {
        let is_it = |span: &&Span| span.name == phase && span.parent == append.id;
        let phase = spans
            .iter()
            .find(is_it)
            .with_context(|| format!("no {phase}"))?;
        let is_within = append.start_ns <= phase.start_ns && phase.end_ns <= append.end_ns;
        ensure!(phase.trace == append.trace && is_within, "{phase:?}");
    }
    Ok(())
}

/// A sink's batch links to the record's producer, names the record's offset, and has its store's span below it.
fn processed(
    spans: &[Span],
    send: &Span,
    place: &Place,
    (sink, service): (&str, &str),
    stores: &[&str],
) -> Result<()> {
    let name = format!("process {}", place.topic);
    let mut batches = spans.iter().filter(|span| {
        span.name == name
            && span.text("millrace.sink") == sink
            && span.covers(place.topic, &place.partition, place.offset)
    });
    let process = batches.next().context("no batch")?;
    ensure!(
        process.kind == CONSUMER && process.service == service,
        "{process:?}"
    );
    let link = (send.trace.clone(), send.id.clone());
    ensure!(process.links.contains(&link), "not linked: {process:?}");
    let count = process.number("messaging.batch.message_count");
    ensure!(count.is_some_and(|count| count >= 1), "{process:?}");
    ensure!(
        process
            .text("messaging.consumer.group.name")
            .contains(|c: char| c.is_alphanumeric()),
        "{process:?}"
    );
    let poll = spans.iter().find(|span| span.id == process.parent);
    let poll = poll.context("no poll above")?;
    ensure!(
        poll.name == format!("poll {}", place.topic) && poll.kind == CLIENT,
        "{poll:?}"
    );
    ensure!(
        poll.text("messaging.operation.type") == "receive",
        "{poll:?}"
    );
    ensure!(
        poll.links.contains(&link) && poll.trace == process.trace,
        "{poll:?}"
    );
    let is_below = |span: &&Span| span.parent == process.id && stores.contains(&&*span.name);
    let store = spans
        .iter()
        .find(is_below)
        .context("no span of the store")?;
    ensure!(
        store.kind == CLIENT && store.trace == process.trace,
        "{store:?}"
    );
    match sink {
        "s3" => ensure!(store.text("aws.s3.key").contains(place.topic), "{store:?}"),
        _ => ensure!(!store.text("db.system.name").is_empty(), "{store:?}"),
    }
    Ok(())
}

/// `millrace trace` finds the record, what it has become, and these spans.
fn shown_by_the_command(mesh: &Mesh, place: &Place) -> Result<()> {
    let url = jaeger::serve(mesh.collector.spans())?;
    let offset = place.offset.to_string();
    let asked = ["trace", place.topic, &place.partition, &offset];
    let text = mesh.millrace(&[&asked[..], &["--jaeger-url", &url, "--json"]].concat())?;
    let report: Value = serde_json::from_str(&text)?;
    let record = &report["record"];
    ensure!(
        record["trace_id"].is_string() && record["timestamp"].is_string(),
        "{record}"
    );
    ensure!(report["replication"]["committed"] == true, "{report}");
    for sink in ["postgres", "opensearch", "s3"] {
        let found = &report["sinks"][sink];
        ensure!(
            found["state"] == "stored" && found["as_expected"] == true,
            "{found}"
        );
    }
    ensure!(
        report["sinks"]["s3"]["line"].as_i64() >= Some(1),
        "{report}"
    );
    let spans = report["spans"]["found"].as_array().context("spans")?;
    for name in ["send", "append", "poll", "process"] {
        let name = format!("{name} {}", place.topic);
        ensure!(
            spans.iter().any(|span| span["name"] == name),
            "no {name} in {spans:?}"
        );
    }
    for name in ["replicate", "bulk", "S3/PutObject"] {
        ensure!(
            spans.iter().any(|span| span["name"] == name),
            "no {name} in {spans:?}"
        );
    }
    // For people, and where there is nothing
    let text = mesh.millrace(&asked)?;
    ensure!(
        text.contains("row stored, as expected") && text.contains("no tracing backend was asked"),
        "{text}"
    );
    let text = mesh.millrace(&["trace", place.topic, &place.partition, "999999999"])?;
    ensure!(text.contains("it has not been produced"), "{text}");
    Ok(())
}

/// What is refused keeps its trace: its dead letter has the original's header, and the log line the ids of its batch.
pub fn go_on_in_dead_letters_and_logs(mesh: &Mesh) -> Result<()> {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let header = format!("traceparent={parent}");
    mesh.millrace(&[
        "produce",
        "web-logs",
        "--header",
        &header,
        "--value",
        "traced, but no JSON",
    ])?;
    let mut batch = None;
    until(PATIENCE, "the batch of what is refused", || {
        let spans = mesh.collector.spans();
        let link = (
            "0af7651916cd43dd8448eb211c80319c".to_owned(),
            "b7ad6b7169203331".to_owned(),
        );
        let linked = |span: &&Span| {
            span.name == "process web-logs" && span.links.contains(&link) && span.service == "etl"
        };
        batch = spans.iter().find(linked).cloned();
        Ok(batch.is_some())
    })?;
    let batch = batch.context("a batch")?;
    until(PATIENCE, "the span of its dead letter", || {
        let spans = mesh.collector.spans();
        let is_letter = |span: &Span| span.name == "send web-logs.dlq" && span.trace == batch.trace;
        Ok(spans.iter().any(is_letter))
    })?;
    let letters = mesh.millrace(&[
        "consume",
        "web-logs.dlq",
        "--from-beginning",
        "--exit",
        "--json",
    ])?;
    ensure!(
        letters.lines().any(|letter| letter.contains(parent)),
        "no dead letter with {parent}"
    );
    let log = std::fs::read_to_string(mesh.stack.data().join("logs/etl.log"))?;
    let line = log
        .lines()
        .find(|line| line.contains("dead letter") && line.contains(&batch.trace));
    let line: Value = serde_json::from_str(line.context("no log line of that trace")?)?;
    ensure!(
        line["trace_id"] == json!(batch.trace) && line["span_id"].is_string(),
        "{line}"
    );
    Ok(())
}

/// The collector goes away and comes back: the pipeline takes no notice, and spans come again.
pub fn may_get_lost_and_nothing_else(mesh: &mut Mesh) -> Result<()> {
    mesh.start_again(GENERATORS)?;
    mesh.collector.down()?;
    mesh.stack.wait_acknowledged(200)?;
    mesh.collector.up()?;
    mesh.collector.forget();
    whole(mesh, "web-logs")?;
    let counted = mesh.asked("etl", "/metrics")?;
    ensure!(
        counted.contains("millrace_trace_spans_total{outcome=\"exported\"}"),
        "{counted}"
    );
    mesh.stop(GENERATORS)?;
    mesh.expect_clean(&mesh.verify(&["--wait", "180s"])?)
}
