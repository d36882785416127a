//! What a sink's consumer counts.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, exponential_buckets,
};
use telemetry::Registry;

use super::Partition;

/// The metrics of one sink. All carry the label `sink`, so that two sinks share a registry.
#[derive(Clone)]
pub(crate) struct Metrics {
    stored: IntCounterVec,
    batches: IntCounterVec,
    retries: IntCounterVec,
    write_seconds: HistogramVec,
    gap_offsets: IntCounterVec,
    lag: IntGaugeVec,
    position: IntGaugeVec,
    stopped: IntGaugeVec,
    paused: IntCounterVec,
    assigned: IntGauge,
    rebalances: IntGauge,
}

impl Metrics {
    pub(crate) fn new(sink: &str, registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("sink", sink);
        let counter = |name, help, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(opts(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name, help| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(opts(name, help), &["topic", "partition"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let of_group = |name, help| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::with_opts(opts(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let write_seconds = HistogramVec::new(
            HistogramOpts::new("millrace_sink_write_seconds", "Time to store one batch.")
                .const_label("sink", sink)
                .buckets(exponential_buckets(0.001, 2.0, 15)?),
            &["topic"],
        )?;
        registry.register(Box::new(write_seconds.clone()))?;
        Ok(Metrics {
            stored: counter(
                "millrace_sink_records_total",
                "Records stored or dead-lettered.",
                &["topic"],
            )?,
            batches: counter("millrace_sink_batches_total", "Batches stored.", &["topic"])?,
            retries: counter(
                "millrace_sink_retries_total",
                "Tries that failed and were made again.",
                &["topic"],
            )?,
            write_seconds,
            gap_offsets: counter(
                "millrace_sink_gap_offsets_total",
                "Offsets that retention took before the sink could read them.",
                &["topic", "partition"],
            )?,
            lag: gauge(
                "millrace_sink_lag_records",
                "Offsets between the sink's position and the end of the log.",
            )?,
            position: gauge(
                "millrace_sink_position",
                "The next offset that the sink will store.",
            )?,
            stopped: gauge(
                "millrace_sink_stopped",
                "1 while the partition is stopped by an error that needs a person.",
            )?,
            paused: counter(
                "millrace_sink_pauses_total",
                "How often fetching paused because the buffer was full.",
                &["topic"],
            )?,
            assigned: of_group(
                "millrace_sink_assigned_partitions",
                "Partitions that the consumer group has given to this process.",
            )?,
            rebalances: of_group(
                "millrace_sink_rebalances",
                "Rebalances of the consumer group since this process started.",
            )?,
        })
    }

    pub(crate) fn set_group(&self, rebalances: i64, assigned: i32) {
        self.rebalances.set(rebalances);
        self.assigned.set(i64::from(assigned));
    }

    pub(crate) fn on_stored(&self, partition: &Partition, records: usize, seconds: f64) {
        let topic = [&*partition.topic];
        self.stored.with_label_values(&topic).inc_by(records as u64);
        self.batches.with_label_values(&topic).inc();
        self.write_seconds
            .with_label_values(&topic)
            .observe(seconds);
    }

    pub(crate) fn on_retry(&self, partition: &Partition) {
        self.retries.with_label_values(&[&*partition.topic]).inc();
    }

    pub(crate) fn on_gap(&self, partition: &Partition, offsets: i64) {
        let index = partition.index.to_string();
        let offsets = u64::try_from(offsets).unwrap_or(0);
        self.gap_offsets
            .with_label_values(&[&*partition.topic, &index])
            .inc_by(offsets);
    }

    pub(crate) fn on_pause(&self, partition: &Partition) {
        self.paused.with_label_values(&[&*partition.topic]).inc();
    }

    pub(crate) fn set_position(&self, partition: &Partition, position: i64) {
        let index = partition.index.to_string();
        self.position
            .with_label_values(&[&*partition.topic, &index])
            .set(position);
    }

    pub(crate) fn set_lag(&self, partition: &Partition, lag: i64) {
        let index = partition.index.to_string();
        self.lag
            .with_label_values(&[&*partition.topic, &index])
            .set(lag);
    }

    pub(crate) fn set_stopped(&self, partition: &Partition, stopped: bool) {
        let index = partition.index.to_string();
        self.stopped
            .with_label_values(&[&*partition.topic, &index])
            .set(i64::from(stopped));
    }

    /// The partition belongs to another member now, which reports its numbers.
    pub(crate) fn forget(&self, partition: &Partition) {
        let index = partition.index.to_string();
        let labels = [&*partition.topic, &index];
        for gauge in [&self.lag, &self.position, &self.stopped] {
            // Absent already is as good.
            let _ = gauge.remove_label_values(&labels);
        }
    }
}
