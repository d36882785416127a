//! CreatePartitions, versions 0 to 3: more partitions for topics, each by itself.

use std::collections::BTreeMap;

use engine::ids::BrokerId;
use engine::metadata::{Command, NewPartitions};
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use wire::{ErrorCode, Str};

use super::RequestContext;
use super::proposal::{Refusal, carry_out, deadline, each};
use crate::server::Broker;

/// Adds what can be added; answers when this broker's image has it.
pub async fn handle(
    broker: &Broker,
    request: CreatePartitionsRequest,
    _context: &RequestContext,
) -> CreatePartitionsResponse {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    request
        .topics
        .iter()
        .for_each(|topic| *seen.entry(topic.name.as_str()).or_default() += 1);
    let single: Vec<&CreatePartitionsTopic> = request
        .topics
        .iter()
        .filter(|t| seen[t.name.as_str()] == 1)
        .collect();
    let mut outcomes = add(broker, &single, &request).await.into_iter();
    let results = request.topics.iter().map(|topic| {
        let outcome = match seen[topic.name.as_str()] {
            1 => outcomes.next().unwrap_or(Ok(())),
            _ => Err(Refusal::invalid_request("Duplicate topic name.")),
        };
        let refusal = outcome.err();
        CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code: refusal.as_ref().map_or(ErrorCode::None, |r| r.error).code(),
            error_message: refusal.and_then(|r| r.text()),
        }
    });
    CreatePartitionsResponse {
        results: results.collect(),
        ..CreatePartitionsResponse::default()
    }
}

async fn add(
    broker: &Broker,
    topics: &[&CreatePartitionsTopic],
    request: &CreatePartitionsRequest,
) -> Vec<Result<(), Refusal>> {
    if topics.is_empty() {
        return Vec::new();
    }
    let deadline = deadline(request.timeout_ms);
    let command = Command::CreatePartitions {
        topics: topics.iter().map(|topic| new_partitions(topic)).collect(),
    };
    let outcome = carry_out(&broker.quorum, command, request.validate_only, deadline).await;
    let outcomes = each(outcome, topics.len());
    if !request.validate_only {
        let grown: Vec<_> = topics
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_ok())
            .collect();
        let known = |image: &engine::metadata::Image| {
            let has = |topic: &CreatePartitionsTopic| {
                image
                    .topic(&topic.name)
                    .is_none_or(|t| t.partitions.len() as i64 >= i64::from(topic.count))
            };
            grown.iter().all(|(topic, _)| has(topic))
        };
        broker.quorum.wait_for(deadline, known).await;
    }
    outcomes
}

fn new_partitions(topic: &CreatePartitionsTopic) -> NewPartitions {
    let replicas = |ids: &Vec<i32>| ids.iter().copied().map(BrokerId).collect();
    let given = topic.assignments.as_ref();
    NewPartitions {
        topic: Str::copy_from(&topic.name),
        count: topic.count,
        assignment: given.map(|all| all.iter().map(|one| replicas(&one.broker_ids)).collect()),
    }
}
