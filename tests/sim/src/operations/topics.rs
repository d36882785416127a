//! Making the topics of a life.

use anyhow::{bail, ensure};
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::{CreateTopicsRequest, MetadataRequest};
use wire::{ErrorCode, Str};

use crate::Scene;
use crate::clients::until_some;
use crate::plan::Topic;

/// Waits for all brokers and makes every topic.
pub async fn create(scene: &Scene) -> anyhow::Result<()> {
    for topic in scene.topics.iter() {
        until_some(&scene.brokers, "create a topic", async |client| {
            let metadata = client.call(MetadataRequest::default(), 12).await?;
            let count = metadata.brokers.len();
            ensure!(count == scene.brokers.len(), "{count} brokers");
            let request = CreateTopicsRequest {
                topics: vec![creatable(topic)],
                timeout_ms: 5000,
                ..CreateTopicsRequest::default()
            };
            let answer = client.call(request, 7).await?;
            match ErrorCode::from_code(answer.topics[0].error_code) {
                Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
                other => bail!("{other:?}"),
            }
        })
        .await?;
    }
    Ok(())
}

fn creatable(topic: &Topic) -> CreatableTopic {
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: Str::copy_from(name),
        value: Some(Str::copy_from(value)),
    };
    CreatableTopic {
        name: Str::copy_from(&topic.name),
        num_partitions: topic.partitions,
        replication_factor: topic.replicas,
        configs: topic.configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}
