//! The broker's metrics, in one registry per broker.
//!
//! - [`families`]: what there is, by name;
//! - here: what the data path counts. It is looked up once per topic or API and then held, so that counting costs an
//!   atomic addition;
//! - [`requests`]: latencies of requests by API and phase;
//! - [`observer`]: what is not counted but looked at, once a second and off the control plane, and shown as it was then:
//!   a scrape takes no lock of a partition.

pub mod families;
pub mod observer;
pub mod quantiles;
pub mod requests;
pub mod waits;

use std::sync::Arc;

use telemetry::Registry;
use telemetry::metrics::{Counter, Gauge, Histogram, Series};

use families::{own, strimzi};
use quantiles::Windows;
use requests::Requests;

/// What the broker counts.
pub struct Metrics {
    registry: Registry,
    pub requests: Requests,
    topics: TopicFamilies,
    broker: BrokerMetrics,
    pub damage: DamageMetrics,
    /// Replication lag of followers, sampled.
    pub lag_samples: Histogram,
    pub isr_failures: Counter,
    pub refused_total: Counter,
    pub refused_per_ip: Counter,
    pub refused_slow: Counter,
    /// Histograms that are shown as quantiles too.
    pub windows: Arc<Windows>,
}

/// Counters of one topic.
pub struct TopicMetrics {
    pub messages_in: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub bytes_rejected: Counter,
    pub messages_out: Counter,
    pub produce_requests: Counter,
    pub failed_produce: Counter,
    pub fetch_requests: Counter,
    pub failed_fetch: Counter,
    /// Of all topics.
    pub broker: BrokerMetrics,
}

/// What partitions count for the broker as a whole.
#[derive(Clone)]
pub struct BrokerMetrics {
    /// Appends of batches to their logs.
    pub append_seconds: Histogram,
    /// Bytes of batches fetched from leaders.
    pub replication_in: Counter,
    /// Bytes of batches that followers were sent.
    pub replication_out: Counter,
    /// ISRs of partitions led here that have lost a member.
    pub isr_shrinks: Counter,
    /// ISRs of partitions led here that have got a member.
    pub isr_expands: Counter,
    /// Batches of leaders that were not what they had sent.
    pub damaged_in_replication: Counter,
}

/// What is found of what disks have changed, and what becomes of it.
pub struct DamageMetrics {
    pub scrubbed_bytes: Counter,
    /// Found when a log was opened.
    pub recovery: Counter,
    /// Found by the scrub.
    pub scrub: Counter,
    /// Found because a read has failed.
    pub read: Counter,
    pub repaired_segments: Counter,
}

/// The families that have a series for each topic.
struct TopicFamilies {
    messages_in: Series<Counter>,
    bytes_in: Series<Counter>,
    bytes_out: Series<Counter>,
    bytes_rejected: Series<Counter>,
    messages_out: Series<Counter>,
    produce_requests: Series<Counter>,
    failed_produce: Series<Counter>,
    fetch_requests: Series<Counter>,
    failed_fetch: Series<Counter>,
}

/// The counters of connections of one listener.
#[derive(Clone)]
pub struct ConnectionMetrics {
    pub created: Counter,
    pub closed: Counter,
}

/// What the probe counts.
pub struct ProbeMetrics {
    pub acked: Counter,
    pub failed: Counter,
    /// Acknowledged and not read back.
    pub lost: Counter,
    pub ack: Histogram,
    pub end_to_end: Histogram,
    pub last_success: Gauge,
}

impl ProbeMetrics {
    pub fn new(registry: &Registry) -> ProbeMetrics {
        let records = registry.counters(&own::PROBE_RECORDS);
        ProbeMetrics {
            acked: records.with(&["acked"]),
            failed: records.with(&["failed"]),
            lost: records.with(&["lost"]),
            ack: registry.histogram(&own::PROBE_ACK),
            end_to_end: registry.histogram(&own::PROBE_END_TO_END),
            last_success: registry.gauge(&own::PROBE_LAST_SUCCESS),
        }
    }
}

/// The one network processor that each listener has.
pub const NETWORK_PROCESSOR: &str = "0";

