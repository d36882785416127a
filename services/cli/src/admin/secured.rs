//! Topics of a cluster that asks for TLS or SASL, which only librdkafka speaks.

use anyhow::{Context, bail};
use pipeline::KafkaOptions;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::TIMEOUT;

/// Creates a topic; -1 is the cluster's default. False when there is one of that name.
pub async fn create_topic(
    kafka: &KafkaOptions,
    name: &str,
    partitions: i32,
    replication_factor: i32,
    config: &[(String, String)],
) -> anyhow::Result<bool> {
    let admin: AdminClient<DefaultClientContext> = kafka
        .client("millrace-cli")
        .create()
        .context("cannot create a Kafka client")?;
    let topic = NewTopic {
        name,
        num_partitions: partitions,
        replication: TopicReplication::Fixed(replication_factor),
        config: config.iter().map(|(k, v)| (&**k, &**v)).collect(),
    };
    let options = AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT));
    let outcomes = admin.create_topics([&topic], &options).await?;
    match outcomes.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((name, code))) => bail!("cannot create topic {name}: {code}"),
        None => bail!("the cluster gave no answer"),
    }
}
