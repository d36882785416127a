//! DescribeTopicPartitions, version 0 (KIP-966): topics by name in pages of partitions.
//!
//! Topics come in the order of their names. An answer holds at most as many partitions as the client and Kafka's
//! `max.request.partition.size.limit` (2000) allow; the cursor says where the next one begins.

use std::collections::BTreeSet;

use engine::metadata::{Image, TopicState};
use wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use wire::{ErrorCode, Str};

use super::{RequestContext, operations, topics};
use crate::server::Broker;

/// Partitions of one answer, whatever the client asks for.
const PARTITIONS_MAX: usize = 2000;

/// Answers from this broker's image.
pub async fn handle(
    broker: &Broker,
    request: DescribeTopicPartitionsRequest,
    context: &RequestContext,
) -> DescribeTopicPartitionsResponse {
    answer(&broker.quorum.image(), &request, context.listener())
}

pub(super) fn answer(
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
    listener: &str,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let names: BTreeSet<Str> = if all {
        image.topics().map(|topic| topic.name.clone()).collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect()
    };
    let (from_name, from_index) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index.max(0)),
        None => ("", 0),
    };
    let limit = usize::try_from(request.response_partition_limit)
        .unwrap_or(0)
        .clamp(1, PARTITIONS_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut room = limit;
    for name in names.iter().filter(|name| name.as_str() >= from_name) {
        let first = if name.as_str() == from_name {
            from_index
        } else {
            0
        };
        if room == 0 {
            response.next_cursor = Some(Cursor {
                topic_name: name.clone(),
                partition_index: first,
            });
            break;
        }
        let Some(topic) = image.topic(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let page = described(image, topic, first, room, listener);
        let next = first.saturating_add(page.partitions.len() as i32);
        room -= page.partitions.len();
        response.topics.push(page);
        if (next as usize) < topic.partitions.len() {
            response.next_cursor = Some(Cursor {
                topic_name: name.clone(),
                partition_index: next,
            });
            break;
        }
    }
    response
}

fn unknown(name: &Str) -> DescribeTopicPartitionsResponseTopic {
    let error = if topics::is_valid_name(name) {
        ErrorCode::UnknownTopicOrPartition
    } else {
        ErrorCode::InvalidTopicException
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.clone()),
        is_internal: topics::is_internal(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn described(
    image: &Image,
    topic: &TopicState,
    first: i32,
    room: usize,
    listener: &str,
) -> DescribeTopicPartitionsResponseTopic {
    let page = topic.iter().filter(|(index, _)| *index >= first).take(room);
    let partitions = page.map(|(index, state)| {
        let view = topics::view(image, state, listener);
        DescribeTopicPartitionsResponsePartition {
            error_code: view.error.code(),
            partition_index: index,
            leader_id: view.leader.0,
            leader_epoch: state.leader_epoch.0,
            replica_nodes: view.replicas,
            isr_nodes: view.isr,
            eligible_leader_replicas: Some(topics::numbers(&state.elr)),
            last_known_elr: Some(topics::numbers(&state.last_known_elr)),
            offline_replicas: view.offline,
        }
    });
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: operations::on_topic(true),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}
