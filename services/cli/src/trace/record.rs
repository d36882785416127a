//! The record in its partition, and where that is replicated.

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use pipeline::{Header, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Map, Value, json};

use super::Options;
use crate::offsets::TIMEOUT;
use crate::verify::dead_letters::DeadLetters;
use crate::verify::source::{self, Range, Reader, Topic};

/// Bytes of a value that are shown.
const SHOWN_BYTES: usize = 4 << 10;

/// What the log says.
pub struct Found {
    pub topic: Topic,
    /// The record, or why it is not there.
    pub record: Result<Record, String>,
    pub replication: Value,
    /// What the sinks refused of this topic.
    pub letters: DeadLetters,
}

/// Looks the record up.
///
/// # Errors
/// When no broker answers, or there is no such topic or partition: then there is nothing to be said of anything.
pub fn find(options: &Options) -> anyhow::Result<Found> {
    let consumer = source::consumer(&options.kafka)?;
    let Some(topic) = source::fix(&consumer, &options.topic)? else {
        bail!("there is no topic {}", options.topic);
    };
    let ranges = &topic.ranges;
    let Some(range) = ranges
        .iter()
        .find(|range| range.partition == options.partition)
    else {
        bail!(
            "topic {} has no partition {}: its partitions are 0 to {}",
            options.topic,
            options.partition,
            ranges.len().saturating_sub(1)
        );
    };
    let replication = replication(&consumer, options, range)?;
    let record = read(&consumer, &topic, range, options.offset)?;
    let letters = DeadLetters::open(&options.kafka, &options.topic)?;
    Ok(Found {
        topic,
        record,
        replication,
        letters,
    })
}

fn read(
    consumer: &BaseConsumer,
    topic: &Topic,
    range: &Range,
    offset: i64,
) -> anyhow::Result<Result<Record, String>> {
    let Range { start, end, .. } = *range;
    if offset < start {
        return Ok(Err(format!(
            "retention has taken it: the log starts at offset {start}"
        )));
    }
    if offset >= end {
        return Ok(Err(format!(
            "it has not been produced, or is not committed yet: the log ends at offset {end}"
        )));
    }
    let one = Range {
        start: offset,
        end: offset + 1,
        ..*range
    };
    let chunk = Reader::start(consumer, &topic.name, one)?.next()?;
    let mut records = chunk.into_iter().flat_map(|chunk| chunk.records);
    let record = records.find(|record| record.offset == offset);
    Ok(record.ok_or_else(|| {
        "the log has no record at this offset: compaction has taken it, or it is a transaction's marker".to_owned()
    }))
}

fn replication(consumer: &BaseConsumer, options: &Options, range: &Range) -> anyhow::Result<Value> {
    let metadata = consumer
        .fetch_metadata(Some(&options.topic), TIMEOUT)
        .context("no broker answers")?;
    let topic = metadata
        .topics()
        .first()
        .context("no answer about the topic")?;
    let mut partitions = topic.partitions().iter();
    let partition = partitions
        .find(|known| known.id() == options.partition)
        .context("no answer about the partition")?;
    Ok(json!({
        "leader": partition.leader(),
        "replicas": partition.replicas(),
        "isr": partition.isr(),
        "log_start": range.start,
        "high_watermark": range.end,
        "committed": (range.start..range.end).contains(&options.offset),
    }))
}

/// RFC 3339 in UTC with milliseconds.
pub fn time(ms: i64) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp_millis(ms)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < bytes.len() {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}

fn header(header: &Header) -> (String, Value) {
    let value = header.value.as_deref().map(text);
    (header.name.clone(), json!(value))
}

impl Found {
    /// The ids in the record's trace context.
    pub fn trace(&self) -> Option<(String, String)> {
        let parent = self.record.as_ref().ok()?.header_text("traceparent")?;
        let mut parts = parent.split('-').skip(1);
        let (trace, span) = (parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_good = trace.len() == 32 && span.len() == 16 && is_hex(trace) && is_hex(span);
        is_good.then(|| (trace.to_owned(), span.to_owned()))
    }

    pub fn as_json(&self) -> Value {
        let record = match &self.record {
            Ok(record) => record,
            Err(missing) => return json!({"missing": missing}),
        };
        let headers: Map<_, _> = record.headers.iter().map(header).collect();
        json!({
            "timestamp": record.timestamp_ms.and_then(time),
            "key": record.key.as_deref().map(text),
            "value": record.value.as_deref().map(text),
            "value_bytes": record.value.as_ref().map(|value| value.len()),
            "headers": headers,
            "trace_id": self.trace().map(|(trace, _)| trace),
        })
    }
}
