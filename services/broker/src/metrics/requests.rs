//! Requests: how many, with which errors, and how long each phase took.
//!
//! ```text
//! arrived ── queue ──► begun ── local and remote ──► ready ── response ──► written
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use telemetry::Registry;
use telemetry::metrics::{Counter, Family, Histogram, Series};
use tokio::time::Instant;
use wire::{ApiKey, ErrorCode};

use super::families::{own, strimzi};
use super::quantiles::Windows;
use crate::api::OFFERED;

/// Kafka counts the fetches of consumers and of followers apart.
pub const FETCH_CONSUMER: &str = "FetchConsumer";
pub const FETCH_FOLLOWER: &str = "FetchFollower";

/// What a healthy cluster sees all the time; the latencies of the rest are shown from their first request on.
const USUAL: &[&str] = &[
    "Produce",
    FETCH_CONSUMER,
    FETCH_FOLLOWER,
    "Metadata",
    "ListOffsets",
    "FindCoordinator",
    "JoinGroup",
    "SyncGroup",
    "Heartbeat",
    "OffsetCommit",
    "OffsetFetch",
    "ApiVersions",
];

/// The metrics of all requests.
pub struct Requests {
    kinds: BTreeMap<&'static str, Arc<RequestMetrics>>,
    errors: Series<Counter>,
}

/// The metrics of one kind of request.
pub struct RequestMetrics {
    name: &'static str,
    versions: BTreeMap<i16, Counter>,
    fine: Counter,
    latencies: Latencies,
    held: OnceLock<Held>,
}

struct Latencies {
    registry: Registry,
    windows: Arc<Windows>,
}

struct Held {
    total: Histogram,
    queue: Histogram,
    local: Histogram,
    remote: Histogram,
    response: Histogram,
}

impl Requests {
    pub fn new(registry: &Registry, windows: Arc<Windows>) -> Requests {
        let errors = registry.counters(&strimzi::ERRORS);
        let requests = registry.counters(&strimzi::REQUESTS);
        let mut kinds = BTreeMap::new();
        for offered in OFFERED {
            let names = match offered.api {
                ApiKey::Fetch => &[FETCH_CONSUMER, FETCH_FOLLOWER][..],
                api => &[api.name()][..],
            };
            for name in names.iter().copied() {
                let version = |v: i16| (v, requests.with(&[name, &v.to_string()]));
                let kind = RequestMetrics {
                    name,
                    versions: (offered.min..=offered.max).map(version).collect(),
                    fine: errors.with(&[name, ErrorCode::None.name()]),
                    latencies: Latencies {
                        registry: registry.clone(),
                        windows: windows.clone(),
                    },
                    held: OnceLock::new(),
                };
                if USUAL.contains(&name) {
                    kind.held();
                }
                kinds.insert(name, Arc::new(kind));
            }
        }
        Requests { kinds, errors }
    }

    /// A request that arrived whole at `arrived` meets its handler now.
    pub fn begin(&self, name: &'static str, version: i16, arrived: Instant) -> Measure {
        let kind = self.kinds.get(name).cloned();
        if let Some(counter) = kind.as_ref().and_then(|kind| kind.versions.get(&version)) {
            counter.inc();
        }
        Measure {
            kind,
            arrived,
            begun: Instant::now(),
            ready: None,
            waited: Duration::ZERO,
        }
    }

    /// Counts an error code of an answer.
    pub fn count_error(&self, measure: &Measure, code: i16) {
        let Some(kind) = &measure.kind else { return };
        if code == 0 {
            return kind.fine.inc();
        }
        let error = ErrorCode::from_code(code).map_or("UNKNOWN", |error| error.name());
        self.errors.with(&[kind.name, error]).inc();
    }
}

impl RequestMetrics {
    fn held(&self) -> &Held {
        self.held.get_or_init(|| self.latencies.of(self.name))
    }
}

impl Latencies {
    fn of(&self, name: &'static str) -> Held {
        let phases = self.registry.histograms(&own::PHASE_SECONDS);
        let phase = |phase: &str| phases.with(&[name, phase]);
        let held = Held {
            total: self
                .registry
                .histograms(&own::REQUEST_SECONDS)
                .with(&[name]),
            queue: phase("queue"),
            local: phase("local"),
            remote: phase("remote"),
            response: phase("response"),
        };
        let shown: [(&Histogram, &'static Family, &'static Family); 5] = [
            (&held.total, &strimzi::TOTAL_MS, &strimzi::TOTAL_MS_COUNT),
            (&held.queue, &strimzi::QUEUE_MS, &strimzi::QUEUE_MS_COUNT),
            (&held.local, &strimzi::LOCAL_MS, &strimzi::LOCAL_MS_COUNT),
            (&held.remote, &strimzi::REMOTE_MS, &strimzi::REMOTE_MS_COUNT),
            (&held.response, &strimzi::SEND_MS, &strimzi::SEND_MS_COUNT),
        ];
        for (histogram, quantiles, count) in shown {
            self.windows.show(histogram, name, quantiles, count);
        }
        held
    }
}

/// One request on its way.
pub struct Measure {
    kind: Option<Arc<RequestMetrics>>,
    arrived: Instant,
    begun: Instant,
    ready: Option<Instant>,
    waited: Duration,
}

impl Measure {
    /// The answer is ready; of the time since its handler began, `waited` was spent waiting.
    pub fn ready(&mut self, waited: Duration) {
        self.ready = Some(Instant::now());
        self.waited = waited;
    }

    /// The answer is with the system.
    pub fn written(&self) {
        let (Some(kind), Some(ready)) = (&self.kind, self.ready) else {
            return;
        };
        let (held, now) = (kind.held(), Instant::now());
        let worked = ready.duration_since(self.begun);
        held.total.observe(now.duration_since(self.arrived));
        held.queue.observe(self.begun.duration_since(self.arrived));
        held.local.observe(worked.saturating_sub(self.waited));
        held.remote.observe(self.waited);
        held.response.observe(now.duration_since(ready));
    }
}
