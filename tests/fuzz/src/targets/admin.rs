//! What an administrator would say, with values that he would not.

use wire::Str;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest,
};

use super::words::{Word, topic, written};

/// Settings of topics that change how a log works.
const KEYS: [&str; 12] = [
    "segment.bytes",
    "segment.ms",
    "segment.jitter.ms",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    "index.interval.bytes",
    "segment.index.bytes",
    "flush.messages",
    "min.insync.replicas",
    "message.timestamp.before.max.ms",
    "max.compaction.lag.ms",
];

/// The request with its size; nothing where it is no administrator's.
pub fn frame(word: &Word, version: u8) -> Vec<u8> {
    match word {
        Word::Create {
            topic: name,
            partitions,
            replicas,
            config,
        } => {
            let configs = config.map(|(key, value)| CreatableTopicConfig {
                name: KEYS[usize::from(key) % KEYS.len()].into(),
                value: Some(Str::from(value.to_string())),
            });
            let topic = CreatableTopic {
                name: topic(*name),
                num_partitions: i32::from(*partitions) % 64,
                replication_factor: *replicas,
                configs: configs.into_iter().collect(),
                ..CreatableTopic::default()
            };
            let request = CreateTopicsRequest {
                topics: vec![topic],
                timeout_ms: 1_000,
                ..CreateTopicsRequest::default()
            };
            written(&request, 7, version)
        }
        Word::Grow { topic: name, count } => {
            let topic = CreatePartitionsTopic {
                name: topic(*name),
                count: i32::from(*count) % 64,
                ..CreatePartitionsTopic::default()
            };
            let request = CreatePartitionsRequest {
                topics: vec![topic],
                timeout_ms: 1_000,
                ..CreatePartitionsRequest::default()
            };
            written(&request, 3, version)
        }
        Word::Alter {
            topic: name,
            key,
            operation,
            value,
        } => {
            let config = AlterableConfig {
                name: KEYS[usize::from(*key) % KEYS.len()].into(),
                config_operation: *operation,
                value: value.map(|value| Str::from(value.to_string())),
            };
            let resource = AlterConfigsResource {
                resource_type: 2,
                resource_name: topic(*name),
                configs: vec![config],
            };
            let request = IncrementalAlterConfigsRequest {
                resources: vec![resource],
                ..IncrementalAlterConfigsRequest::default()
            };
            written(&request, 1, version)
        }
        Word::Delete { topic: name } => {
            let state = DeleteTopicState {
                name: Some(topic(*name)),
                ..DeleteTopicState::default()
            };
            let request = DeleteTopicsRequest {
                topics: vec![state],
                topic_names: vec![topic(*name)],
                timeout_ms: 1_000,
            };
            written(&request, 6, version)
        }
        _ => Vec::new(),
    }
}
