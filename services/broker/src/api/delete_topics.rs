//! DeleteTopics, versions 1 to 6: by name, from version 6 on by name or id (KIP-516).

use std::collections::BTreeSet;

use engine::metadata::{Command, Image, TopicId};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::delete_topics_response::DeletableTopicResult;
use wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use wire::{ErrorCode, Str, Uuid};

use super::RequestContext;
use super::known::Known;
use super::proposal::{Refusal, carry_out, deadline, each};
use crate::server::Broker;

/// Deletes what is there; answers when this broker's image no longer has it.
pub async fn handle(
    broker: &Broker,
    request: DeleteTopicsRequest,
    context: &RequestContext,
) -> DeleteTopicsResponse {
    let asked = asked(&request, context.version);
    let has = |image: &Image| asked.iter().all(|topic| is_known(image, topic));
    let known = Known::with(&broker.quorum, deadline(request.timeout_ms), has).await;
    let image = &known.image;
    let enabled = broker.config.topics.delete_enabled;
    let mut seen = BTreeSet::new();
    let found: Vec<Result<Uuid, Refusal>> = asked
        .iter()
        .map(|topic| {
            if enabled {
                known.judged(find(image, topic, &mut seen))
            } else {
                Err(disabled(context.version))
            }
        })
        .collect();
    let ids: Vec<Uuid> = found.iter().flatten().copied().collect();
    let mut outcomes = delete(broker, &ids, request.timeout_ms).await.into_iter();
    let responses = asked.iter().zip(found).map(|(topic, found)| {
        let meant = found
            .as_ref()
            .ok()
            .and_then(|id| image.topic_by_id(*id))
            .cloned();
        let outcome = found.and_then(|_| outcomes.next().unwrap_or(Ok(())));
        let refusal = outcome.err();
        DeletableTopicResult {
            name: meant
                .as_ref()
                .map(|topic| topic.name.clone())
                .or_else(|| topic.name.clone()),
            topic_id: meant.map_or(topic.topic_id, |topic| topic.id),
            error_code: refusal.as_ref().map_or(ErrorCode::None, |r| r.error).code(),
            error_message: refusal.and_then(|r| r.text()),
        }
    });
    DeleteTopicsResponse {
        responses: responses.collect(),
        ..DeleteTopicsResponse::default()
    }
}

/// Names of old versions and states of new ones alike.
fn asked(request: &DeleteTopicsRequest, version: i16) -> Vec<DeleteTopicState> {
    if version >= 6 {
        return request.topics.clone();
    }
    let by_name = |name: &Str| DeleteTopicState {
        name: Some(name.clone()),
        topic_id: Uuid::ZERO,
    };
    request.topic_names.iter().map(by_name).collect()
}

fn is_known(image: &Image, asked: &DeleteTopicState) -> bool {
    match &asked.name {
        Some(name) => image.topic(name).is_some(),
        None => image.topic_by_id(asked.topic_id).is_some(),
    }
}

/// The topic that is meant, unless it was meant before.
pub(super) fn find(
    image: &Image,
    asked: &DeleteTopicState,
    seen: &mut BTreeSet<Uuid>,
) -> Result<Uuid, Refusal> {
    let (found, again) = match &asked.name {
        Some(_) if !asked.topic_id.is_zero() => {
            let why = "You may not specify both topic name and topic id.";
            return Err(Refusal::invalid_request(why));
        }
        None if asked.topic_id.is_zero() => {
            let why = "Neither topic name nor id were specified.";
            return Err(Refusal::invalid_request(why));
        }
        Some(name) => {
            let unknown = || {
                Refusal::new(
                    ErrorCode::UnknownTopicOrPartition,
                    "This server does not host this topic-partition.",
                )
            };
            (
                image.topic(name).ok_or_else(unknown)?.id,
                "Duplicate topic name.",
            )
        }
        None => {
            let unknown = || {
                Refusal::new(
                    ErrorCode::UnknownTopicId,
                    "This server does not host this topic ID.",
                )
            };
            let topic = image.topic_by_id(asked.topic_id).ok_or_else(unknown)?;
            (topic.id, "Duplicate topic id.")
        }
    };
    if seen.insert(found) {
        Ok(found)
    } else {
        Err(Refusal::invalid_request(again))
    }
}

fn disabled(version: i16) -> Refusal {
    let error = if version < 3 {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::TopicDeletionDisabled
    };
    Refusal::new(error, "Topic deletion is disabled.")
}

async fn delete(broker: &Broker, ids: &[Uuid], timeout_ms: i32) -> Vec<Result<(), Refusal>> {
    if ids.is_empty() {
        return Vec::new();
    }
    let deadline = deadline(timeout_ms);
    let command = Command::DeleteTopics {
        topics: ids.iter().copied().map(TopicId).collect(),
    };
    let outcome = carry_out(&broker.quorum, command, false, deadline).await;
    let mut outcomes = each(outcome, ids.len());
    for outcome in &mut outcomes {
        // It was there a moment ago: an earlier attempt of this request, or another client, has deleted it.
        if outcome
            .as_ref()
            .is_err_and(|refusal| refusal.error == ErrorCode::UnknownTopicId)
        {
            *outcome = Ok(());
        }
    }
    let gone: Vec<Uuid> = ids
        .iter()
        .zip(&outcomes)
        .filter(|(_, o)| o.is_ok())
        .map(|(id, _)| *id)
        .collect();
    broker
        .quorum
        .wait_for(deadline, |image| {
            gone.iter().all(|id| image.topic_by_id(*id).is_none())
        })
        .await;
    outcomes
}
