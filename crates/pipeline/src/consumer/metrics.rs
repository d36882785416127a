//! What a sink's consumer counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telemetry::Registry;
use telemetry::metrics::{Counter, Gauge, Histogram, Page, Series};
use tokio::time::Instant;

use super::shared::Level;
use super::{Batch, Partition};
use crate::families as f;

/// What failed when a try is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A look-up in the log.
    Kafka,
    /// The sink's store, or its dead letters.
    Store,
    /// The store's position does not fit the log.
    Position,
}

const CAUSES: [Cause; 3] = [Cause::Kafka, Cause::Store, Cause::Position];

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Cause::Kafka => "kafka",
            Cause::Store => "store",
            Cause::Position => "position",
        }
    }
}

/// Where a sink's writer says how long the stages of a batch took.
#[derive(Clone, Debug)]
pub struct Stages {
    /// From the first record of a batch until it is cut.
    pub(crate) poll: Histogram,
    /// Making of records what the store takes.
    pub decode: Histogram,
    /// Handing it to the store.
    pub write: Histogram,
    /// Making it count: the commit, or the move of the position.
    pub commit: Histogram,
}

/// The metrics of one sink. All carry the label `sink`, so that two sinks share a registry.
#[derive(Clone)]
pub(crate) struct Metrics {
    sink: Arc<str>,
    registry: Registry,
    objective: Duration,
    topics: Arc<BTreeMap<String, TopicMetrics>>,
    up: Gauge,
    assigned: Gauge,
    rebalances: Counter,
    lag: Series<Gauge>,
    position: Series<Gauge>,
    stopped: Series<Gauge>,
    /// What is older with every moment, by partition.
    waiting: Arc<Mutex<BTreeMap<Partition, Waiting>>>,
}

struct TopicMetrics {
    received: Counter,
    stored: Counter,
    on_time: Counter,
    bytes: Counter,
    batches: Counter,
    gap_offsets: Counter,
    pauses: Counter,
    retries: BTreeMap<&'static str, Counter>,
    write_seconds: Histogram,
    freshness: Histogram,
    last_success: Gauge,
    stages: Stages,
    /// The largest timestamp that was stored.
    newest_ms: Mutex<Option<i64>>,
}

/// What a partition waits for.
#[derive(Clone, Default)]
struct Waiting {
    /// How full its buffer is.
    level: Option<Arc<Level>>,
    lag: i64,
    /// The oldest record at hand that is not stored: since when, and its timestamp.
    oldest: Option<(Instant, Option<i64>)>,
    /// The timestamp of the last record that was stored.
    stored_ms: Option<i64>,
}

impl Metrics {
    pub(crate) fn new(
        sink: &str,
        topics: &[String],
        objective: Duration,
        registry: &Registry,
    ) -> Metrics {
        let of_sink = &[sink];
        let of_topic = |topic: &String| (topic.clone(), TopicMetrics::new(sink, topic, registry));
        registry
            .gauges(&f::OBJECTIVE)
            .with(of_sink)
            .set(objective.as_secs_f64());
        let metrics = Metrics {
            sink: sink.into(),
            objective,
            topics: Arc::new(topics.iter().map(of_topic).collect()),
            up: registry.gauges(&f::UP).with(of_sink),
            assigned: registry.gauges(&f::ASSIGNED).with(of_sink),
            rebalances: registry.counters(&f::REBALANCES).with(of_sink),
            lag: registry.gauges(&f::LAG),
            position: registry.gauges(&f::POSITION),
            stopped: registry.gauges(&f::STOPPED),
            waiting: Arc::default(),
            registry: registry.clone(),
        };
        let shown = metrics.clone();
        registry.source(format!("sink {sink}"), move |page: &mut Page| {
            shown.write(page);
        });
        metrics
    }

    /// How many rebalances there were since this was told last, and how many partitions are here.
    pub(crate) fn on_group(&self, rebalances: i64, assigned: i32) {
        self.rebalances
            .inc_by(u64::try_from(rebalances).unwrap_or(0));
        self.assigned.set(f64::from(assigned));
    }

    pub(crate) fn stages(&self, partition: &Partition) -> Stages {
        match self.topic(partition) {
            Some(topic) => topic.stages.clone(),
            // Never subscribed to, so never asked for; it would be counted like any other.
            None => Stages::new(&self.sink, &partition.topic, &self.registry),
        }
    }

    pub(crate) fn on_received(&self, partition: &Partition) {
        if let Some(topic) = self.topic(partition) {
            topic.received.inc();
        }
    }

    /// The partition is fetched into a new buffer; what was at hand before is gone.
    pub(crate) fn on_started(&self, partition: &Partition, level: Arc<Level>) {
        let mut waiting = self.waiting();
        let waiting = waiting.entry(partition.clone()).or_default();
        (waiting.level, waiting.oldest) = (Some(level), None);
    }

    /// The oldest record that is not stored was taken up at `since`.
    pub(crate) fn on_held(&self, partition: &Partition, since: Instant, timestamp_ms: Option<i64>) {
        let mut waiting = self.waiting();
        let waiting = waiting.entry(partition.clone()).or_default();
        waiting.oldest.get_or_insert((since, timestamp_ms));
    }

