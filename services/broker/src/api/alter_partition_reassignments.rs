//! AlterPartitionReassignments, versions 0 and 1 (KIP-455): moves replicas to other brokers, or takes that back.
//!
//! It is answered when the move has begun. Taking one back, or replacing it, is refused where too few of the replicas
//! that stay are in sync: Kafka does it, and leaves what was acknowledged on fewer replicas than promised.

use engine::ids::BrokerId;
use engine::metadata::{Command, Image, PartitionId, Reassignment, Rejection};
use wire::ErrorCode;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use wire::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use super::RequestContext;
use super::known::Known;
use super::proposal::{Refusal, carry_out, deadline, each};
use crate::server::Broker;

/// Begins, replaces or takes back the reassignment of each partition by itself.
pub async fn handle(
    broker: &Broker,
    request: AlterPartitionReassignmentsRequest,
    _context: &RequestContext,
) -> AlterPartitionReassignmentsResponse {
    let has = |image: &Image| request.topics.iter().all(|topic| is_known(image, topic));
    let known = Known::with(&broker.quorum, deadline(request.timeout_ms), has).await;
    let wishes: Vec<Vec<_>> = request
        .topics
        .iter()
        .map(|topic| wishes(broker, &known.image, topic))
        .collect();
    let all: Vec<Reassignment> = wishes.iter().flatten().flatten().cloned().collect();
    let mut outcomes = alter(broker, &request, all).await.into_iter();
    let topics = request.topics.iter().zip(wishes).map(|(topic, wishes)| {
        let partitions = topic.partitions.iter().zip(wishes);
        let mut answer = |(asked, wish): (&ReassignablePartition, Result<_, Refusal>)| {
            let outcome = known
                .judged(wish)
                .and_then(|_: Reassignment| outcomes.next().unwrap_or(Ok(())));
            let refusal = outcome.err();
            ReassignablePartitionResponse {
                partition_index: asked.partition_index,
                error_code: refusal.as_ref().map_or(ErrorCode::None, |r| r.error).code(),
                error_message: refusal.and_then(|r| r.text()),
            }
        };
        ReassignableTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.map(&mut answer).collect(),
        }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: topics.collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

async fn alter(
    broker: &Broker,
    request: &AlterPartitionReassignmentsRequest,
    partitions: Vec<Reassignment>,
) -> Vec<Result<(), Refusal>> {
    if partitions.is_empty() {
        return Vec::new();
    }
    let count = partitions.len();
    let deadline = deadline(request.timeout_ms);
    let command = Command::AlterReassignments {
        partitions,
        allow_factor_change: request.allow_replication_factor_change,
    };
    each(
        carry_out(&broker.quorum, command, false, deadline).await,
        count,
    )
}

fn is_known(image: &Image, asked: &ReassignableTopic) -> bool {
    let mut partitions = asked.partitions.iter();
    image
        .topic(&asked.name)
        .is_some_and(|topic| partitions.all(|p| topic.partition(p.partition_index).is_some()))
}

fn wishes(
    broker: &Broker,
    image: &Image,
    topic: &ReassignableTopic,
) -> Vec<Result<Reassignment, Refusal>> {
    let known = image.topic(&topic.name);
    let config = broker.partitions.topic_config(image, &topic.name);
    let min_insync_replicas = u16::try_from(config.min_insync_replicas).unwrap_or(1);
    let wish = |asked: &ReassignablePartition| {
        let unknown = || Refusal::from(Rejection::UnknownTopicOrPartition);
        let topic = known.ok_or_else(unknown)?;
        topic.partition(asked.partition_index).ok_or_else(unknown)?;
        let ids = |all: &Vec<i32>| all.iter().copied().map(BrokerId).collect();
        Ok(Reassignment {
            partition: PartitionId {
                topic: topic.id,
                index: asked.partition_index,
            },
            target: asked.replicas.as_ref().map(ids),
            min_insync_replicas,
        })
    };
    topic.partitions.iter().map(wish).collect()
}

impl super::errors::ErrorCodes for AlterPartitionReassignmentsResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        let partitions = self.responses.iter().flat_map(|t| &t.partitions);
        partitions.for_each(|partition| each(partition.error_code));
    }
}
