//! Spans by Jaeger's query API (`/api/traces`), which Jaeger 1 and 2 serve for its user interface.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::Options;
use super::record::Found;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Traces of one question at most.
const LIMIT: u32 = 1_500;
/// How much a producer's clock may be ahead of a broker's, in microseconds.
const CLOCKS_US: i64 = 5_000_000;
/// How long a broker may take, in microseconds.
const BROKER_US: i64 = 35_000_000;
/// Services that are asked for their part, and the operation that names offsets.
const BY_OFFSET: [(&str, &str); 3] = [
    ("millrace-broker", "append"),
    ("etl", "process"),
    ("archiver", "process"),
];

/// Every span of the record that the backend has, in the order of time.
pub async fn spans(url: &str, options: &Options, found: &Found) -> anyhow::Result<Vec<Value>> {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()?;
    let base = format!("{}/api/traces", url.trim_end_matches('/'));
    let mut all = BTreeMap::new();
    if let Some((trace, _)) = found.trace() {
        add(
            &mut all,
            &ask(&client, &format!("{base}/{trace}"), &[]).await?,
        );
    }
    let timestamp = found
        .record
        .as_ref()
        .ok()
        .and_then(|record| record.timestamp_ms);
    let Some(begin_us) = timestamp.map(|ms| ms.saturating_mul(1_000)) else {
        return Ok(in_order(all));
    };
    let within_us = i64::try_from(options.within.as_micros()).unwrap_or(i64::MAX);
    let tags = json!({
        "messaging.destination.name": options.topic,
        "messaging.destination.partition.id": options.partition.to_string(),
    });
    for (service, operation) in BY_OFFSET {
        let until_us = match service {
            "millrace-broker" => begin_us + BROKER_US,
            _ => begin_us.saturating_add(within_us),
        };
        let question = [
            ("service", service.to_owned()),
            ("operation", format!("{operation} {}", options.topic)),
            ("tags", tags.to_string()),
            ("start", (begin_us - CLOCKS_US).to_string()),
            ("end", until_us.to_string()),
            ("limit", LIMIT.to_string()),
        ];
        for trace in ask(&client, &base, &question).await? {
            if covers(&trace, options) {
                add(&mut all, &[trace]);
            }
        }
    }
    Ok(in_order(all))
}

/// The traces that answer a question; none of a trace that is not known.
async fn ask(
    client: &reqwest::Client,
    url: &str,
    query: &[(&str, String)],
) -> anyhow::Result<Vec<Value>> {
    let address = reqwest::Url::parse_with_params(url, query)
        .with_context(|| format!("JAEGER_URL: {url:?} cannot be read"))?;
    let answer = client.get(address).send().await;
    let answer = answer.with_context(|| url.to_owned())?;
    let status = answer.status();
    if status == reqwest::StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    if !status.is_success() {
        bail!("{url} answers {status}");
    }
    let text = answer.text().await.with_context(|| url.to_owned())?;
    let mut answer: Value =
        serde_json::from_str(&text).with_context(|| format!("{url} gives no JSON"))?;
    match answer["data"].take() {
        Value::Array(traces) => Ok(traces),
        _ => bail!("{url} does not answer as Jaeger does"),
    }
}

fn tag<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let tags = span["tags"].as_array()?;
    let found = tags.iter().find(|tag| tag["key"] == key)?;
    Some(&found["value"])
}

/// A number, however the backend writes it.
fn number(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a trace has a span that covers the record's offset.
fn covers(trace: &Value, options: &Options) -> bool {
    let spans = trace["spans"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    spans.iter().any(|span| {
        let base = number(tag(span, "millrace.offset.base"));
        let last = number(tag(span, "millrace.offset.last"));
        let is_here = tag(span, "messaging.destination.name") == Some(&json!(options.topic))
            && number(tag(span, "messaging.destination.partition.id"))
                == Some(options.partition.into());
        is_here
            && base
                .zip(last)
                .is_some_and(|(base, last)| (base..=last).contains(&options.offset))
    })
}

/// Adds the spans of traces, in a form of our own, by start and span id.
fn add(all: &mut BTreeMap<(i64, String), Value>, traces: &[Value]) {
    for trace in traces {
        let processes = &trace["processes"];
        for span in trace["spans"].as_array().into_iter().flatten() {
            let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
            let (start_us, id) = (span["startTime"].as_i64().unwrap_or(0), text("spanID"));
            let process = &processes[span["processID"].as_str().unwrap_or_default()];
            let parent = span["references"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|reference| reference["refType"] == "CHILD_OF");
            let tags = span["tags"].as_array().into_iter().flatten();
            let attributes: serde_json::Map<_, _> = tags
                .filter_map(|tag| Some((tag["key"].as_str()?.to_owned(), tag["value"].clone())))
                .collect();
            let instance = tag(process, "service.instance.id").cloned();
            let shown = json!({
                "service": process["serviceName"],
                "instance": instance,
                "name": span["operationName"],
                "trace_id": span["traceID"],
                "span_id": id,
                "parent_span_id": parent.map(|parent| parent["spanID"].clone()),
                "start_us": start_us,
                "duration_us": span["duration"],
                "attributes": attributes,
            });
            all.insert((start_us, id), shown);
        }
    }
}

fn in_order(all: BTreeMap<(i64, String), Value>) -> Vec<Value> {
    all.into_values().collect()
}
