//! What became of the spans.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counts spans by what became of them; each outcome shows from the start.
#[derive(Clone, Debug)]
pub struct SpanCounters {
    family: IntCounterVec,
    /// The collector has them.
    pub exported: IntCounter,
    /// The queue was full.
    pub dropped: IntCounter,
    /// The collector did not take them, however often they were offered.
    pub failed: IntCounter,
}

impl Default for SpanCounters {
    fn default() -> SpanCounters {
        let opts = Opts::new(
            "millrace_trace_spans_total",
            "Spans by what became of them: exported, dropped (the queue was full) or failed (the collector did not take them).",
        );
        let family = IntCounterVec::new(opts, &["outcome"]).expect("a valid name and label");
        let counter = |outcome: &str| family.with_label_values(&[outcome]);
        SpanCounters {
            exported: counter("exported"),
            dropped: counter("dropped"),
            failed: counter("failed"),
            family,
        }
    }
}

impl SpanCounters {
    /// # Errors
    /// When the name is taken in this registry.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.family.clone()))
    }
}
