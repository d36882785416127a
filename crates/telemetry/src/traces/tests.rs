//! Spans from their beginning to an exporter that keeps them, and nothing at all where traces are off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::SpanData;

use super::settings::Protocol;
use super::*;

/// Keeps what it is given, unless it is out of order.
#[derive(Clone, Debug, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<SpanData>>>,
    refuse: Arc<std::sync::atomic::AtomicBool>,
    resource: Option<Resource>,
}

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.refuse.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(OTelSdkError::InternalFailure("away".to_owned()));
        }
        self.spans.lock().expect("not poisoned").extend(batch);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Some(resource.clone());
    }
}

fn settings(variables: &[(&str, &str)]) -> anyhow::Result<Option<Settings>> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Settings::from_env(|name| variables.get(name).map(|value| (*value).to_owned()))
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317");

fn identity() -> Identity {
    Identity {
        service: "test",
        instance: Some("test-1".to_owned()),
    }
}

fn begin(variables: &[(&str, &str)]) -> (Traces, Kept) {
    let kept = Kept::default();
    let all = [&[ENDPOINT][..], variables].concat();
    let settings = settings(&all).expect("good variables").expect("on");
    let traces = Traces::export_to(kept.clone(), &settings, &identity());
    (traces, kept)
}

async fn finish(traces: Traces, kept: &Kept) -> Vec<SpanData> {
    traces.stop(Duration::from_secs(10)).await;
    kept.spans.lock().expect("not poisoned").clone()
}

#[test]
fn variables_mean_what_the_specification_says() {
    assert!(settings(&[]).expect("nothing is wrong").is_none());
    let empty = [("OTEL_EXPORTER_OTLP_ENDPOINT", "")];
    assert!(settings(&empty).expect("nothing is wrong").is_none());
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert!(settings(&[ENDPOINT, off]).expect("off").is_none());
    }
    let plain = settings(&[ENDPOINT]).expect("good").expect("on");
    assert_eq!((plain.protocol, plain.sampler.ratio), (Protocol::Http, 1.0));
    let all = [
        ENDPOINT,
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
    ];
    let all = settings(&all).expect("good").expect("on");
    assert_eq!((all.protocol, all.sampler.ratio), (Protocol::Grpc, 0.25));
    assert_eq!((all.batches.queue, all.batches.size), (10, 10));
    for bad in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
    ] {
        let refused = settings(&[ENDPOINT, bad]).expect_err("refused").to_string();
        assert!(
            refused.contains(bad.0) && refused.contains(bad.1),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_trace_goes_through_headers_and_batches() {
    let (traces, kept) = begin(&[]);
    let tracer = traces.tracer();
    // Given a record that was sent with its context
    let send = tracer.begin(|| Begin::new(SpanKind::Producer, "send t"));
    let (parent, state) = send.headers().expect("a span has headers");
    assert!(parent.ends_with("-01") && state.is_none(), "{parent}");
    drop(send);
    let sent = parse(|name| (name == TRACEPARENT).then_some(parent.as_str())).expect("a context");
    // When a batch with it is processed, and the store is written below that
    let process =
        tracer.begin(|| Begin::new(SpanKind::Consumer, "process t").links([sent.clone()]));
    let ids = process.around(async {
        let insert = child(SpanKind::Client, || "INSERT t".into(), Vec::new);
        insert.fail("57P03", || "the database is starting".to_owned());
        current_ids().expect("within a span")
    });
    let ids = ids.await;
    drop(process);
    assert_eq!(current_ids(), None);
    // Then all of it arrives, linked and below each other
    let spans = finish(traces, &kept).await;
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span.name == name)
            .expect("exported")
    };
    let (send, process, insert) = (named("send t"), named("process t"), named("INSERT t"));
    assert_eq!(send.span_context.span_id(), sent.span_id());
    assert_eq!(
        process.links.links[0].span_context.trace_id(),
        sent.trace_id()
    );
    assert_eq!(insert.parent_span_id, process.span_context.span_id());
    assert_eq!(ids.0, process.span_context.trace_id().to_string());
    assert_eq!(ids.1, process.span_context.span_id().to_string());
}

#[tokio::test]
async fn who_is_not_sampled_says_so_and_a_batch_with_one_that_is_is_kept() {
    let (traces, kept) = begin(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    let tracer = traces.tracer();
    let send = tracer.begin(|| Begin::new(SpanKind::Producer, "send t"));
    let (parent, _) = send.headers().expect("propagated all the same");
    assert!(parent.ends_with("-00") && !send.is_recording(), "{parent}");
    let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let link = parse(|name| (name == TRACEPARENT).then_some(sampled)).expect("a context");
    drop(tracer.begin(|| Begin::new(SpanKind::Consumer, "process t").links([link])));
    drop(send);
    let spans = finish(traces, &kept).await;
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["process t"]);
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_what_is_refused_counted() {
    let (traces, kept) = begin(&[("OTEL_BSP_MAX_QUEUE_SIZE", "3")]);
    let registry = crate::Registry::new();
    traces.counters().register(&registry);
    let shown = registry.render();
    assert_eq!(shown.matches("\nmillrace_trace_spans_total{").count(), 3);
    kept.refuse.store(true, std::sync::atomic::Ordering::SeqCst);
    // Nobody awaits here, so the queue cannot be emptied meanwhile.
    for _ in 0..10 {
        drop(
            traces
                .tracer()
                .begin(|| Begin::new(SpanKind::Internal, "work")),
        );
    }
    let counters = traces.counters();
    assert_eq!(counters.dropped.get(), 7);
    assert!(finish(traces, &kept).await.is_empty());
    assert_eq!((counters.failed.get(), counters.exported.get()), (3, 0));
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_waited() {
    tokio::time::pause();
    let (traces, kept) = begin(&[]);
    kept.refuse.store(true, std::sync::atomic::Ordering::SeqCst);
    drop(
        traces
            .tracer()
            .begin(|| Begin::new(SpanKind::Internal, "work")),
    );
    // The batch is due after five seconds, and then tried again and again.
    tokio::time::sleep(Duration::from_secs(7)).await;
    kept.refuse
        .store(false, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(traces.counters().exported.get(), 1);
    assert_eq!(finish(traces, &kept).await.len(), 1);
}

#[test]
fn the_resource_says_who_it_is_and_the_environment_wins() {
    let all = [ENDPOINT, ("OTEL_SERVICE_NAME", "mine")];
    let settings = settings(&all).expect("good").expect("on");
    let resource = settings.resource(&identity());
    let value = |key: &'static str| resource.get(&key.into()).map(|value| value.to_string());
    assert_eq!(value("service.name").as_deref(), Some("mine"));
    assert_eq!(value("service.instance.id").as_deref(), Some("test-1"));
    assert_eq!(
        value("service.version").as_deref(),
        Some(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn what_is_no_trace_context_is_as_good_as_none() {
    for bad in [
        "",
        "00-abc",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ] {
        assert_eq!(parse(|_| Some(bad)), None, "{bad}");
    }
    assert_eq!(parse(|_| None), None);
}