    pub(crate) fn on_stored(&self, partition: &Partition, batch: &Batch, took: Duration) {
        let Some(topic) = self.topic(partition) else {
            return;
        };
        topic.stored.inc_by(batch.records.len() as u64);
        topic.bytes.inc_by(batch.size_bytes() as u64);
        topic.batches.inc();
        topic.write_seconds.observe(took);
        let now_ms = wall_ms();
        topic.last_success.set((now_ms / 1000) as f64);
        let objective_ms = i64::try_from(self.objective.as_millis()).unwrap_or(i64::MAX);
        let mut on_time = 0;
        for record in &batch.records {
            // What bears no time cannot be late.
            let age_ms = record
                .timestamp_ms
                .map_or(0, |at| now_ms.saturating_sub(at));
            topic.freshness.observe_seconds(age_ms as f64 / 1e3);
            on_time += u64::from(age_ms <= objective_ms);
        }
        topic.on_time.inc_by(on_time);
        let newest = batch.records.iter().filter_map(|r| r.timestamp_ms).max();
        {
            let mut known = lock(&topic.newest_ms);
            *known = (*known).max(newest);
        }
        let last = batch.records.last().and_then(|record| record.timestamp_ms);
        let mut waiting = self.waiting();
        let waiting = waiting.entry(partition.clone()).or_default();
        waiting.stored_ms = last.or(waiting.stored_ms);
        waiting.oldest = None;
    }

    pub(crate) fn on_retry(&self, partition: &Partition, cause: Cause) {
        if cause == Cause::Store {
            self.up.set(0.0);
        }
        let topic = self.topic(partition);
        if let Some(counter) = topic.and_then(|topic| topic.retries.get(cause.name())) {
            counter.inc();
        }
    }

    /// The store has answered as it should.
    pub(crate) fn on_store_answer(&self) {
        self.up.set(1.0);
    }

    pub(crate) fn on_gap(&self, partition: &Partition, offsets: i64) {
        if let Some(topic) = self.topic(partition) {
            topic
                .gap_offsets
                .inc_by(u64::try_from(offsets).unwrap_or(0));
        }
    }

    pub(crate) fn on_pause(&self, partition: &Partition) {
        if let Some(topic) = self.topic(partition) {
            topic.pauses.inc();
        }
    }

    pub(crate) fn set_position(&self, partition: &Partition, position: i64) {
        self.set(&self.position, partition, position);
    }

    pub(crate) fn set_lag(&self, partition: &Partition, lag: i64) {
        self.set(&self.lag, partition, lag);
        self.waiting().entry(partition.clone()).or_default().lag = lag;
    }

    pub(crate) fn set_stopped(&self, partition: &Partition, stopped: bool) {
        self.set(&self.stopped, partition, i64::from(stopped));
    }

    /// The partition belongs to another member now, which reports its numbers.
    pub(crate) fn forget(&self, partition: &Partition) {
        let index = partition.index.to_string();
        let is_gone = |labels: &[String]| {
            labels[0] == *self.sink && labels[1] == *partition.topic && labels[2] == index
        };
        for gauge in [&self.lag, &self.position, &self.stopped] {
            gauge.forget(is_gone);
        }
        self.waiting().remove(partition);
    }

    fn set(&self, gauge: &Series<Gauge>, partition: &Partition, value: i64) {
        let index = partition.index.to_string();
        gauge
            .with(&[&self.sink, &partition.topic, &index])
            .set(value as f64);
    }

    fn write(&self, page: &mut Page) {
        let now_ms = wall_ms();
        let age = |at: i64| (now_ms.saturating_sub(at).max(0)) as f64 / 1e3;
        for (name, topic) in self.topics.iter() {
            if let Some(newest) = *lock(&topic.newest_ms) {
                page.add(&f::NEWEST_AGE, &[&self.sink, name], age(newest));
            }
        }
        let mut buffered = 0;
        for (partition, waiting) in self.waiting().iter() {
            buffered += waiting.level.as_ref().map_or(0, |level| level.bytes());
            let index = partition.index.to_string();
            let labels = [&*self.sink, &*partition.topic, &index];
            let held = waiting
                .oldest
                .map_or(Duration::ZERO, |(at, _)| at.elapsed());
            page.add(&f::OLDEST_UNFLUSHED, &labels, held.as_secs_f64());
            page.add(&f::LAG_SECONDS, &labels, waiting.lag_seconds(age));
        }
        page.add(&f::BUFFERED, &[&self.sink], buffered as f64);
    }

