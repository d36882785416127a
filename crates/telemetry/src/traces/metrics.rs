//! What became of the spans.

use crate::metrics::{Counter, Family, Registry};

pub(crate) static SPANS: Family = Family::counter(
    "millrace_trace_spans_total",
    &["outcome"],
    "Spans by what became of them: exported, dropped (the queue was full) or failed (the collector did not take them)",
)
.unit("spans");

/// Counts spans by what became of them; each outcome shows from the start.
#[derive(Clone, Debug, Default)]
pub struct SpanCounters {
    /// The collector has them.
    pub exported: Counter,
    /// The queue was full.
    pub dropped: Counter,
    /// The collector did not take them, however often they were offered.
    pub failed: Counter,
}

impl SpanCounters {
    pub fn register(&self, registry: &Registry) {
        let family = registry.counters(&SPANS);
        family.adopt(&["exported"], self.exported.clone());
        family.adopt(&["dropped"], self.dropped.clone());
        family.adopt(&["failed"], self.failed.clone());
    }
}
