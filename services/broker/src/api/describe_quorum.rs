//! DescribeQuorum, versions 0 to 2: who votes on the metadata, who follows them, and how far each of them is (KIP-836).
//!
//! As with Kafka, whichever broker is asked, it is the active controller's answer.

use std::time::Duration;

use wire::messages::describe_quorum_request::TopicData;
use wire::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData as TopicAnswer,
};
use wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use wire::{ErrorCode, Str, Uuid};

use super::RequestContext;
use super::proposal::Refusal;
use crate::quorum::{Description, Replica};
use crate::server::Broker;

/// The topic that stands for the metadata; it has one partition.
const TOPIC: &str = "__cluster_metadata";
/// The request has no timeout of its own.
const DEADLINE: Duration = Duration::from_secs(5);

/// Answers about the partition of [`TOPIC`], and no other.
pub async fn handle(
    broker: &Broker,
    request: DescribeQuorumRequest,
    _context: &RequestContext,
) -> DescribeQuorumResponse {
    if !is_of_metadata(&request.topics) {
        return unknown(&request.topics);
    }
    match broker.quorum.describe(DEADLINE).await {
        Ok(description) => DescribeQuorumResponse {
            topics: vec![TopicAnswer {
                topic_name: TOPIC.into(),
                partitions: vec![partition(&description)],
            }],
            nodes: nodes(broker),
            ..DescribeQuorumResponse::default()
        },
        Err(error) => {
            let refusal = Refusal::from(&error);
            DescribeQuorumResponse {
                error_code: refusal.error.code(),
                error_message: refusal.text(),
                ..DescribeQuorumResponse::default()
            }
        }
    }
}

fn is_of_metadata(topics: &[TopicData]) -> bool {
    let [topic] = topics else { return false };
    let [partition] = &topic.partitions[..] else {
        return false;
    };
    topic.topic_name == TOPIC && partition.partition_index == 0
}

fn unknown(topics: &[TopicData]) -> DescribeQuorumResponse {
    let partition = |index| PartitionData {
        partition_index: index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        ..PartitionData::default()
    };
    let topics = topics.iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|p| p.partition_index);
        TopicAnswer {
            topic_name: topic.topic_name.clone(),
            partitions: indexes.map(partition).collect(),
        }
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        ..DescribeQuorumResponse::default()
    }
}

fn partition(description: &Description) -> PartitionData {
    let all = |replicas: &[Replica]| replicas.iter().map(replica).collect();
    PartitionData {
        partition_index: 0,
        leader_id: description.leader,
        // A term is counted up by elections: it does not come near.
        leader_epoch: i32::try_from(description.term).unwrap_or(i32::MAX),
        high_watermark: description.high_watermark,
        current_voters: all(&description.voters),
        observers: all(&description.observers),
        ..PartitionData::default()
    }
}

fn replica(replica: &Replica) -> ReplicaState {
    ReplicaState {
        replica_id: replica.node,
        replica_directory_id: Uuid(replica.directory),
        log_end_offset: replica.log_end_offset,
        last_fetch_timestamp: replica.last_fetch_ms,
        last_caught_up_timestamp: replica.last_caught_up_ms,
    }
}

/// The voters' controller listeners.
fn nodes(broker: &Broker) -> Vec<Node> {
    let names = &broker.config.listeners.controller_names;
    let name = names.first().map(|name| Str::copy_from(name));
    let controllers = broker.quorum.controllers();
    let nodes = controllers.map(|(id, host, port)| Node {
        node_id: id.0,
        listeners: vec![Listener {
            name: name.clone().unwrap_or_default(),
            host: Str::copy_from(host),
            port,
        }],
    });
    nodes.collect()
}