impl Metrics {
    pub fn new(registry: Registry) -> Metrics {
        let windows = Arc::new(Windows::default());
        let refused = registry.counters(&own::REFUSED);
        let damage = registry.counters(&own::DAMAGE_FOUND);
        Metrics {
            requests: Requests::new(&registry, windows.clone()),
            topics: TopicFamilies::new(&registry),
            broker: BrokerMetrics {
                append_seconds: registry.histogram(&own::APPEND_SECONDS),
                replication_in: registry.counter(&strimzi::REPLICATION_IN),
                replication_out: registry.counter(&strimzi::REPLICATION_OUT),
                isr_shrinks: registry.counter(&strimzi::ISR_SHRINKS),
                isr_expands: registry.counter(&strimzi::ISR_EXPANDS),
                damaged_in_replication: damage.with(&["replication"]),
            },
            damage: DamageMetrics {
                scrubbed_bytes: registry.counter(&own::SCRUBBED_BYTES),
                recovery: damage.with(&["recovery"]),
                scrub: damage.with(&["scrub"]),
                read: damage.with(&["read"]),
                repaired_segments: registry.counter(&own::REPAIRED_SEGMENTS),
            },
            lag_samples: registry.histogram(&own::LAG_SAMPLES),
            isr_failures: registry.counter(&strimzi::FAILED_ISR_UPDATES),
            refused_total: refused.with(&["total"]),
            refused_per_ip: refused.with(&["per_ip"]),
            refused_slow: refused.with(&["slow"]),
            windows,
            registry,
        }
    }

    /// The registry, for parts with families of their own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counters of a topic, to be held by its partitions.
    pub fn topic(&self, name: &str) -> TopicMetrics {
        let (of, topic) = (&self.topics, &[name]);
        TopicMetrics {
            messages_in: of.messages_in.with(topic),
            bytes_in: of.bytes_in.with(topic),
            bytes_out: of.bytes_out.with(topic),
            bytes_rejected: of.bytes_rejected.with(topic),
            messages_out: of.messages_out.with(topic),
            produce_requests: of.produce_requests.with(topic),
            failed_produce: of.failed_produce.with(topic),
            fetch_requests: of.fetch_requests.with(topic),
            failed_fetch: of.failed_fetch.with(topic),
            broker: self.broker.clone(),
        }
    }

    /// Forgets a deleted topic.
    pub fn forget_topic(&self, name: &str) {
        for family in self.topics.each() {
            family.forget(|labels| labels[0] == name);
        }
    }

    /// The counters of a listener's connections.
    pub fn connections(&self, listener: &str) -> ConnectionMetrics {
        let labels = &[listener, NETWORK_PROCESSOR];
        let counter = |family| self.registry.counters(family).with(labels);
        ConnectionMetrics {
            created: counter(&strimzi::CONNECTIONS_CREATED),
            closed: counter(&strimzi::CONNECTIONS_CLOSED),
        }
    }
}

impl TopicFamilies {
    fn new(registry: &Registry) -> TopicFamilies {
        TopicFamilies {
            messages_in: registry.counters(&strimzi::MESSAGES_IN),
            bytes_in: registry.counters(&strimzi::BYTES_IN),
            bytes_out: registry.counters(&strimzi::BYTES_OUT),
            bytes_rejected: registry.counters(&strimzi::BYTES_REJECTED),
            messages_out: registry.counters(&own::MESSAGES_OUT),
            produce_requests: registry.counters(&strimzi::PRODUCE_REQUESTS),
            failed_produce: registry.counters(&strimzi::FAILED_PRODUCE),
            fetch_requests: registry.counters(&strimzi::FETCH_REQUESTS),
            failed_fetch: registry.counters(&strimzi::FAILED_FETCH),
        }
    }

    fn each(&self) -> [&Series<Counter>; 9] {
        [
            &self.messages_in,
            &self.bytes_in,
            &self.bytes_out,
            &self.bytes_rejected,
            &self.messages_out,
            &self.produce_requests,
            &self.failed_produce,
            &self.fetch_requests,
            &self.failed_fetch,
        ]
    }
}
