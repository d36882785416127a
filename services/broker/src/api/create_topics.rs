//! CreateTopics, versions 2 to 7: each topic by itself, so that one that is refused does not hinder another.
//!
//! Counts of -1 stand for the broker's defaults (KIP-464). The answer waits until this broker's image has the topics
//! and, from version 5 on, shows their configuration (KIP-525).

use std::collections::BTreeMap;

use engine::ids::BrokerId;
use engine::metadata::{Assignment, Command, CreatedTopic, NewTopic, Outcome, Resource};
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use wire::{ErrorCode, Str};

use super::proposal::{Refusal, carry_out, deadline, unexpected};
use super::{RequestContext, settings, topics};
use crate::config::TopicDefaults;
use crate::server::Broker;

/// Creates what can be created.
pub async fn handle(
    broker: &Broker,
    request: CreateTopicsRequest,
    context: &RequestContext,
) -> CreateTopicsResponse {
    let defaults = &*broker.config.topics_in(&broker.quorum.image());
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    request
        .topics
        .iter()
        .for_each(|topic| *seen.entry(topic.name.as_str()).or_default() += 1);
    let checked: Vec<Result<NewTopic, Refusal>> = request
        .topics
        .iter()
        .map(|topic| match seen[topic.name.as_str()] {
            1 => new_topic(topic, defaults, broker.env.random_uuid()),
            _ => Err(Refusal::invalid_request("Duplicate topic name.")),
        })
        .collect();
    let valid: Vec<NewTopic> = checked
        .iter()
        .filter_map(|c| c.as_ref().ok().cloned())
        .collect();
    let mut created = create(broker, valid, &request).await.into_iter();
    let results = request.topics.iter().zip(checked).map(|(topic, checked)| {
        let outcome = checked.and_then(|new| {
            let created = created.next().unwrap_or_else(|| Err(unexpected()))?;
            Ok((new, created))
        });
        result(&topic.name, outcome, defaults, context.version)
    });
    CreateTopicsResponse {
        topics: results.collect(),
        ..CreateTopicsResponse::default()
    }
}

/// One answer per topic, in order.
async fn create(
    broker: &Broker,
    topics: Vec<NewTopic>,
    request: &CreateTopicsRequest,
) -> Vec<Result<CreatedTopic, Refusal>> {
    if topics.is_empty() {
        return Vec::new();
    }
    let (count, deadline) = (topics.len(), deadline(request.timeout_ms));
    let command = Command::CreateTopics { topics };
    match carry_out(&broker.quorum, command, request.validate_only, deadline).await {
        Ok(Outcome::Created(each)) => {
            if !request.validate_only {
                let ids: Vec<_> = each.iter().flatten().map(|topic| topic.id).collect();
                let known = |image: &engine::metadata::Image| {
                    ids.iter().all(|id| image.topic_by_id(*id).is_some())
                };
                broker.quorum.wait_for(deadline, known).await;
            }
            each.into_iter()
                .map(|one| one.map_err(Refusal::from))
                .collect()
        }
        Ok(_) => vec![Err(unexpected()); count],
        Err(refusal) => vec![Err(refusal); count],
    }
}

/// Checks what the metadata log does not know about.
pub(super) fn new_topic(
    topic: &CreatableTopic,
    defaults: &TopicDefaults,
    id: wire::Uuid,
) -> Result<NewTopic, Refusal> {
    if topic.name.as_str() == topics::CLUSTER_METADATA {
        let message = format!("Creation of internal topic {} is prohibited.", topic.name);
        return Err(Refusal::invalid_request(message));
    }
    Ok(NewTopic {
        name: Str::copy_from(&topic.name),
        id,
        assignment: assignment(topic, defaults)?,
        configs: configs(&topic.configs)?,
    })
}

fn assignment(topic: &CreatableTopic, defaults: &TopicDefaults) -> Result<Assignment, Refusal> {
    if !topic.assignments.is_empty() {
        return given(topic);
    }
    let replication_factor = match topic.replication_factor {
        -1 => defaults.replication_factor,
        factor if factor > 0 => factor,
        _ => {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
    };
    let partitions = match topic.num_partitions {
        -1 => defaults.partitions,
        count if count > 0 => count,
        _ => {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
    };
    Ok(Assignment::Spread {
        partitions,
        replication_factor,
    })
}

fn given(topic: &CreatableTopic) -> Result<Assignment, Refusal> {
    for (value, what) in [
        (i32::from(topic.replication_factor), "replication factor"),
        (topic.num_partitions, "numPartitions"),
    ] {
        if value != -1 {
            let message = format!(
                "A manual partition assignment was specified, but {what} was not set to -1."
            );
            return Err(Refusal::invalid_request(message));
        }
    }
    let mut by_index = BTreeMap::new();
    for assignment in &topic.assignments {
        let replicas: Vec<_> = assignment
            .broker_ids
            .iter()
            .copied()
            .map(BrokerId)
            .collect();
        if by_index
            .insert(assignment.partition_index, replicas)
            .is_some()
        {
            let message = format!(
                "Found multiple manual partition assignments for partition {}",
                assignment.partition_index
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    if !by_index.keys().copied().eq(0..by_index.len() as i32) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(Assignment::Given(by_index.into_values().collect()))
}

fn configs(given: &[CreatableTopicConfig]) -> Result<Vec<(String, String)>, Refusal> {
    let any = Resource::Topic(String::new());
    let mut configs = BTreeMap::new();
    for config in given {
        let Some(value) = &config.value else {
            let message = format!(
                "Null value not supported for topic configs: {}",
                config.name
            );
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        };
        settings::check(&any, &config.name, value)?;
        configs.insert(config.name.to_string(), value.trim().to_owned());
    }
    Ok(configs.into_iter().collect())
}

fn result(
    name: &Str,
    outcome: Result<(NewTopic, CreatedTopic), Refusal>,
    defaults: &TopicDefaults,
    version: i16,
) -> CreatableTopicResult {
    let empty = CreatableTopicResult {
        name: name.clone(),
        error_message: None,
        ..CreatableTopicResult::default()
    };
    match outcome {
        Ok((new, created)) => CreatableTopicResult {
            topic_id: created.id,
            num_partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: (version >= 5).then(|| shown(&new, defaults)),
            ..empty
        },
        Err(refusal) => CreatableTopicResult {
            error_code: refusal.error.code(),
            error_message: refusal.text(),
            ..empty
        },
    }
}

/// The new topic's whole configuration.
fn shown(new: &NewTopic, defaults: &TopicDefaults) -> Vec<CreatableTopicConfigs> {
    let own: BTreeMap<String, String> = new.configs.iter().cloned().collect();
    let effective = settings::of_topic(defaults, &own).into_iter();
    let field = |setting: settings::Setting| CreatableTopicConfigs {
        name: setting.name.into(),
        value: setting.value.map(Str::from),
        read_only: setting.read_only,
        config_source: setting.source,
        is_sensitive: false,
    };
    effective.map(field).collect()
}
