//! ElectLeaders, versions 0 to 2 (KIP-183, KIP-460): preferred replicas lead again, or partitions without a leader get
//! one that may lack records.

use std::collections::BTreeMap;

use engine::metadata::{Command, Image, Outcome, PartitionId, Rejection};
use wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use wire::{ErrorCode, Str};

use super::RequestContext;
use super::known::Known;
use super::proposal::{Refusal, carry_out, deadline, unexpected};
use crate::server::Broker;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Elects for each partition by itself; with no list, for all.
pub async fn handle(
    broker: &Broker,
    request: ElectLeadersRequest,
    _context: &RequestContext,
) -> ElectLeadersResponse {
    if ![PREFERRED, UNCLEAN].contains(&request.election_type) {
        return ElectLeadersResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ElectLeadersResponse::default()
        };
    }
    let has = |image: &Image| asked(image, &request).iter().all(|one| one.id.is_some());
    let known = Known::with(&broker.quorum, deadline(request.timeout_ms), has).await;
    let asked = asked(&known.image, &request);
    let all: Vec<PartitionId> = asked.iter().filter_map(|one| one.id).collect();
    let mut outcomes = elect(broker, &request, all).await.into_iter();
    let mut by_topic: BTreeMap<Str, Vec<PartitionResult>> = BTreeMap::new();
    for one in asked {
        let outcome = match one.id {
            Some(_) => outcomes.next().unwrap_or(Ok(())),
            None => known.judged(Err(Rejection::UnknownTopicOrPartition.into())),
        };
        let refusal = outcome.err();
        let error = refusal.as_ref().map_or(ErrorCode::None, |r| r.error);
        // Whoever asks for everything hears of what has changed or failed only, as in Kafka.
        if request.topic_partitions.is_none() && error == ErrorCode::ElectionNotNeeded {
            continue;
        }
        by_topic
            .entry(one.topic)
            .or_default()
            .push(PartitionResult {
                partition_id: one.index,
                error_code: error.code(),
                error_message: refusal.and_then(|r| r.text()),
            });
    }
    let result = |(topic, partition_result)| ReplicaElectionResult {
        topic,
        partition_result,
    };
    ElectLeadersResponse {
        replica_election_results: by_topic.into_iter().map(result).collect(),
        ..ElectLeadersResponse::default()
    }
}

struct Asked {
    topic: Str,
    index: i32,
    /// None where there is no such partition.
    id: Option<PartitionId>,
}

fn asked(image: &Image, request: &ElectLeadersRequest) -> Vec<Asked> {
    let Some(topics) = &request.topic_partitions else {
        let all = image.topics().flat_map(|topic| {
            topic.iter().map(|(index, _)| Asked {
                topic: topic.name.clone(),
                index,
                id: Some(PartitionId {
                    topic: topic.id,
                    index,
                }),
            })
        });
        return all.collect();
    };
    let one = |name: &Str, index: i32| {
        let topic = image.topic(name);
        let known = topic.filter(|topic| topic.partition(index).is_some());
        Asked {
            topic: name.clone(),
            index,
            id: known.map(|topic| PartitionId {
                topic: topic.id,
                index,
            }),
        }
    };
    let partitions = topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|index| one(&topic.topic, *index))
    });
    partitions.collect()
}

async fn elect(
    broker: &Broker,
    request: &ElectLeadersRequest,
    partitions: Vec<PartitionId>,
) -> Vec<Result<(), Refusal>> {
    if partitions.is_empty() {
        return Vec::new();
    }
    let count = partitions.len();
    let command = match request.election_type {
        UNCLEAN => Command::ElectUnclean { partitions },
        _ => Command::ElectPreferred { partitions },
    };
    let deadline = deadline(request.timeout_ms);
    match carry_out(&broker.quorum, command, false, deadline).await {
        Ok(Outcome::Elected(each)) if each.len() == count => each
            .into_iter()
            .map(|one| one.map_err(Refusal::from))
            .collect(),
        Ok(_) => vec![Err(unexpected()); count],
        Err(refusal) => vec![Err(refusal); count],
    }
}

impl super::errors::ErrorCodes for ElectLeadersResponse {
    fn each(&self, mut each: impl FnMut(i16)) {
        each(self.error_code);
        let results = &self.replica_election_results;
        let partitions = results.iter().flat_map(|topic| &topic.partition_result);
        partitions.for_each(|partition| each(partition.error_code));
    }
}
