//! Spans as the services make them: a handle that may be empty, which costs nothing.

use std::borrow::Cow;
use std::future::Future;
use std::time::SystemTime;

use opentelemetry::trace::{
    FutureExt as _, Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags,
    Tracer as _,
};
use opentelemetry::{Context, Key, KeyValue, Value};

use super::Tracer;

/// A span that ends when it is dropped, or none.
#[derive(Debug, Default)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(Option<Context>);

/// What a span begins with.
#[derive(Debug)]
pub struct Begin {
    builder: SpanBuilder,
    parent: Context,
}

impl Begin {
    pub fn new(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Begin {
        Begin {
            builder: SpanBuilder::from_name(name).with_kind(kind),
            parent: Context::new(),
        }
    }

    pub fn attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Begin {
        self.builder = self.builder.with_attributes(attributes);
        self
    }

    /// It began earlier, or the clock is another's.
    pub fn at(mut self, time: SystemTime) -> Begin {
        self.builder = self.builder.with_start_time(time);
        self
    }

    /// Spans of other traces that this one continues.
    pub fn links(mut self, links: impl IntoIterator<Item = SpanContext>) -> Begin {
        let links = links.into_iter().map(Link::with_context).collect();
        self.builder = self.builder.with_links(links);
        self
    }

    pub fn below(mut self, parent: &Span) -> Begin {
        if let Some(context) = &parent.0 {
            self.parent = context.clone();
        }
        self
    }
}

impl Tracer {
    /// Begins the span that `describe` says; where traces are off, `describe` is not called.
    pub fn begin(&self, describe: impl FnOnce() -> Begin) -> Span {
        let Some(tracer) = &self.0 else {
            return Span(None);
        };
        let Begin { builder, parent } = describe();
        let span = tracer.build_with_context(builder, &parent);
        // Those who work below it find the tracer with it.
        Span(Some(parent.with_value(self.clone()).with_span(span)))
    }
}

/// Begins a span below the one that the work at hand belongs to; none where it belongs to none that is recorded.
pub fn child(
    kind: SpanKind,
    name: impl FnOnce() -> Cow<'static, str>,
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Span {
    let parent = Context::map_current(|current| {
        let is_recorded = current.has_active_span() && current.span().is_recording();
        is_recorded.then(|| current.clone())
    });
    let Some(parent) = parent else {
        return Span(None);
    };
    let Some(tracer) = parent.get::<Tracer>().cloned() else {
        return Span(None);
    };
    tracer.begin(|| Begin {
        parent,
        ..Begin::new(kind, name()).attributes(attributes())
    })
}

/// The trace id and the span id of the work at hand, for its log lines.
pub fn current_ids() -> Option<(String, String)> {
    Context::map_current(|current| {
        if !current.has_active_span() {
            return None;
        }
        let span = current.span();
        let ids = span.span_context();
        ids.is_valid()
            .then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

impl Span {
    pub fn none() -> Span {
        Span(None)
    }

    /// Whether what is set on it will be kept. Whoever prepares something costly asks first.
    pub fn is_recording(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|context| context.span().is_recording())
    }

    pub fn set(&self, key: impl Into<Key>, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// Something happened at this moment.
    pub fn event(&self, name: &'static str, attributes: impl FnOnce() -> Vec<KeyValue>) {
        if let Some(context) = &self.0 {
            context.span().add_event(name, attributes());
        }
    }

    /// The work failed: `class` is for machines (`error.type`), `reason` for people.
    pub fn fail(&self, class: &str, reason: impl FnOnce() -> String) {
        if let Some(context) = &self.0 {
            let span = context.span();
            span.set_attribute(KeyValue::new("error.type", class.to_owned()));
            span.set_status(Status::error(reason()));
        }
    }

    /// Runs `work` as a part of this span: its log lines carry the ids, and its own spans are children.
    pub async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }

    pub fn end_at(&self, time: SystemTime) {
        if let Some(context) = &self.0 {
            context.span().end_with_timestamp(time);
        }
    }

    /// The headers that tell others of this span: `traceparent`, and `tracestate` where there is one. They are sent for a
    /// span that is not sampled too, so that everybody decides alike.
    pub fn headers(&self) -> Option<(String, Option<String>)> {
        let context = self.0.as_ref()?;
        let span = context.span();
        let ids = span.span_context();
        if !ids.is_valid() {
            return None;
        }
        let flags = ids.trace_flags() & TraceFlags::SAMPLED;
        let parent = format!(
            "00-{}-{}-{:02x}",
            ids.trace_id(),
            ids.span_id(),
            flags.to_u8()
        );
        let state = ids.trace_state().header();
        Some((parent, (!state.is_empty()).then_some(state)))
    }
}
