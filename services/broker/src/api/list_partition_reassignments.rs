//! ListPartitionReassignments, version 0 (KIP-455): the partitions whose replicas move, from this broker's image.

use engine::ids::BrokerId;
use engine::metadata::{PartitionState, TopicState};
use wire::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::RequestContext;
use crate::server::Broker;

/// What moves of what was asked for, or of everything. What is unknown does not move.
pub async fn handle(
    broker: &Broker,
    request: ListPartitionReassignmentsRequest,
    _context: &RequestContext,
) -> ListPartitionReassignmentsResponse {
    let image = broker.quorum.image();
    let topics = match &request.topics {
        None => image.topics().map(|t| of_topic(t, |_| true)).collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = image.topic(&asked.name)?;
                let wanted = |index| asked.partition_indexes.contains(&index);
                Some(of_topic(topic, wanted))
            })
            .collect::<Vec<_>>(),
    };
    ListPartitionReassignmentsResponse {
        topics: topics
            .into_iter()
            .filter(|topic| !topic.partitions.is_empty())
            .collect(),
        ..ListPartitionReassignmentsResponse::default()
    }
}

fn of_topic(topic: &TopicState, wanted: impl Fn(i32) -> bool) -> OngoingTopicReassignment {
    let moving = topic
        .iter()
        .filter(|(index, p)| p.is_reassigned() && wanted(*index));
    OngoingTopicReassignment {
        name: topic.name.clone(),
        partitions: moving.map(|(index, p)| of_partition(index, p)).collect(),
    }
}

fn of_partition(index: i32, p: &PartitionState) -> OngoingPartitionReassignment {
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    OngoingPartitionReassignment {
        partition_index: index,
        replicas: numbers(&p.replicas),
        adding_replicas: numbers(&p.adding),
        removing_replicas: numbers(&p.removing),
    }
}
