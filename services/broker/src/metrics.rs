//! The broker's metrics, in one registry per broker.
//!
//! Counters of the data path are looked up once per topic or API and then held, so that counting
//! costs an atomic addition.

use telemetry::Registry;
use telemetry::prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};
use tokio::time::Instant;
use wire::{ApiKey, ErrorCode};

/// Upper bounds of the latency histogram, seconds.
const LATENCY_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Every metric family of the broker.
pub struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    errors: IntCounterVec,
    bytes_in: IntCounterVec,
    bytes_out: IntCounterVec,
    messages_in: IntCounterVec,
    messages_out: IntCounterVec,
    /// Open client connections.
    pub connections: IntGauge,
    /// Partitions whose ISR is smaller than their replicas, of those led here.
    pub under_replicated: IntGauge,
    /// Partitions below `min.insync.replicas`, of those led here.
    pub under_min_isr: IntGauge,
    /// Partitions without a leader, in the whole cluster.
    pub offline: IntGauge,
    /// Partitions led here.
    pub leaders: IntGauge,
    /// Partitions held here.
    pub partitions: IntGauge,
    /// 1 on the active controller.
    pub active_controller: IntGauge,
    /// Replicas in the ISR, per partition led here.
    pub isr_size: IntGaugeVec,
    /// Records that a follower is behind, per partition led here and follower.
    pub follower_lag: IntGaugeVec,
    /// Size of each log on disk, bytes.
    pub log_size: IntGaugeVec,
}

/// Counters of one topic.
#[derive(Clone)]
pub struct TopicMetrics {
    /// Bytes of batches that producers appended.
    pub bytes_in: IntCounter,
    /// Bytes of batches that consumers were sent.
    pub bytes_out: IntCounter,
    /// Records that producers appended.
    pub messages_in: IntCounter,
    /// Records of the batches that consumers were sent.
    pub messages_out: IntCounter,
}

/// Measures one request from its start.
pub struct Measure {
    latency: Histogram,
    began: Instant,
}

impl Measure {
    /// The answer is ready.
    pub fn done(self) {
        self.latency.observe(self.began.elapsed().as_secs_f64());
    }
}

impl Metrics {
    /// Registers every family in `registry`.
    ///
    /// # Panics
    /// If a family is registered already: one registry belongs to one broker.
    pub fn new(registry: Registry) -> Metrics {
        let family = Family(&registry);
        Metrics {
            requests: family.histograms(
                "millrace_broker_request_duration_seconds",
                "Time from a request's arrival to its answer, seconds",
                &["api"],
            ),
            errors: family.counters(
                "millrace_broker_request_errors_total",
                "Errors in answers, by API and Kafka's name of the error",
                &["api", "error"],
            ),
            bytes_in: family.counters(
                "millrace_broker_topic_bytes_in_total",
                "Bytes of batches that producers appended",
                &["topic"],
            ),
            bytes_out: family.counters(
                "millrace_broker_topic_bytes_out_total",
                "Bytes of batches that consumers were sent",
                &["topic"],
            ),
            messages_in: family.counters(
                "millrace_broker_topic_messages_in_total",
                "Records that producers appended",
                &["topic"],
            ),
            messages_out: family.counters(
                "millrace_broker_topic_messages_out_total",
                "Records of the batches that consumers were sent",
                &["topic"],
            ),
            connections: family.gauge("millrace_broker_connections", "Open client connections"),
            under_replicated: family.gauge(
                "millrace_broker_under_replicated_partitions",
                "Partitions led here whose ISR lacks a replica",
            ),
            under_min_isr: family.gauge(
                "millrace_broker_under_min_isr_partitions",
                "Partitions led here whose ISR is below min.insync.replicas",
            ),
            offline: family.gauge(
                "millrace_broker_offline_partitions",
                "Partitions of the cluster that have no leader",
            ),
            leaders: family.gauge("millrace_broker_leader_partitions", "Partitions led here"),
            partitions: family.gauge("millrace_broker_partitions", "Partitions held here"),
            active_controller: family.gauge(
                "millrace_broker_active_controller",
                "1 on the active controller, else 0",
            ),
            isr_size: family.gauges(
                "millrace_broker_isr_size",
                "In-sync replicas of a partition led here",
                &["topic", "partition"],
            ),
            follower_lag: family.gauges(
                "millrace_broker_follower_lag_records",
                "Records that a follower is behind its leader",
                &["topic", "partition", "follower"],
            ),
            log_size: family.gauges(
                "millrace_broker_log_size_bytes",
                "Size of a partition's log on disk, bytes",
                &["topic", "partition"],
            ),
            registry: registry.clone(),
        }
    }

    /// The registry, for parts with families of their own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Starts to measure a request.
    pub fn request(&self, api: ApiKey) -> Measure {
        let latency = self.requests.with_label_values(&[api.name()]);
        Measure {
            latency,
            began: Instant::now(),
        }
    }

    /// Counts an error code of an answer; zero is none.
    pub fn count_error(&self, api: ApiKey, code: i16) {
        if code != 0 {
            let name = ErrorCode::from_code(code).map_or("UNKNOWN", |error| error.name());
            self.errors.with_label_values(&[api.name(), name]).inc();
        }
    }

    /// The counters of a topic, to be held by its partitions.
    pub fn topic(&self, name: &str) -> TopicMetrics {
        TopicMetrics {
            bytes_in: self.bytes_in.with_label_values(&[name]),
            bytes_out: self.bytes_out.with_label_values(&[name]),
            messages_in: self.messages_in.with_label_values(&[name]),
            messages_out: self.messages_out.with_label_values(&[name]),
        }
    }

    /// Forgets a deleted topic.
    pub fn forget_topic(&self, name: &str) {
        let families = [
            &self.bytes_in,
            &self.bytes_out,
            &self.messages_in,
            &self.messages_out,
        ];
        for family in families {
            // A topic that never had traffic has no counters to remove.
            let _ = family.remove_label_values(&[name]);
        }
    }
}

/// Makes and registers families. Names and labels are constants, so failure is a programming error.
struct Family<'a>(&'a Registry);

impl Family<'_> {
    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).buckets(LATENCY_SECONDS.to_vec());
        let family = HistogramVec::new(opts, labels).expect("a valid family");
        self.0
            .register(Box::new(family.clone()))
            .expect("each family once");
        family
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let family = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid family");
        self.0
            .register(Box::new(family.clone()))
            .expect("each family once");
        family
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let family = IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid family");
        self.0
            .register(Box::new(family.clone()))
            .expect("each family once");
        family
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        let gauge = IntGauge::new(name, help).expect("a valid gauge");
        self.0
            .register(Box::new(gauge.clone()))
            .expect("each family once");
        gauge
    }
}
