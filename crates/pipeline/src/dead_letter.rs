//! Records that a sink refused, sent to `<topic>.dlq` with their reason.
//!
//! The headers are those of Kafka Connect. Dead letters are at least once: a sink that dies between the dead letter and
//! its own commit sends it again, so whoever counts them counts distinct (sink, topic, partition, offset).

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use telemetry::Registry;
use telemetry::metrics::{Counter, Series};

use crate::cluster::{TopicDefaults, ensure_topic};
use crate::families::DEAD_LETTERS;
use crate::spans;
use crate::{KafkaOptions, Partition, Record};

/// The sink that refused the record (in Connect: the connector's name).
pub const SINK_HEADER: &str = "__connect.errors.connector.name";
pub const TOPIC_HEADER: &str = "__connect.errors.topic";
pub const PARTITION_HEADER: &str = "__connect.errors.partition";
pub const OFFSET_HEADER: &str = "__connect.errors.offset";
pub const STAGE_HEADER: &str = "__connect.errors.stage";
pub const CLASS_HEADER: &str = "__connect.errors.exception.class.name";
pub const MESSAGE_HEADER: &str = "__connect.errors.exception.message";
/// Not Connect's: the size in bytes of a value that is too large for the dead-letter topic and was left out.
pub const DROPPED_VALUE_HEADER: &str = "millrace.errors.value.dropped.bytes";

/// Longest text of a reason in a header, in bytes.
const MESSAGE_LIMIT_BYTES: usize = 2_048;
/// How many dead letters wait for their acknowledgement at a time.
const IN_FLIGHT: usize = 256;
/// Largest dead letter; room for a large original and its headers.
const MAX_MESSAGE_BYTES: i32 = 16 << 20;

/// The dead-letter topic of `topic`.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Where: Connect's `VALUE_CONVERTER` when it cannot be parsed, `TASK_PUT` when the store refuses it.
    pub stage: &'static str,
    /// The kind of error, for machines.
    pub class: String,
    /// The reason, for people.
    pub message: String,
}

impl Rejection {
    /// The record is not what the topic should hold.
    pub fn unreadable(class: &str, message: impl std::fmt::Display) -> Rejection {
        Rejection {
            stage: "VALUE_CONVERTER",
            class: class.to_owned(),
            message: message.to_string(),
        }
    }

    /// The store refuses the record.
    pub fn refused(class: &str, message: impl std::fmt::Display) -> Rejection {
        Rejection {
            stage: "TASK_PUT",
            class: class.to_owned(),
            message: message.to_string(),
        }
    }
}

/// The dead letters of one sink.
pub struct DeadLetters {
    sink: &'static str,
    options: KafkaOptions,
    producer: Mutex<FutureProducer>,
    sent: Series<Counter>,
    existing: Mutex<BTreeSet<String>>,
}

impl DeadLetters {
    /// # Errors
    /// When the Kafka client's settings are refused.
    pub fn new(
        sink: &'static str,
        options: &KafkaOptions,
        registry: &Registry,
    ) -> anyhow::Result<DeadLetters> {
        Ok(DeadLetters {
            sink,
            options: options.clone(),
            producer: Mutex::new(producer(sink, options)?),
            sent: registry.counters(&DEAD_LETTERS),
            existing: Mutex::default(),
        })
    }

