//! OffsetCommit, versions 2 to 10: stores the positions of a group, or of a client that is in none.
//!
//! From version 10 on topics are named by id. What does not exist is answered by itself, the rest is committed.

use engine::group::Reply;
use wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use wire::{ErrorCode, Uuid};

use super::RequestContext;
use crate::server::Broker;

/// From here on topics have ids instead of names.
const WITH_IDS: i16 = 10;

pub async fn handle(
    broker: &Broker,
    mut request: OffsetCommitRequest,
    context: &RequestContext,
) -> OffsetCommitResponse {
    let version = context.version;
    let mut unknown = Vec::new();
    let (known, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut request.topics)
        .into_iter()
        .map(|topic| resolve(broker, topic, version))
        .partition(|topic| topic.topic_id != Uuid::ZERO && !topic.name.is_empty());
    let error = if version >= WITH_IDS {
        ErrorCode::UnknownTopicId
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    unknown.extend(missing.iter().map(|topic| answer(topic, error)));
    request.topics = known;
    if request.topics.is_empty() && !unknown.is_empty() {
        return OffsetCommitResponse {
            topics: unknown,
            ..Default::default()
        };
    }
    let committed = broker
        .groups
        .write(&request.group_id, |shard, now, token, out| {
            shard.commit_offsets(now, token, version, &request, out);
        });
    let mut response = match committed.await {
        Ok(Reply::OffsetCommit(response)) => response,
        Ok(_) => all(&request, ErrorCode::UnknownServerError),
        Err(error) => all(&request, error),
    };
    response.topics.extend(unknown);
    response
}

/// Fills in what the request's version leaves out. A topic that does not exist stays without name or id.
fn resolve(
    broker: &Broker,
    mut topic: OffsetCommitRequestTopic,
    version: i16,
) -> OffsetCommitRequestTopic {
    let image = broker.quorum.image();
    if version >= WITH_IDS {
        topic.name = image
            .topic_by_id(topic.topic_id)
            .map(|t| t.name.clone())
            .unwrap_or_default();
    } else {
        topic.topic_id = image.topic(&topic.name).map_or(Uuid::ZERO, |t| t.id);
    }
    topic
}

fn all(request: &OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| answer(topic, error))
        .collect();
    OffsetCommitResponse {
        topics,
        ..Default::default()
    }
}

fn answer(topic: &OffsetCommitRequestTopic, error: ErrorCode) -> OffsetCommitResponseTopic {
    let partition = |index| OffsetCommitResponsePartition {
        partition_index: index,
        error_code: error.code(),
    };
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|p| partition(p.partition_index))
            .collect(),
    }
}
