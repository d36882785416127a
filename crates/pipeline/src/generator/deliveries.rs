//! What becomes of the records that were handed to the Kafka client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use telemetry::Registry;
use telemetry::metrics::{Counter, Gauge, Histogram, Page};
use telemetry::traces::Span;
use tokio::time::Instant;

use crate::families::{ACK_SECONDS, ACKED, FAILED, QUEUED, UNACKED};

/// Without an acknowledgement for that long while records wait, the generator is not ready.
const STALL: Duration = Duration::from_secs(10);

/// What a delivery report needs to know of its record.
pub(super) struct Sent {
    pub at: Instant,
    pub counter: i64,
    pub acked: Gauge,
    /// From handing the record over to its acknowledgement.
    pub span: Span,
}

#[derive(Clone)]
pub(super) struct Deliveries(Arc<Counts>);

struct Counts {
    queued: Counter,
    acked: Counter,
    failed: Counter,
    ack_seconds: Histogram,
    began: Instant,
    /// When the last acknowledgement came, or the first record was queued after a quiet time: milliseconds after `began`.
    last_ack_ms: AtomicU64,
    failure: OnceLock<String>,
}

impl Counts {
    fn new(topic: &str, registry: &Registry) -> Counts {
        let counter = |family| registry.counters(family).with(&[topic]);
        let (queued, acked, failed) = (counter(&QUEUED), counter(&ACKED), counter(&FAILED));
        let (sent, done, lost) = (queued.clone(), acked.clone(), failed.clone());
        let name = topic.to_owned();
        registry.source("generator", move |page: &mut Page| {
            // Read before what was sent, so that nothing is done which was not sent.
            let over = done.get() + lost.get();
            let open = sent.get().saturating_sub(over);
            page.add(&UNACKED, &[&name], open as f64);
        });
        Counts {
            queued,
            acked,
            failed,
            ack_seconds: registry.histograms(&ACK_SECONDS).with(&[topic]),
            began: Instant::now(),
            last_ack_ms: 0.into(),
            failure: OnceLock::new(),
        }
    }
}

impl Deliveries {
    pub(super) fn new(topic: &str, registry: &Registry) -> Deliveries {
        Deliveries(Arc::new(Counts::new(topic, registry)))
    }

    /// The client has taken a record.
    pub(super) fn on_queued(&self) {
        self.0.queued.inc();
    }

    /// Nothing waits for an acknowledgement: from now on the next one is due.
    pub(super) fn on_idle(&self) {
        self.0
            .last_ack_ms
            .store(self.elapsed_ms(), Ordering::Relaxed);
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.0.acked.get()
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The first reason for which a record was given up.
    pub(super) fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    /// Why the run does not get on, where it does not; `waiting` records are not acknowledged yet.
    pub(super) fn stalled(&self, waiting: i32) -> Option<String> {
        let last = Duration::from_millis(self.0.last_ack_ms.load(Ordering::Relaxed));
        let silence = self.0.began.elapsed().saturating_sub(last);
        (waiting > 0 && silence > STALL).then(|| {
            format!(
                "no acknowledgement for {} s, {waiting} records wait",
                silence.as_secs()
            )
        })
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(stored) => {
                sent.span.set("messaging.kafka.offset", stored.offset());
                self.on_idle();
                self.0.acked.inc();
                self.0.ack_seconds.observe(sent.at.elapsed());
                // An idempotent producer is acknowledged in order within a partition.
                sent.acked.set(sent.counter as f64);
            }
            Err((error, _)) => {
                sent.span.fail("MessageProduction", || error.to_string());
                self.0.failed.inc();
                // The first reason is the one to report; later ones follow from it.
                let _ = self.0.failure.set(error.to_string());
            }
        }
    }
}
