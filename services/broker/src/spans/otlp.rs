//! The broker's spans as OpenTelemetry has them: `append TOPIC` with its phases `write`, `fsync` and `replicate` below it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telemetry::Registry;
use telemetry::traces::{Begin, KeyValue, Span, SpanCounters, SpanKind, Tracer, Traces};

use super::{AppendSpan, SpanSink};

/// Makes spans of what has happened.
pub struct OtlpSpans {
    tracer: Tracer,
    ratio: f64,
    counters: SpanCounters,
    node_id: i64,
}

impl OtlpSpans {
    pub fn new(traces: &Traces, node_id: i32) -> OtlpSpans {
        OtlpSpans {
            tracer: traces.tracer(),
            ratio: traces.ratio(),
            counters: traces.counters(),
            node_id: i64::from(node_id),
        }
    }

    fn phase(&self, name: &'static str, parent: &Span, from: SystemTime, until: SystemTime) {
        let span = self
            .tracer
            .begin(|| Begin::new(SpanKind::Internal, name).at(from).below(parent));
        span.end_at(until);
    }

    fn attributes(&self, span: &AppendSpan) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.destination.name", span.topic.to_string()),
            KeyValue::new(
                "messaging.destination.partition.id",
                span.partition.to_string(),
            ),
            KeyValue::new("messaging.batch.message_count", i64::from(span.records)),
            KeyValue::new("millrace.offset.base", span.base_offset.0),
            KeyValue::new("millrace.offset.last", span.last_offset.0),
            KeyValue::new("millrace.leader.epoch", i64::from(span.leader_epoch.0)),
            KeyValue::new("millrace.broker.id", self.node_id),
            KeyValue::new("millrace.batch.size", span.size_bytes as i64),
        ];
        if let Some(client) = &span.client_id {
            attributes.push(KeyValue::new("messaging.client.id", client.to_string()));
        }
        attributes
    }
}

impl SpanSink for OtlpSpans {
    fn ratio(&self) -> f64 {
        self.ratio
    }

    fn record(&self, span: AppendSpan) {
        let began = UNIX_EPOCH + Duration::from_millis(span.began_ms.unsigned_abs());
        let written = began + span.written;
        let replicated = began + span.replicated.unwrap_or_else(|(after, _)| after);
        let flushed = span.flushed.map(|after| began + after);
        let append = self.tracer.begin(|| {
            Begin::new(SpanKind::Server, format!("append {}", span.topic))
                .at(began)
                .attributes(self.attributes(&span))
        });
        self.phase("write", &append, began, written);
        if let Some(flushed) = flushed {
            self.phase("fsync", &append, written, flushed);
        }
        self.phase("replicate", &append, written, replicated);
        if let Err((_, code)) = span.replicated {
            append.fail(code.name(), || {
                "the high watermark has not passed the batch".to_owned()
            });
        }
        append.end_at(flushed.map_or(replicated, |flushed| flushed.max(replicated)));
    }

    fn register(&self, registry: &Registry) {
        self.counters.register(registry);
    }
}
