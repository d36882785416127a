//! OffsetFetch, versions 1 to 10: the committed positions of groups.
//!
//! From version 8 on a request names several groups; from version 10 on topics are named by id. No list of topics
//! means all that the group has positions for (since version 2). What was never committed is answered with -1.

use std::collections::{BTreeMap, BTreeSet};

use engine::group::{CommittedOffset, Shard};
use engine::metadata::Image;
use wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use wire::messages::offset_fetch_request::OffsetFetchRequestTopics;
use wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use wire::{ErrorCode, Str, Uuid};

use super::RequestContext;
use crate::server::Broker;

const WITH_IDS: i16 = 10;

pub async fn handle(
    broker: &Broker,
    request: OffsetFetchRequest,
    context: &RequestContext,
) -> OffsetFetchResponse {
    let version = context.version;
    if version >= 8 {
        // Nobody is told the same thing twice: the answer is not larger than what there is to tell.
        let mut seen = BTreeSet::new();
        let groups = request
            .groups
            .iter()
            .filter(|group| seen.insert(group.group_id.as_str()))
            .map(|group| fetch(broker, group, version))
            .collect();
        return OffsetFetchResponse {
            groups,
            ..Default::default()
        };
    }
    let single = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request
            .topics
            .map(|topics| topics.into_iter().map(widened).collect()),
        ..Default::default()
    };
    narrowed(fetch(broker, &single, version), version)
}

fn fetch(
    broker: &Broker,
    group: &OffsetFetchRequestGroup,
    version: i16,
) -> OffsetFetchResponseGroup {
    let image = broker.quorum.image();
    let looked = broker
        .groups
        .look(&group.group_id, |shard| match &group.topics {
            Some(topics) => topics
                .iter()
                .map(|t| some(shard, &group.group_id, t, &image, version))
                .collect(),
            None => all(shard, &group.group_id, &image, version),
        });
    let group_id = group.group_id.clone();
    match looked {
        Ok(topics) => OffsetFetchResponseGroup {
            group_id,
            topics,
            ..Default::default()
        },
        Err(error) => {
            // Only version 1 has no place for the error but the partitions.
            let asked = group.topics.iter().flatten().filter(|_| version < 2);
            let topics = asked.map(|topic| OffsetFetchResponseTopics {
                name: topic.name.clone(),
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|p| nothing(*p, error))
                    .collect(),
                ..Default::default()
            });
            let topics = topics.collect();
            OffsetFetchResponseGroup {
                group_id,
                topics,
                error_code: error.code(),
            }
        }
    }
}

/// The positions that were asked for.
fn some(
    shard: &Shard,
    group_id: &str,
    asked: &OffsetFetchRequestTopics,
    image: &Image,
    version: i16,
) -> OffsetFetchResponseTopics {
    let topic = match version >= WITH_IDS {
        true => image.topic_by_id(asked.topic_id),
        false => image.topic(&asked.name),
    };
    let name = match topic {
        Some(topic) => topic.name.clone(),
        None => asked.name.clone(),
    };
    let id = topic.map_or(asked.topic_id, |topic| topic.id);
    let unknown = version >= WITH_IDS && topic.is_none();
    let partition = |index: &i32| match shard.durable().offset(group_id, &name, *index) {
        _ if unknown => nothing(*index, ErrorCode::UnknownTopicId),
        Some(offset) if same_topic(offset, id) => found(*index, offset),
        _ => nothing(*index, ErrorCode::None),
    };
    OffsetFetchResponseTopics {
        partitions: asked.partition_indexes.iter().map(partition).collect(),
        name,
        topic_id: id,
    }
}

/// A topic that was created anew under an old name has no positions yet.
fn same_topic(offset: &CommittedOffset, id: Uuid) -> bool {
    offset.topic_id == Uuid::ZERO || id == Uuid::ZERO || offset.topic_id == id
}

/// Everything that the group has positions for; by id only what still exists can be named.
fn all(
    shard: &Shard,
    group_id: &str,
    image: &Image,
    version: i16,
) -> Vec<OffsetFetchResponseTopics> {
    let mut by_topic: BTreeMap<Str, Vec<OffsetFetchResponsePartitions>> = BTreeMap::new();
    for (topic, index, offset) in shard.durable().offsets_of(group_id) {
        if same_topic(offset, image.topic(topic).map_or(Uuid::ZERO, |t| t.id)) {
            by_topic
                .entry(topic.clone())
                .or_default()
                .push(found(index, offset));
        }
    }
    by_topic
        .into_iter()
        .map(|(name, partitions)| OffsetFetchResponseTopics {
            topic_id: image.topic(&name).map_or(Uuid::ZERO, |t| t.id),
            name,
            partitions,
        })
        .filter(|topic| version < WITH_IDS || topic.topic_id != Uuid::ZERO)
        .collect()
}

fn found(index: i32, offset: &CommittedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(offset.metadata.clone()),
        ..Default::default()
    }
}

fn nothing(index: i32, error: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Default::default()),
        error_code: error.code(),
    }
}

/// A topic of a request before version 8 in the form of the later ones.
fn widened(
    topic: wire::messages::offset_fetch_request::OffsetFetchRequestTopic,
) -> OffsetFetchRequestTopics {
    OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..Default::default()
    }
}

/// The answer for one group in the form of the versions before 8.
fn narrowed(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let partition = |p: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: p.committed_leader_epoch,
        metadata: p.metadata,
        error_code: p.error_code,
    };
    let topics = group
        .topics
        .into_iter()
        .map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic.partitions.into_iter().map(partition).collect(),
        });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: if version < 2 { 0 } else { group.error_code },
        ..Default::default()
    }
}
