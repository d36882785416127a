//! A topic of its own for each test, its dead letters, and batches to store.

use std::collections::BTreeSet;
use std::time::Duration;

use etl::model::Topics;
use pipeline::cluster::{TopicDefaults, TopicIdentity, ensure_topic};
use pipeline::dead_letter::{OFFSET_HEADER, SINK_HEADER, dead_letter_topic};
use pipeline::{Batch, DeadLetters, KafkaOptions, LogRange, Partition, Record, Source, Stages};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::Registry;

/// 2026-01-01T12:00:00Z, in milliseconds.
pub const NOON_MS: i64 = 1_767_268_800_000;

pub struct Scene {
    pub kafka: KafkaOptions,
    pub topics: Topics,
    pub source: Source,
}

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

impl Scene {
    pub async fn new() -> Scene {
        let bootstrap_servers = variable("KAFKA_BOOTSTRAP_SERVERS");
        let kafka = KafkaOptions {
            bootstrap_servers,
            ..KafkaOptions::default()
        };
        let id = pipeline::random_u64();
        let topics = Topics {
            web_logs: format!("web-logs-x{id:016x}"),
            orders: format!("bk-orders-x{id:016x}"),
        };
        let identity = TopicIdentity {
            cluster_id: "cluster".into(),
            topic_id: format!("id-{id}"),
        };
        let partition = Partition {
            topic: topics.web_logs.as_str().into(),
            index: 3,
        };
        let source = Source {
            partition,
            identity,
            log: LogRange {
                start: 0,
                end: 1_000,
            },
            stages: Stages::detached(),
        };
        Scene {
            kafka,
            topics,
            source,
        }
    }

    /// The same partition of the topic after it was deleted and created again.
    pub fn recreated(&self) -> Source {
        let mut source = self.source.clone();
        source.identity.topic_id.push_str("-new");
        source
    }

    pub async fn dead_letters(&self, sink: &'static str) -> DeadLetters {
        let topic = dead_letter_topic(&self.topics.web_logs);
        ensure_topic(&self.kafka, &topic, &TopicDefaults::default())
            .await
            .expect("the topic");
        DeadLetters::new(sink, &self.kafka, &Registry::new()).expect("dead letters")
    }

    /// The distinct offsets among the dead letters of this scene, once there are `count`.
    pub async fn refused(&self, sink: &str, count: usize) -> BTreeSet<i64> {
        let mut config = self.kafka.client("test");
        let consumer: StreamConsumer = config
            .set("group.id", "unused")
            .create()
            .expect("a consumer");
        let topic = dead_letter_topic(&self.topics.web_logs);
        let mut all = TopicPartitionList::new();
        for index in 0..TopicDefaults::default().partitions {
            all.add_partition_offset(&topic, index, Offset::Beginning)
                .expect("a valid offset");
        }
        consumer.assign(&all).expect("assigned");
        let mut offsets = BTreeSet::new();
        while offsets.len() < count {
            let message = tokio::time::timeout(Duration::from_secs(30), consumer.recv()).await;
            let Ok(message) = message.expect("dead letters in time") else {
                continue;
            };
            let letter = Record::from_message(&message);
            assert_eq!(letter.header_text(SINK_HEADER), Some(sink));
            let offset = letter
                .header_text(OFFSET_HEADER)
                .and_then(|text| text.parse().ok());
            offsets.insert(offset.expect("an offset"));
        }
        offsets
    }
}

/// Log lines at these offsets.
pub fn batch(offsets: std::ops::Range<i64>) -> Batch {
    let records = offsets
        .clone()
        .map(|offset| record(offset, &line(200, "/")));
    Batch {
        begin: offsets.start,
        records: records.collect(),
        next_offset: offsets.end,
    }
}

pub fn record(offset: i64, value: &str) -> Record {
    let value = Some(value.to_owned().into());
    Record {
        offset,
        timestamp_ms: Some(NOON_MS),
        key: None,
        value,
        headers: Vec::new(),
    }
}

pub fn line(status_code: i32, url: &str) -> String {
    format!(
        r#"{{"ip":"203.0.113.7","timestamp":"2026-01-01T12:00:00.000Z","method":"GET","url":"{url}","status_code":{status_code},"user_agent":"x"}}"#
    )
}
