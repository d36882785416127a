//! Traces by OpenTelemetry: spans, their way over OTLP, and W3C trace context in whatever carries headers.
//!
//! [`Traces::start`] reads the standard `OTEL_*` variables. Without an endpoint nothing is set up: a [`Tracer`] is then an
//! empty handle, its spans are empty too, no name or attribute is made for them, and nothing is allocated. Nothing here is
//! global: a tracer is handed to what makes spans, and what works below a span finds both in OpenTelemetry's context, which
//! goes with the future.
//!
//! Spans never hold work up. A queue of bounded size leads to one task that exports them in batches; what does not fit is
//! dropped and counted, and so is what the collector does not take.

mod export;
mod metrics;
mod propagation;
mod sampler;
mod settings;
mod span;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter};

pub(crate) use metrics::SPANS;
pub use metrics::SpanCounters;
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::{SpanContext, SpanKind};
pub use propagation::{TRACEPARENT, TRACESTATE, parse};
pub use span::{Begin, Span, child, current_ids};

use export::Queue;
use sampler::AnyLink;
use settings::Settings;

/// Who makes the spans.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `service.name`, unless `OTEL_SERVICE_NAME` has another.
    pub service: &'static str,
    /// `service.instance.id`; by default `INSTANCE_ID`, or the host's name and the process id.
    pub instance: Option<String>,
}

/// Makes spans, or none at all where nobody asked for traces. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<SdkTracer>>);

impl Tracer {
    pub fn off() -> Tracer {
        Tracer(None)
    }

    /// Whether spans may be made. Whoever prepares something for them asks first.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

/// The traces of one process, from the start of `main` to its end.
pub struct Traces {
    tracer: Tracer,
    /// The part of all traces that begins here and is recorded, from 0 to 1.
    ratio: f64,
    counters: SpanCounters,
    exporting: Option<Exporting>,
}

struct Exporting {
    provider: SdkTracerProvider,
    queue: export::Handle,
}

impl Traces {
    /// Reads the environment, and starts exporting where it names an endpoint. Called within a tokio runtime.
    ///
    /// # Errors
    /// When a variable holds what cannot be meant.
    pub fn start(identity: &Identity) -> anyhow::Result<Traces> {
        let Some(settings) = Settings::from_env(|name| std::env::var(name).ok())? else {
            return Ok(Traces::off());
        };
        let exporter = settings
            .exporter()
            .context("traces cannot be exported (OTEL_EXPORTER_OTLP_ENDPOINT)")?;
        tracing::info!(
            endpoint = settings.endpoint,
            protocol = settings.protocol.name(),
            sampler = settings.sampler.name,
            "exporting traces"
        );
        Ok(Traces::export_to(exporter, &settings, identity))
    }

    /// Nothing is traced.
    pub fn off() -> Traces {
        Traces {
            tracer: Tracer::off(),
            ratio: 0.0,
            counters: SpanCounters::default(),
            exporting: None,
        }
    }

    fn export_to<E>(mut exporter: E, settings: &Settings, identity: &Identity) -> Traces
    where
        E: SpanExporter + 'static,
    {
        let resource = settings.resource(identity);
        exporter.set_resource(&resource);
        let counters = SpanCounters::default();
        let (queue, handle) = Queue::start(exporter, &settings.batches, counters.clone());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .with_sampler(AnyLink(settings.sampler.sampler.clone()))
            .with_resource(resource)
            .build();
        Traces {
            tracer: Tracer(Some(Arc::new(provider.tracer("millrace")))),
            ratio: settings.sampler.ratio,
            counters,
            exporting: Some(Exporting {
                provider,
                queue: handle,
            }),
        }
    }

    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// The part of all traces that begins here and is recorded, from 0 (none, or off) to 1.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// What became of the spans; to be registered where the process serves its metrics.
    pub fn counters(&self) -> SpanCounters {
        self.counters.clone()
    }

    /// Exports what is left, for up to `grace`, and ends. Spans that are made later go nowhere.
    pub async fn stop(self, grace: Duration) {
        if let Some(Exporting { provider, queue }) = self.exporting {
            // The queue is emptied by its own task; the provider has nothing to wait for.
            let _ = provider.shutdown_with_timeout(grace);
            queue.finish(grace).await;
        }
    }
}

#[cfg(test)]
mod tests;