    fn topic(&self, partition: &Partition) -> Option<&TopicMetrics> {
        self.topics.get(&*partition.topic)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Partition, Waiting>> {
        lock(&self.waiting)
    }
}

impl Waiting {
    fn lag_seconds(&self, age: impl Fn(i64) -> f64) -> f64 {
        match self.oldest {
            Some((since, timestamp_ms)) => timestamp_ms.map_or(since.elapsed().as_secs_f64(), age),
            None if self.lag == 0 => 0.0,
            None => self.stored_ms.map_or(0.0, age),
        }
    }
}

impl TopicMetrics {
    fn new(sink: &str, topic: &str, registry: &Registry) -> TopicMetrics {
        let labels = &[sink, topic];
        let counter = |family| registry.counters(family).with(labels);
        let histogram = |family| registry.histograms(family).with(labels);
        let retries = registry.counters(&f::RETRIES);
        let retries = CAUSES.map(|cause| {
            let name = cause.name();
            (name, retries.with(&[sink, topic, name]))
        });
        // Sent by another part of the service; here because here the topics are known.
        registry.counters(&f::DEAD_LETTERS).with(labels);
        TopicMetrics {
            received: counter(&f::RECEIVED),
            stored: counter(&f::STORED),
            on_time: counter(&f::ON_TIME),
            bytes: counter(&f::BYTES),
            batches: counter(&f::BATCHES),
            gap_offsets: counter(&f::GAP),
            pauses: counter(&f::PAUSES),
            retries: retries.into(),
            write_seconds: histogram(&f::WRITE_SECONDS),
            freshness: histogram(&f::FRESHNESS),
            last_success: registry.gauges(&f::LAST_SUCCESS).with(labels),
            stages: Stages::new(sink, topic, registry),
            newest_ms: Mutex::default(),
        }
    }
}

impl Stages {
    fn new(sink: &str, topic: &str, registry: &Registry) -> Stages {
        let stages = registry.histograms(&f::STAGE_SECONDS);
        let stage = |name: &str| stages.with(&[sink, topic, name]);
        Stages {
            poll: stage("poll"),
            decode: stage("decode"),
            write: stage("write"),
            commit: stage("commit"),
        }
    }

    /// For a writer that is used without a consumer around it, as in tests: counted nowhere.
    pub fn detached() -> Stages {
        Stages::new("", "", &Registry::new())
    }
}

fn wall_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

// What is in there is whole after every statement, so a panic elsewhere while it was locked does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    fn record(offset: i64, timestamp_ms: i64) -> Record {
        Record {
            offset,
            timestamp_ms: Some(timestamp_ms),
            key: None,
            value: Some(vec![b'x'; 100].into()),
            headers: Vec::new(),
        }
    }

    fn sink(registry: &Registry) -> (Metrics, Partition) {
        let topics = ["web-logs".to_owned()];
        let metrics = Metrics::new("test", &topics, Duration::from_secs(10), registry);
        let partition = Partition {
            topic: "web-logs".into(),
            index: 3,
        };
        (metrics, partition)
    }

    #[test]
    fn every_series_of_a_known_topic_is_there_from_the_start() {
        let registry = Registry::new();
        let _sink = sink(&registry);
        let text = registry.render();
        for line in [
            "millrace_sink_records_total{sink=\"test\",topic=\"web-logs\"} 0\n",
            "millrace_sink_retries_total{sink=\"test\",topic=\"web-logs\",cause=\"store\"} 0\n",
            "millrace_sink_stage_seconds_count{sink=\"test\",topic=\"web-logs\",stage=\"commit\"} 0\n",
            "millrace_sink_objective_seconds{sink=\"test\"} 10\n",
            "millrace_sink_up{sink=\"test\"} 0\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[test]
    fn records_are_on_time_within_the_objective() {
        let registry = Registry::new();
        let (metrics, partition) = sink(&registry);
        let now = wall_ms();
        let batch = Batch {
            begin: 0,
            records: vec![
                record(0, now - 60_000),
                record(1, now - 1_000),
                record(2, now),
            ],
            next_offset: 3,
        };
        metrics.on_stored(&partition, &batch, Duration::from_millis(5));
        let text = registry.render();
        for line in [
            "millrace_sink_records_total{sink=\"test\",topic=\"web-logs\"} 3\n",
            "millrace_sink_on_time_records_total{sink=\"test\",topic=\"web-logs\"} 2\n",
            "millrace_sink_freshness_seconds_bucket{sink=\"test\",topic=\"web-logs\",le=\"10\"} 2\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_grows_older_until_it_is_stored() {
        let registry = Registry::new();
        let (metrics, partition) = sink(&registry);
        metrics.on_held(&partition, Instant::now(), Some(wall_ms() - 30_000));
        tokio::time::advance(Duration::from_secs(7)).await;
        let labels = "{sink=\"test\",topic=\"web-logs\",partition=\"3\"}";
        let text = registry.render();
        let held = format!("millrace_sink_oldest_unflushed_seconds{labels} 7\n");
        assert!(text.contains(&held), "{text}");
        let behind = format!("millrace_sink_lag_seconds{labels} 30");
        assert!(text.contains(&behind), "{text}");

        let batch = Batch {
            begin: 0,
            records: vec![record(0, wall_ms())],
            next_offset: 1,
        };
        metrics.on_stored(&partition, &batch, Duration::ZERO);
        let text = registry.render();
        let held = format!("millrace_sink_oldest_unflushed_seconds{labels} 0\n");
        assert!(text.contains(&held), "{text}");

        metrics.forget(&partition);
        assert!(!registry.render().contains("partition=\"3\""));
    }
}
