//! Which spans are recorded.

use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

/// As the sampler within; but a root span that links to a sampled one is recorded, whatever its own trace id would say: a
/// batch belongs to the traces of its records, and those would otherwise end before it.
#[derive(Clone, Debug)]
pub(super) struct AnyLink(pub Box<dyn ShouldSample>);

impl ShouldSample for AnyLink {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_root = !parent_context.is_some_and(|parent| parent.span().span_context().is_valid());
        if is_root && links.iter().any(|link| link.span_context.is_sampled()) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            };
        }
        self.0
            .should_sample(parent_context, trace_id, name, span_kind, attributes, links)
    }
}
