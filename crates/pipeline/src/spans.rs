//! The spans of records on their way, by OpenTelemetry's conventions for messaging.
//!
//! A generator's record has a span `send TOPIC` of its own, whose context goes with it in its headers. Consumers work on
//! batches: `poll TOPIC` is how a batch came together, `process TOPIC` below it how it was stored; both link to the spans
//! of the records' senders that are sampled. One span may hold only so many links (OTEL_SPAN_LINK_COUNT_LIMIT, 128), so each
//! names its offsets, too: by topic, partition and offset it is joined with the brokers' spans, which see no headers.

use std::time::SystemTime;

use telemetry::traces::{self, Begin, KeyValue, Span, SpanContext, SpanKind, Tracer};
use tokio::time::Instant;

use crate::Record;
use crate::consumer::{Batch, Partition};

/// First offset of what a span covers.
pub const BASE_OFFSET: &str = "millrace.offset.base";
/// Last offset of what a span covers.
pub const LAST_OFFSET: &str = "millrace.offset.last";

/// The span of one record that is handed to the Kafka client; it ends with the record's acknowledgement.
pub(crate) fn send(tracer: &Tracer, topic: &str, partition: i32, value_bytes: usize) -> Span {
    tracer.begin(|| {
        Begin::new(SpanKind::Producer, format!("send {topic}")).attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", topic.to_owned()),
            KeyValue::new("messaging.destination.partition.id", partition.to_string()),
            KeyValue::new("messaging.message.body.size", value_bytes as i64),
        ])
    })
}

/// The span in which some records are written to another topic on behalf of the work at hand.
pub(crate) fn send_batch(topic: &str, records: usize) -> Span {
    traces::child(
        SpanKind::Producer,
        || format!("send {topic}").into(),
        || {
            vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "send"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
                KeyValue::new("messaging.batch.message_count", records as i64),
            ]
        },
    )
}

/// Who consumes.
pub(crate) struct Consumer<'a> {
    pub tracer: &'a Tracer,
    pub sink: &'static str,
    pub group: &'a str,
    pub partition: &'a Partition,
}

impl Consumer<'_> {
    /// The span in which the batch is stored, however many tries that takes; that of how it came together, from `began`
    /// until now, lies above it.
    pub(crate) fn process(&self, batch: &Batch, began: Instant) -> Span {
        if !self.tracer.is_on() {
            return Span::none();
        }
        let senders = Senders::of(&batch.records);
        // Whoever sent these has decided that their traces are not recorded.
        if senders.known > 0 && senders.sampled.is_empty() {
            return Span::none();
        }
        let now = SystemTime::now();
        let since = now.checked_sub(began.elapsed()).unwrap_or(now);
        let poll = self.tracer.begin(|| {
            self.describe(SpanKind::Client, ("poll", "receive"), batch)
                .links(senders.sampled.clone())
                .at(since)
        });
        self.tracer.begin(|| {
            self.describe(SpanKind::Consumer, ("process", "process"), batch)
                .links(senders.sampled)
                .below(&poll)
        })
    }

    fn describe(
        &self,
        kind: SpanKind,
        operation: (&'static str, &'static str),
        batch: &Batch,
    ) -> Begin {
        let Partition { topic, index } = self.partition;
        let first = batch
            .records
            .first()
            .map_or(batch.begin, |record| record.offset);
        Begin::new(kind, format!("{} {topic}", operation.0)).attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", operation.0),
            KeyValue::new("messaging.operation.type", operation.1),
            KeyValue::new("messaging.destination.name", topic.to_string()),
            KeyValue::new("messaging.destination.partition.id", index.to_string()),
            KeyValue::new("messaging.consumer.group.name", self.group.to_owned()),
            KeyValue::new("messaging.batch.message_count", batch.records.len() as i64),
            KeyValue::new(BASE_OFFSET, first),
            KeyValue::new(LAST_OFFSET, batch.next_offset - 1),
            KeyValue::new("millrace.sink", self.sink),
        ])
    }
}

/// The spans that the records of a batch come from.
struct Senders {
    /// How many records carry a trace context.
    known: usize,
    sampled: Vec<SpanContext>,
}

impl Senders {
    fn of(records: &[Record]) -> Senders {
        let mut senders = Senders {
            known: 0,
            sampled: Vec::new(),
        };
        for record in records {
            let Some(sender) = traces::parse(|name| record.header_text(name)) else {
                continue;
            };
            senders.known += 1;
            if sender.is_sampled() {
                senders.sampled.push(sender);
            }
        }
        senders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn record(traceparent: Option<&'static str>) -> Record {
        let header = traceparent.map(|text| Header {
            name: traces::TRACEPARENT.to_owned(),
            value: Some(text.into()),
        });
        Record {
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: header.into_iter().collect(),
        }
    }

    #[test]
    fn only_sampled_senders_are_linked() {
        let records = [
            record(None),
            record(Some("nonsense")),
            record(Some(
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            )),
            record(Some(
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01",
            )),
        ];
        let senders = Senders::of(&records);
        assert_eq!((senders.known, senders.sampled.len()), (2, 1));
        assert_eq!(senders.sampled[0].span_id().to_string(), "b7ad6b7169203332");
    }

    #[test]
    fn where_traces_are_off_nothing_is_looked_at() {
        let tracer = Tracer::off();
        let partition = Partition {
            topic: "t".into(),
            index: 0,
        };
        let consumer = Consumer {
            tracer: &tracer,
            sink: "test",
            group: "g",
            partition: &partition,
        };
        let batch = Batch {
            begin: 0,
            records: vec![record(None)],
            next_offset: 1,
        };
        assert!(!consumer.process(&batch, Instant::now()).is_recording());
        assert!(send(&tracer, "t", 0, 1).headers().is_none());
    }
}
