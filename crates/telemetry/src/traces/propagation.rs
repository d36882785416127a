//! W3C trace context (<https://www.w3.org/TR/trace-context/>), as two headers of text.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Whose trace, whose child, and whether it is sampled.
pub const TRACEPARENT: &str = "traceparent";
/// What tracing systems add for themselves; passed on as it is.
pub const TRACESTATE: &str = "tracestate";

struct Headers<'a> {
    parent: &'a str,
    state: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.parent),
            TRACESTATE => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// The span that headers name, where they name one: what cannot be read is as good as absent, as the specification has it.
pub fn parse<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<SpanContext> {
    let headers = Headers {
        parent: header(TRACEPARENT)?,
        state: header(TRACESTATE),
    };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let found = context.span().span_context().clone();
    found.is_valid().then_some(found)
}
