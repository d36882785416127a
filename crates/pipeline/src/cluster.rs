//! What identifies a topic beyond its name, and creating topics with the defaults of the demo.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::KafkaOptions;

/// How long one look-up may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// Which topic of which cluster: the same name on another cluster, or recreated, is another topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicIdentity {
    pub cluster_id: String,
    /// Kafka's base64 form, as `kafka-topics --describe` prints it.
    pub topic_id: String,
}

/// Asks the cluster who it is and which topic has this name now; `None` when there is no such topic. Blocks; from async
/// code call [`describe`].
///
/// # Errors
/// When no broker answers within ten seconds.
pub fn describe_blocking<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> anyhow::Result<Option<TopicIdentity>> {
    let cluster_id = client
        .fetch_cluster_id(LOOK_UP_TIMEOUT)
        .ok_or_else(|| anyhow!("no broker answers (asking for the cluster id)"))?;
    let topic_id = crate::native::topic_id(client, topic, LOOK_UP_TIMEOUT)
        .map_err(|reason| anyhow!("cannot look up the id of topic {topic}: {reason}"))?;
    Ok(topic_id.map(|topic_id| TopicIdentity {
        cluster_id,
        topic_id,
    }))
}

/// [`describe_blocking`] with a client of its own, off the async threads.
///
/// # Errors
/// As [`describe_blocking`].
pub async fn describe(
    options: &KafkaOptions,
    topic: &str,
) -> anyhow::Result<Option<TopicIdentity>> {
    let client: AdminClient<DefaultClientContext> = options
        .client("millrace-describe")
        .create()
        .context("cannot create a Kafka client")?;
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || describe_blocking(client.inner(), &topic))
        .await
        .context("the look-up panicked")?
}

/// How many partitions the topic has now. Blocks.
///
/// # Errors
/// When no broker answers, or the topic does not exist.
pub fn partition_count_blocking<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> anyhow::Result<i32> {
    let metadata = client
        .fetch_metadata(None, LOOK_UP_TIMEOUT)
        .context("no broker answers")?;
    let found = metadata
        .topics()
        .iter()
        .find(|known| known.name() == topic)
        .map(|known| known.partitions().len());
    let count = found
        .filter(|count| *count > 0)
        .ok_or_else(|| anyhow!("topic {topic} does not exist yet"))?;
    i32::try_from(count).context("more partitions than Kafka can count")
}

/// How a topic is created when it does not exist.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    pub partitions: i32,
    /// `None`: three, or as many as there are brokers when these are fewer, but never fewer than the cluster's own
    /// default.replication.factor.
    pub replication_factor: Option<i32>,
    pub retention_ms: i64,
    /// Per partition.
    pub retention_bytes: i64,
    /// `None`: the cluster's default.
    pub max_message_bytes: Option<i32>,
}

impl Default for TopicDefaults {
    /// Six partitions, 7 days or 1 GiB a partition.
    fn default() -> TopicDefaults {
        TopicDefaults {
            partitions: 6,
            replication_factor: None,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: 1 << 30,
            max_message_bytes: None,
        }
    }
}

/// Creates the topic unless it exists. One try; callers wait and try again.
///
/// # Errors
/// When no broker answers, or the cluster refuses (for instance while too few brokers have registered).
pub async fn ensure_topic(
    options: &KafkaOptions,
    topic: &str,
    defaults: &TopicDefaults,
) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = options
        .client("millrace-topics")
        .create()
        .context("cannot create a Kafka client")?;
    let admin = std::sync::Arc::new(admin);
    let lookup = (admin.clone(), topic.to_owned());
    let found = tokio::task::spawn_blocking(move || look_around(lookup.0.inner(), &lookup.1));
    let (exists, brokers) = found.await.context("the look-up panicked")??;
    if exists {
        return Ok(());
    }
    let replication = match defaults.replication_factor {
        Some(factor) => factor,
        None => {
            let few = i32::try_from(brokers.len().min(3)).unwrap_or(3);
            default_replication(&admin, brokers.first().copied())
                .await
                .max(few)
        }
    };
    let (retention_ms, retention_bytes) = (
        defaults.retention_ms.to_string(),
        defaults.retention_bytes.to_string(),
    );
    let max_message_bytes = defaults.max_message_bytes.map(|bytes| bytes.to_string());
    let mut new = NewTopic::new(
        topic,
        defaults.partitions,
        TopicReplication::Fixed(replication),
    )
    .set("retention.ms", &retention_ms)
    .set("retention.bytes", &retention_bytes);
    if let Some(bytes) = &max_message_bytes {
        new = new.set("max.message.bytes", bytes);
    }
    let answers = admin
        .create_topics([&new], &admin_options())
        .await
        .with_context(|| format!("cannot create topic {topic}"))?;
    match answers.into_iter().next() {
        Some(Ok(_)) => {
            tracing::info!(
                topic,
                partitions = defaults.partitions,
                replication,
                "created the topic"
            );
            Ok(())
        }
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => {
            bail!("cannot create topic {topic} with replication factor {replication}: {code}")
        }
        None => bail!("cannot create topic {topic}: an empty answer"),
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(LOOK_UP_TIMEOUT))
        .operation_timeout(Some(LOOK_UP_TIMEOUT))
}

/// Whether the topic exists, and which brokers there are.
fn look_around<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> anyhow::Result<(bool, Vec<i32>)> {
    // All topics, because asking for one by name would create it where the brokers create topics by themselves.
    let metadata = client
        .fetch_metadata(None, LOOK_UP_TIMEOUT)
        .context("no broker answers")?;
    let exists = metadata.topics().iter().any(|known| known.name() == topic);
    Ok((
        exists,
        metadata
            .brokers()
            .iter()
            .map(|broker| broker.id())
            .collect(),
    ))
}

/// The cluster's own default.replication.factor as `broker` has it, or 1 where it does not say.
async fn default_replication(
    admin: &AdminClient<DefaultClientContext>,
    broker: Option<i32>,
) -> i32 {
    let Some(broker) = broker else { return 1 };
    let question = ResourceSpecifier::Broker(broker);
    let Ok(answers) = admin.describe_configs([&question], &admin_options()).await else {
        return 1;
    };
    let entries = answers
        .into_iter()
        .filter_map(Result::ok)
        .flat_map(|resource| resource.entries);
    let mut values = entries.filter(|entry| entry.name == "default.replication.factor");
    values
        .next()
        .and_then(|entry| entry.value?.parse().ok())
        .unwrap_or(1)
}
