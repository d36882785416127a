//! The archiver as a sink of the consumer loop: opening a partition is finding the tip of its chain of objects.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use pipeline::{KafkaOptions, Partition, Record};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::json_line;
use crate::naming::Place;
use crate::object::Source;
use crate::ranges::Ranges;
use crate::store::{Objects, tip};
use crate::writer::{Letters, Shared, Writer, failed};

/// How long one question to Kafka may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Archive<O, L> {
    pub shared: Arc<Shared<O, L>>,
    pub topics_dir: String,
    /// The usual span of an object, in offsets.
    pub flush_size: usize,
    pub kafka: Arc<LookUps>,
}

impl<O: Objects + 'static, L: Letters> pipeline::Sink for Archive<O, L> {
    type Writer = Writer<O, L>;

    fn name(&self) -> &'static str {
        "s3"
    }

    /// `flush.size` counts the lines of an object, as in Connect: what the error handler takes out never reaches its sink.
    fn counts(&self, record: &Record) -> bool {
        json_line::check(record.value.as_deref()).is_ok()
    }

    async fn open(&self, from: &pipeline::Source) -> Result<(Writer<O, L>, i64), pipeline::Error> {
        let partition = from.partition.clone();
        // There from the first object on, as zero.
        let topic = &[&*partition.topic];
        self.shared.objects_written.with(topic);
        self.shared.object_bytes.with(topic);
        let policy = self
            .kafka
            .cleanup_policy(&partition.topic)
            .await
            .map_err(pipeline::Error::Retry)?;
        refuse_compacted(&partition.topic, &policy).map_err(pipeline::Error::Stop)?;
        let hint = self
            .kafka
            .clone()
            .committed(partition.clone())
            .await
            .map_err(pipeline::Error::Retry)?;

        let place = Place::new(
            &self.topics_dir,
            &partition.topic,
            partition.index,
            self.shared.compression,
        );
        let source = Source {
            cluster_id: from.identity.cluster_id.clone(),
            topic_id: from.identity.topic_id.clone(),
        };
        let objects = &*self.shared.objects;
        let step = i64::try_from(self.flush_size).unwrap_or(i64::MAX);
        let tip = match tip::find(objects, &place, &source, hint, step)
            .await
            .map_err(failed)?
        {
            Some(tip) => tip,
            None => tip::fix_start(objects, &place, &source, from.log.start)
                .await
                .map_err(failed)?,
        };
        tracing::info!(%partition, next = tip.next, last_object = ?tip.last_start, "found the end of the partition's objects");
        let shared = self.shared.clone();
        let (gap, lettered) = (Ranges::default(), tip.next);
        Ok((
            Writer {
                shared,
                partition,
                place,
                source,
                tip: tip.next,
                gap,
                lettered,
                stages: from.stages.clone(),
            },
            tip.next,
        ))
    }
}

/// # Errors
/// When the topic is compacted: compaction would take records away that no object holds yet, and nothing would show it.
pub fn refuse_compacted(topic: &str, cleanup_policy: &str) -> anyhow::Result<()> {
    if cleanup_policy
        .split(',')
        .any(|policy| policy.trim() == "compact")
    {
        bail!(
            "topic {topic} is compacted (cleanup.policy={cleanup_policy}): records that compaction takes before they are \
             archived would be missing without a trace. Ways out: take it out of topics, or set cleanup.policy=delete"
        );
    }
    Ok(())
}

/// Questions to Kafka besides the records.
pub struct LookUps {
    admin: AdminClient<DefaultClientContext>,
    group: BaseConsumer,
}

impl LookUps {
    pub fn new(options: &KafkaOptions, group_id: &str) -> anyhow::Result<LookUps> {
        let admin = options
            .client("millrace-archiver-admin")
            .create()
            .context("cannot create a Kafka client")?;
        let mut group = options.client("millrace-archiver-offsets");
        group
            .set("group.id", group_id)
            .set("enable.auto.commit", "false");
        Ok(LookUps {
            admin,
            group: group.create().context("cannot create a Kafka client")?,
        })
    }

    /// The topic's `cleanup.policy`.
    pub async fn cleanup_policy(&self, topic: &str) -> anyhow::Result<String> {
        let options = AdminOptions::new().request_timeout(Some(LOOK_UP_TIMEOUT));
        let question = ResourceSpecifier::Topic(topic);
        let mut answers = self
            .admin
            .describe_configs([&question], &options)
            .await
            .context("cannot read the topic's settings")?;
        let answer = answers
            .pop()
            .ok_or_else(|| anyhow!("no answer about topic {topic}"))?;
        let resource =
            answer.map_err(|code| anyhow!("cannot read the settings of topic {topic}: {code}"))?;
        let entry = resource
            .entries
            .into_iter()
            .find(|entry| entry.name == "cleanup.policy");
        entry
            .and_then(|entry| entry.value)
            .ok_or_else(|| anyhow!("topic {topic} shows no cleanup.policy"))
    }

    /// What the group has committed, if anything.
    async fn committed(self: Arc<Self>, partition: Partition) -> anyhow::Result<Option<i64>> {
        let ask = move || {
            let mut question = TopicPartitionList::new();
            question.add_partition(&partition.topic, partition.index);
            self.group.committed_offsets(question, LOOK_UP_TIMEOUT)
        };
        let answer = tokio::task::spawn_blocking(ask)
            .await
            .context("the look-up was interrupted")?;
        let answer = answer.context("cannot read the group's committed offsets")?;
        Ok(answer
            .elements()
            .first()
            .and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacted_topics_are_refused() {
        assert!(refuse_compacted("t", "delete").is_ok());
        for policy in ["compact", "compact,delete", "delete, compact"] {
            assert!(refuse_compacted("t", policy).is_err(), "{policy}");
        }
    }
}
