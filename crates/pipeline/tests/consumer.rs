//! The consumer loop against a real cluster: hand-over, moved positions, full buffers, retries.
//!
//! `KAFKA_BOOTSTRAP_SERVERS=host:port cargo test -p pipeline -- --ignored`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use pipeline::cluster::TopicDefaults;
use pipeline::{
    Batch, BatchLimits, CancellationToken, Error, Gap, KafkaOptions, Partition, Record, Settings,
    Sink, Source, Writer,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use telemetry::{Readiness, Registry};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(30);

/// A store that outlives its consumers, with the faults that a test wants.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    rows: BTreeMap<(String, i32), Vec<(i64, String)>>,
    positions: BTreeMap<(String, i32), i64>,
    gaps: Vec<Gap>,
    failures_left: u32,
    away: bool,
    panics: bool,
    largest_batch: usize,
}

struct StoreWriter {
    store: Store,
    partition: Partition,
}

impl Store {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("no test panics while it holds the store")
    }

    fn count(&self) -> usize {
        self.state().rows.values().map(Vec::len).sum()
    }

    fn values(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .state()
            .rows
            .values()
            .flatten()
            .map(|(_, value)| value.clone())
            .collect();
        all.sort();
        all
    }
}

impl Sink for Store {
    type Writer = StoreWriter;

    fn name(&self) -> &'static str {
        "test"
    }

    async fn open(&self, source: &Source) -> Result<(StoreWriter, i64), Error> {
        assert!(!source.identity.cluster_id.is_empty() && !source.identity.topic_id.is_empty());
        let partition = source.partition.clone();
        let key = (partition.topic.to_string(), partition.index);
        let position = self.state().positions.get(&key).copied().unwrap_or(0);
        Ok((
            StoreWriter {
                store: self.clone(),
                partition,
            },
            position,
        ))
    }

    fn counts(&self, record: &Record) -> bool {
        let value = record.value.as_deref().unwrap_or_default();
        !value.ends_with(UNCOUNTED.as_bytes())
    }
}

/// How a record ends that does not fill a batch.
const UNCOUNTED: &str = "uncounted";

impl Writer for StoreWriter {
    async fn write(&mut self, batch: &Batch) -> Result<i64, Error> {
        let key = (self.partition.topic.to_string(), self.partition.index);
        let panics = self.store.state().panics;
        assert!(!panics, "the store was told to panic");
        let mut state = self.store.state();
        if state.away || state.failures_left > 0 {
            state.failures_left = state.failures_left.saturating_sub(1);
            return Err(Error::Retry(anyhow!("the store is away")));
        }
        let position = state.positions.get(&key).copied().unwrap_or(0);
        if position != batch.begin {
            return Ok(position);
        }
        state.largest_batch = state.largest_batch.max(batch.records.len());
        for record in &batch.records {
            let value = String::from_utf8(record.value.clone().expect("a value").to_vec());
            let row = (record.offset, value.expect("UTF-8"));
            state.rows.entry(key.clone()).or_default().push(row);
        }
        state.positions.insert(key, batch.next_offset);
        Ok(batch.next_offset)
    }

    async fn skip(&mut self, gap: Gap) -> Result<i64, Error> {
        let mut state = self.store.state();
        state.gaps.push(gap);
        state.positions.insert(
            (self.partition.topic.to_string(), self.partition.index),
            gap.to,
        );
        Ok(gap.to)
    }
}

struct Scene {
    topic: String,
    kafka: KafkaOptions,
    producer: FutureProducer,
}

impl Scene {
    async fn with_topic(partitions: i32) -> Scene {
        Scene::with(TopicDefaults {
            partitions,
            ..TopicDefaults::default()
        })
        .await
    }

    async fn with(topic_defaults: TopicDefaults) -> Scene {
        let bootstrap_servers =
            std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("KAFKA_BOOTSTRAP_SERVERS is set");
        let kafka = KafkaOptions {
            bootstrap_servers,
            ..KafkaOptions::default()
        };
        let topic = format!("pipeline-test-{:016x}", pipeline::random_u64());
        pipeline::cluster::ensure_topic(&kafka, &topic, &topic_defaults)
            .await
            .expect("a topic");
        let mut config: ClientConfig = kafka.producer("test");
        let producer = config.set("linger.ms", "1").create().expect("a producer");
        Scene {
            topic,
            kafka,
            producer,
        }
    }

    async fn produce(&self, partition: i32, values: impl Iterator<Item = String>) {
        self.produce_at(partition, None, values).await;
    }

    async fn produce_at(
        &self,
        partition: i32,
        timestamp_ms: Option<i64>,
        values: impl Iterator<Item = String>,
    ) {
        let values: Vec<String> = values.collect();
        let all = values.iter().map(|value| {
            let mut record = FutureRecord::<str, str>::to(&self.topic)
                .partition(partition)
                .payload(value);
            record.timestamp = timestamp_ms;
            self.producer.send(record, Duration::from_secs(30))
        });
        for sent in futures::future::join_all(all).await {
            sent.expect("produced");
        }
    }

