//! Whether there is a topic, asked before reading or writing: where brokers create topics by themselves, a name that is
//! mistyped would become one.

use std::time::Duration;

use anyhow::bail;
use pipeline::KafkaOptions;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::metadata_response::MetadataResponseTopic;
use wire::{ErrorCode, Str};

use crate::wire_client::{Connection, check, is_secured};

/// A topic that another broker has just created becomes known everywhere within this time.
const NEWS: Duration = Duration::from_millis(100);
const LOOKS: usize = 10;

/// Fails unless the topic, and the partition if one is named, are there. What only librdkafka can reach is not asked.
pub async fn require(
    options: &KafkaOptions,
    name: &str,
    partition: Option<i32>,
) -> anyhow::Result<()> {
    if is_secured(options) {
        return Ok(());
    }
    let mut connection = Connection::bootstrap(options).await?;
    for look in 1..=LOOKS {
        match find(&mut connection, name).await? {
            Some(topic) => return has_partition(&topic, name, partition),
            None if look < LOOKS => tokio::time::sleep(NEWS).await,
            None => {}
        }
    }
    bail!("there is no topic {name}: millrace topics create {name}")
}

/// The topic as one broker knows it; `None` where it knows none of this name.
pub async fn find(
    connection: &mut Connection,
    name: &str,
) -> anyhow::Result<Option<MetadataResponseTopic>> {
    let named = MetadataRequestTopic {
        name: Some(Str::copy_from(name)),
        ..MetadataRequestTopic::default()
    };
    let answer = connection.metadata(Some(vec![named])).await?;
    let Some(topic) = answer.topics.into_iter().next() else {
        bail!("the cluster gave no answer")
    };
    match ErrorCode::from_code(topic.error_code) {
        Some(ErrorCode::UnknownTopicOrPartition) => Ok(None),
        Some(ErrorCode::InvalidTopicException) => bail!("{name:?} is not a name for a topic"),
        // A leader may be missing at the moment.
        Some(ErrorCode::LeaderNotAvailable) => Ok(Some(topic)),
        _ => check(topic.error_code, None).map(|()| Some(topic)),
    }
}

fn has_partition(
    topic: &MetadataResponseTopic,
    name: &str,
    partition: Option<i32>,
) -> anyhow::Result<()> {
    let count = topic.partitions.len();
    match partition {
        Some(wanted) if !topic.partitions.iter().any(|p| p.partition_index == wanted) => {
            bail!("topic {name} has no partition {wanted}: it has {count}, from 0")
        }
        _ => Ok(()),
    }
}
