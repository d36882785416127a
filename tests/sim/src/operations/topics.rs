//! Making the topics of a life.

use anyhow::{bail, ensure};
use checker::What;
use checker::history::Place;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::{CreateTopicsRequest, MetadataRequest};
use wire::{ErrorCode, Str};

use crate::Scene;
use crate::clients::until_some;
use crate::plan::{MOST_PARTITIONS, Topic};

/// Waits until all brokers are there and makes every topic of a life.
pub async fn create_all(scene: &Scene) -> anyhow::Result<()> {
    until_some(&scene.brokers, "see all brokers", async |client| {
        let metadata = client.call(MetadataRequest::default(), 12).await?;
        let count = metadata.brokers.len();
        ensure!(count == scene.brokers.len(), "{count} brokers");
        Ok(())
    })
    .await?;
    for topic in scene.topics.iter() {
        if let Some(keeps_ms) = topic.keeps_ms() {
            // Of brokers whose clocks jump nobody knows what is old.
            let keeps_us = if scene.clocks_jump {
                0
            } else {
                keeps_ms * 1000
            };
            for partition in 0..MOST_PARTITIONS {
                let at = Place::new(&topic.name, partition);
                scene.record("world", What::Retention { at, keeps_us });
            }
        }
        for at in (0..MOST_PARTITIONS).map(|index| Place::new(&topic.name, index)) {
            if topic.is_compacted() {
                scene.record("world", What::Compacted { at: at.clone() });
            }
            if topic.may_lose {
                let why = "an unclean election may take place".into();
                scene.record("world", What::MayLose { at, why });
            }
        }
        create(&scene.brokers, topic).await?;
    }
    Ok(())
}

/// Makes a topic through any of these brokers.
///
/// # Panics
/// If the topic is one that no cluster makes: waiting would not help.
pub async fn create(brokers: &[i32], topic: &Topic) -> anyhow::Result<()> {
    until_some(brokers, "create a topic", async |client| {
        let request = CreateTopicsRequest {
            topics: vec![creatable(topic)],
            timeout_ms: 5000,
            ..CreateTopicsRequest::default()
        };
        let answer = client.call(request, 7).await?;
        match ErrorCode::from_code(answer.topics[0].error_code) {
            Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
            Some(ErrorCode::InvalidConfig) => panic!("{topic:?}: {:?}", answer.topics[0]),
            other => bail!("{other:?}"),
        }
    })
    .await
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