    /// Log start and end of partition 0.
    fn log(&self) -> (i64, i64) {
        let client: BaseConsumer = self.kafka.client("test").create().expect("a client");
        let answer = client.fetch_watermarks(&self.topic, 0, DEADLINE);
        answer.expect("the log's range")
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.kafka.clone(), &self.topic, vec![self.topic.clone()]);
        settings.limits = BatchLimits {
            max_records: 50,
            max_bytes: 1 << 20,
            max_wait: Duration::from_millis(50),
        };
        settings
    }

    fn consume(&self, settings: Settings, store: &Store) -> Consuming {
        let (readiness, stop) = (
            Readiness::waiting_for(["test group"]),
            CancellationToken::new(),
        );
        let (sink, ready, token) = (store.clone(), readiness.clone(), stop.clone());
        let task = tokio::spawn(async move {
            pipeline::run(settings, sink, &Registry::new(), ready, token).await
        });
        Consuming {
            readiness,
            stop,
            task,
        }
    }
}

struct Consuming {
    readiness: Readiness,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Consuming {
    async fn stop(self) {
        self.stop.cancel();
        let ended = timeout(DEADLINE, self.task).await.expect("it ends in time");
        ended.expect("no panic").expect("a clean end");
    }
}

/// Looks again and again until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| format!("{n:06}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn every_record_is_stored_once_and_in_order_across_restarts_and_store_failures() {
    let (scene, store) = (Scene::with_topic(2).await, Store::default());
    scene.produce(0, numbered(0..300)).await;

    store.state().failures_left = 2;
    let first = scene.consume(scene.settings(), &store);
    until("the first 300", || store.count() == 300).await;
    until("ready", || first.readiness.is_ready()).await;
    first.stop().await;

    scene.produce(0, numbered(300..400)).await;
    scene.produce(1, numbered(400..500)).await;
    let second = scene.consume(scene.settings(), &store);
    until("the other 200", || store.count() == 500).await;
    second.stop().await;