    /// Sends the refused records of one partition and waits until all are acknowledged.
    ///
    /// # Errors
    /// When the dead-letter topic cannot be created or written; then none may be counted as sent.
    pub async fn send(
        &self,
        from: &Partition,
        refused: &[(&Record, Rejection)],
    ) -> anyhow::Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let topic = dead_letter_topic(&from.topic);
        let span = spans::send_batch(&topic, refused.len());
        let sent = span.around(self.send_all(&topic, from, refused)).await;
        if let Err(error) = sent {
            span.fail("_OTHER", || crate::consumer::reason(&error));
            return Err(error);
        }
        for (record, why) in refused {
            tracing::warn!(sink = self.sink, partition = %from, offset = record.offset, stage = why.stage, class = why.class, reason = %why.message, "dead letter");
        }
        self.sent
            .with(&[self.sink, &from.topic])
            .inc_by(refused.len() as u64);
        Ok(())
    }

    async fn send_all(
        &self,
        topic: &str,
        from: &Partition,
        refused: &[(&Record, Rejection)],
    ) -> anyhow::Result<()> {
        self.ensure(topic).await?;
        for some in refused.chunks(IN_FLIGHT) {
            let sent = try_join_all(
                some.iter()
                    .map(|(record, why)| self.send_one(topic, from, record, why)),
            );
            if let Err(error) = sent.await {
                // Somebody may have deleted the topic: the next try looks, and creates it again.
                self.existing().remove(topic);
                self.replace_failed_producer()?;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn ensure(&self, topic: &str) -> anyhow::Result<()> {
        if self.existing().contains(topic) {
            return Ok(());
        }
        let defaults = TopicDefaults {
            max_message_bytes: Some(MAX_MESSAGE_BYTES),
            ..TopicDefaults::default()
        };
        ensure_topic(&self.options, topic, &defaults).await?;
        self.existing().insert(topic.to_owned());
        Ok(())
    }

    /// An idempotent producer that has failed for good takes no record any more; another one may do better.
    fn replace_failed_producer(&self) -> anyhow::Result<()> {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = current.client().fatal_error() {
            tracing::warn!(sink = self.sink, %code, reason, "the producer of dead letters has failed for good: taking a new one");
            *current = producer(self.sink, &self.options)?;
        }
        Ok(())
    }

    fn existing(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.existing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_one(
        &self,
        topic: &str,
        from: &Partition,
        record: &Record,
        why: &Rejection,
    ) -> anyhow::Result<()> {
        let full = self.headers(from, record, &record.headers, why);
        let own = self.headers(from, record, &[], why);
        let key = record.key.as_deref();
        let mut sent = self
            .produce(topic, key, record.value.as_deref(), full.clone())
            .await;
        // The record fitted into its own topic, so only a larger limit there makes this possible. The original stays where
        // the headers say; a record that cannot even be reported must not stop its neighbours. So the value is left out,
        // and where that is not enough the key and the original's headers, too.
        let size = record.size_bytes().to_string();
        for (key, headers) in [(key, full), (None, own)] {
            if !is_too_large(&sent) {
                break;
            }
            let headers = headers.insert(Header {
                key: DROPPED_VALUE_HEADER,
                value: Some(&size),
            });
            sent = self.produce(topic, key, None, headers).await;
        }
        sent.with_context(|| format!("cannot write to {topic}"))
    }

    async fn produce(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<(), KafkaError> {
        let mut letter = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
        letter.key = key;
        letter.payload = value;
        // The dead letter's own time, not the original's: it may be what the brokers would refuse, and retention counts
        // from now. The timeout is for room in the queue; the producer itself never gives a record up.
        let producer = self
            .producer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let waiting = producer.send(letter, Timeout::After(Duration::from_secs(30)));
        waiting.await.map(|_| ()).map_err(|(error, _)| error)
    }

    /// The original's headers, and behind them those that say which record it is and why it was refused: the last of a
    /// name counts.
    fn headers(
        &self,
        from: &Partition,
        record: &Record,
        original: &[crate::Header],
        why: &Rejection,
    ) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(original.len() + 8);
        for header in original {
            headers = headers.insert(Header {
                key: &header.name,
                value: header.value.as_deref(),
            });
        }
        let (partition, offset) = (from.index.to_string(), record.offset.to_string());
        let reason = shortened(&why.message, MESSAGE_LIMIT_BYTES);
        for (key, value) in [
            (TOPIC_HEADER, &*from.topic),
            (PARTITION_HEADER, &partition),
            (OFFSET_HEADER, &offset),
            (SINK_HEADER, self.sink),
            (STAGE_HEADER, why.stage),
            (CLASS_HEADER, &why.class),
            (MESSAGE_HEADER, reason),
        ] {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        headers
    }
}

fn producer(sink: &str, options: &KafkaOptions) -> anyhow::Result<FutureProducer> {
    let mut config = options.producer(&format!("millrace-{sink}-dlq"));
    config
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .create()
        .context("cannot create the producer of dead letters")
}

fn is_too_large(sent: &Result<(), KafkaError>) -> bool {
    let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    sent.as_ref().is_err_and(|error| *error == too_large)
}

/// The longest prefix of whole characters within `limit` bytes.
fn shortened(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    #[tokio::test]
    async fn a_producer_that_failed_for_good_is_replaced() {
        // Given a cluster that refuses the first producer in a way that librdkafka calls fatal
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t.dlq", 1, 1).expect("a topic");
        cluster.request_errors(
            RDKafkaApiKey::InitProducerId,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
        );
        let options = KafkaOptions {
            bootstrap_servers: cluster.bootstrap_servers(),
            ..KafkaOptions::default()
        };
        let letters = DeadLetters::new("test", &options, &Registry::new()).expect("dead letters");
        let from = Partition {
            topic: "t".into(),
            index: 0,
        };
        let record = Record {
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let refused = [(&record, Rejection::unreadable("BadJson", "no JSON"))];
        // When its letter is refused, then the next try gets through
        assert!(letters.send(&from, &refused).await.is_err());
        letters.send(&from, &refused).await.expect("sent");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(shortened("abc", 10), "abc");
        assert_eq!(shortened("aß", 2), "a");
        assert_eq!(shortened("aß", 3), "aß");
    }
}