    assert_eq!(store.values(), numbered(0..500).collect::<Vec<_>>());
    for rows in store.state().rows.values() {
        assert!(
            rows.iter()
                .zip(0..)
                .all(|((offset, _), expected)| *offset == expected)
        );
    }
    assert!(store.state().largest_batch <= 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_store_that_is_away_pauses_fetching_and_its_return_resumes_it() {
    let (scene, store) = (Scene::with_topic(1).await, Store::default());
    let large = |range: std::ops::Range<usize>| numbered(range).map(|n| n + &"x".repeat(10_000));
    store.state().away = true;
    let mut settings = scene.settings();
    settings.buffer_bytes = 1;
    let consuming = scene.consume(settings, &store);
    scene.produce(0, large(0..200)).await;
    until("not ready", || {
        consuming
            .readiness
            .reasons()
            .iter()
            .any(|(_, why)| why.contains("the store is away"))
    })
    .await;

    store.state().away = false;
    until("200 large records", || store.count() == 200).await;
    until("ready", || consuming.readiness.is_ready()).await;
    consuming.stop().await;
    assert_eq!(store.values(), large(0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_second_member_takes_over_a_part_and_nothing_is_doubled() {
    let (scene, store) = (Scene::with_topic(4).await, Store::default());
    let first = scene.consume(scene.settings(), &store);
    for partition in 0..4 {
        scene.produce(partition, numbered(0..100)).await;
    }
    until("400", || store.count() == 400).await;

    let second = scene.consume(scene.settings(), &store);
    let mine = |one: &Consuming| one.readiness.is_ready();
    until("both members", || mine(&first) && mine(&second)).await;
    for partition in 0..4 {
        scene.produce(partition, numbered(100..200)).await;
    }
    until("800", || store.count() == 800).await;
    first.stop().await;
    for partition in 0..4 {
        scene.produce(partition, numbered(200..300)).await;
    }
    until("1200", || store.count() == 1200).await;
    second.stop().await;
    for rows in store.state().rows.values() {
        assert!(
            rows.iter()
                .zip(0..)
                .all(|((offset, _), expected)| *offset == expected)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_position_that_another_owner_moved_is_followed() {
    let (scene, store) = (Scene::with_topic(1).await, Store::default());
    scene.produce(0, numbered(0..100)).await;
    store.state().away = true;
    let consuming = scene.consume(scene.settings(), &store);
    until("a first try", || {
        consuming
            .readiness
            .reasons()
            .iter()
            .any(|(_, why)| why.contains("the store is away"))
    })
    .await;

    {
        let mut state = store.state();
        state.positions.insert((scene.topic.clone(), 0), 70);
        state.away = false;
    }
    until("the last 30", || store.count() == 30).await;
    consuming.stop().await;
    assert_eq!(store.values(), numbered(70..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_position_beyond_the_end_stops_the_partition_and_says_what_to_do() {
    let (scene, store) = (Scene::with_topic(1).await, Store::default());
    scene.produce(0, numbered(0..10)).await;
    store.state().positions.insert((scene.topic.clone(), 0), 11);
    let consuming = scene.consume(scene.settings(), &store);
    until("stopped", || {
        consuming.readiness.reasons().iter().any(|(part, why)| {
            part == &format!("test {}-0", scene.topic)
                && why.contains("stopped")
                && why.contains("beyond the end 10")
        })
    })
    .await;
    scene.produce(0, numbered(10..20)).await;
    consuming.stop().await;
    assert_eq!(store.count(), 0);
}

/// librdkafka stops fetching a partition whose position is out of range, for good: a seek does not start it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS that look at retention every second"]
async fn what_retention_takes_while_the_store_is_away_is_a_gap_and_the_partition_goes_on() {
    // Given a partition that is paused because its store is away
    let scene = Scene::with(TopicDefaults {
        partitions: 1,
        retention_ms: 600_000,
        ..TopicDefaults::default()
    })
    .await;
    let store = Store::default();
    let mut settings = scene.settings();
    settings.buffer_bytes = 1;
    let consuming = scene.consume(settings, &store);
    until("ready", || consuming.readiness.is_ready()).await;
    store.state().away = true;
    // When retention takes what comes meanwhile (for these records are old), and the store comes back
    let old = numbered(0..200).map(|n| n + &"x".repeat(10_000));
    scene.produce_at(0, Some(1), old).await;
    until("retention", || scene.log() == (200, 200)).await;
    store.state().away = false;
    // Then it goes on with what comes then, and each record was stored or is in a gap
    scene.produce(0, numbered(200..210)).await;
    let values: Vec<String> = numbered(200..210).collect();
    until("the last ten", || store.values().ends_with(&values)).await;
    consuming.stop().await;
    let gaps = store.state().gaps.clone();
    let taken: i64 = gaps.iter().map(|gap| gap.to - gap.from).sum();
    assert!(taken > 0);
    assert_eq!(store.count() as i64 + taken, 210, "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_panic_ends_the_process_instead_of_one_partition() {
    let (scene, store) = (Scene::with_topic(1).await, Store::default());
    store.state().panics = true;
    let consuming = scene.consume(scene.settings(), &store);
    scene.produce(0, numbered(0..1)).await;
    let ended = timeout(DEADLINE, consuming.task)
        .await
        .expect("it ends in time");
    assert!(ended.expect("no panic reaches the caller").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_fenced_consumer_is_replaced_once_and_a_rival_of_its_name_ends_the_process() {
    let (scene, store) = (Scene::with_topic(1).await, Store::default());
    let mut settings = scene.settings();
    settings.instance_id = Some("one".into());
    let consuming = scene.consume(settings, &store);
    until("it is a member", || consuming.readiness.is_ready()).await;
    let rival = || {
        let mut config = scene.kafka.consumer("rival", &scene.topic);
        config.set("group.instance.id", "one");
        let rival: BaseConsumer = config.create().expect("a rival");
        rival.subscribe(&[&scene.topic]).expect("subscribed");
        rival
    };
    let first = rival();
    let fenced = || first.poll(Duration::ZERO).is_some() && first.client().fatal_error().is_some();
    until("the rival's place is taken back", fenced).await;
    scene.produce(0, numbered(0..10)).await;
    until("the records", || store.count() == 10).await;
    let second = rival();
    let assigned = || {
        second.poll(Duration::ZERO).is_some()
            || second.assignment().is_ok_and(|all| all.count() == 1)
    };
    until("the second rival has its place", assigned).await;
    let ended = timeout(DEADLINE, consuming.task).await.expect("in time");
    let error = ended.expect("no panic").expect_err("it has a rival");
    assert!(error.to_string().contains("by the name one"), "{error:#}");
}

const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn a_batch_is_full_of_records_that_count() {
    let (scene, store) = (Scene::with_topic(1).await, Store::default());
    let mut settings = scene.settings();
    (settings.limits.max_records, settings.limits.max_wait) = (10, NEVER);
    let consuming = scene.consume(settings, &store);
    scene.produce(0, numbered(0..9)).await;
    let uncounted = numbered(9..50).map(|n| n + UNCOUNTED);
    scene.produce(0, uncounted.chain(numbered(50..51))).await;
    until("the batch", || store.count() > 0).await;
    consuming.stop().await;
    assert_eq!((store.count(), store.state().largest_batch), (51, 51));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs brokers at KAFKA_BOOTSTRAP_SERVERS"]
async fn batches_that_are_neither_full_nor_due_end_when_they_take_too_much_memory() {
    let (scene, store) = (Scene::with_topic(2).await, Store::default());
    let mut settings = scene.settings();
    settings.batch_bytes = 100_000;
    settings.limits = BatchLimits {
        max_records: usize::MAX,
        max_bytes: usize::MAX,
        max_wait: NEVER,
    };
    let consuming = scene.consume(settings, &store);
    for partition in [0, 1] {
        let large = numbered(0..100).map(|n| n + &"x".repeat(10_000));
        scene.produce(partition, large).await;
    }
    // What is left is less than the budget.
    until("190 of 200", || store.count() >= 190).await;
    consuming.stop().await;
    assert!(store.state().largest_batch <= 10);
}
