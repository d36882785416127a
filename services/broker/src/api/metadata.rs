//! Metadata, versions 0 to 13: brokers, topics, partitions; creates topics that are asked for, where the
//! configuration and the client allow it.
//!
//! A topic that is created on demand is in the same answer: the broker waits until its own image has it. Topics by
//! id from version 12 on (KIP-516).

use std::collections::BTreeSet;
use std::time::Duration;

use engine::metadata::{Assignment, Command, Image, NewTopic, TopicState};
use wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use wire::messages::{MetadataRequest, MetadataResponse};
use wire::{ErrorCode, Str, Uuid};

use super::{RequestContext, operations, topics};
use crate::server::Broker;

/// How long a client may wait for the creation of topics.
const AUTO_CREATION: Duration = Duration::from_secs(5);
/// Topics that one request may create.
const AUTO_CREATED_MAX: usize = 100;

/// Answers from this broker's image.
pub async fn handle(
    broker: &Broker,
    request: MetadataRequest,
    context: &RequestContext,
) -> MetadataResponse {
    let asked = Asked::new(request, context.version);
    let missing = asked.creatable(&broker.quorum.image());
    if !missing.is_empty() && broker.config.topics.auto_create {
        create(broker, missing).await;
    }
    asked.answer(&broker.quorum.image(), broker.config.node_id, context)
}

/// Creates what can be created. What cannot is left to the answer: the topic is still missing there.
async fn create(broker: &Broker, names: Vec<Str>) {
    let defaults = &broker.config.topics;
    let new = |name: &Str| NewTopic {
        name: Str::copy_from(name),
        id: broker.env.random_uuid(),
        assignment: Assignment::Spread {
            partitions: defaults.partitions,
            replication_factor: defaults.replication_factor,
        },
        configs: Vec::new(),
    };
    let topics: Vec<NewTopic> = names.iter().map(new).collect();
    match broker
        .quorum
        .propose(Command::CreateTopics { topics }, AUTO_CREATION)
        .await
    {
        Ok(engine::metadata::Outcome::Created(each)) => {
            for (name, refused) in names
                .iter()
                .zip(&each)
                .filter_map(|(n, e)| Some((n, e.as_ref().err()?)))
            {
                tracing::debug!(topic = %name, %refused, "a topic that a client asked for was not created");
            }
            let created: Vec<_> = names
                .iter()
                .zip(each)
                .filter(|(_, e)| e.is_ok())
                .map(|(n, _)| n)
                .collect();
            let known = |image: &Image| created.iter().all(|name| image.topic(name).is_some());
            broker.quorum.wait_for(AUTO_CREATION, known).await;
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "topics that a client asked for were not created"),
    }
}

/// What the client wants to know.
pub(super) struct Asked {
    /// None: all topics.
    topics: Option<Vec<Topic>>,
    may_create: bool,
    topic_operations: bool,
    cluster_operations: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Name(Str),
    Id(Uuid),
    /// Neither, or an id where the version has none.
    Invalid(Option<Str>, Uuid),
}

impl Asked {
    pub(super) fn new(request: MetadataRequest, version: i16) -> Asked {
        // Nobody is told the same thing twice, as in Kafka: the answer is not larger than the metadata.
        let mut seen = BTreeSet::new();
        // Version 0 has no null: an empty list is every topic there.
        let listed = request
            .topics
            .filter(|topics| version > 0 || !topics.is_empty());
        let topic = |t: wire::messages::metadata_request::MetadataRequestTopic| match (
            t.name, t.topic_id,
        ) {
            (Some(name), id) if id.is_zero() => Topic::Name(name),
            (None, id) if !id.is_zero() && version >= 12 => Topic::Id(id),
            (name, id) => Topic::Invalid(name, id),
        };
        Asked {
            topics: listed.map(|topics| {
                let topics = topics.into_iter().map(topic);
                topics.filter(|topic| seen.insert(topic.clone())).collect()
            }),
            may_create: version < 4 || request.allow_auto_topic_creation,
            topic_operations: request.include_topic_authorized_operations,
            cluster_operations: request.include_cluster_authorized_operations,
        }
    }

    /// Names that are not there and could be.
    pub(super) fn creatable(&self, image: &Image) -> Vec<Str> {
        let mut names = Vec::new();
        for topic in self.topics.iter().flatten().filter(|_| self.may_create) {
            if let Topic::Name(name) = topic
                && image.topic(name).is_none()
                && topics::is_valid_name(name)
                && !topics::is_internal(name)
                && name.as_str() != topics::CLUSTER_METADATA
                && !names.contains(name)
                && names.len() < AUTO_CREATED_MAX
            {
                names.push(name.clone());
            }
        }
        names
    }

    pub(super) fn answer(
        &self,
        image: &Image,
        own: i32,
        context: &RequestContext,
    ) -> MetadataResponse {
        let listener = context.listener();
        let reachable = image
            .brokers()
            .filter_map(|b| topics::reachable(image, b.id, listener));
        let brokers = reachable.map(|(broker, endpoint)| MetadataResponseBroker {
            node_id: broker.id.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        });
        let known = |topic: &TopicState| self.known(image, topic, context);
        let topics = match &self.topics {
            None => image.topics().map(|topic| known(topic)).collect(),
            Some(asked) => asked
                .iter()
                .map(|topic| self.one(image, topic, context))
                .collect(),
        };
        MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: image.cluster_id().cloned(),
            controller_id: topics::controller(image, own, listener),
            topics,
            cluster_authorized_operations: operations::on_cluster(self.cluster_operations),
            ..MetadataResponse::default()
        }
    }

    fn one(&self, image: &Image, topic: &Topic, context: &RequestContext) -> MetadataResponseTopic {
        match topic {
            Topic::Name(name) => match image.topic(name) {
                Some(topic) => self.known(image, topic, context),
                None => self.unknown(name),
            },
            Topic::Id(id) => match image.topic_by_id(*id) {
                Some(topic) => self.known(image, topic, context),
                None => failed(ErrorCode::UnknownTopicId, None, *id),
            },
            Topic::Invalid(name, id) => {
                // Before version 12 the name may not be null in the answer.
                let name = name.clone().or((context.version < 12).then(Str::default));
                failed(ErrorCode::InvalidRequest, name, *id)
            }
        }
    }

    fn unknown(&self, name: &Str) -> MetadataResponseTopic {
        let error = if topics::is_valid_name(name) {
            ErrorCode::UnknownTopicOrPartition
        } else {
            ErrorCode::InvalidTopicException
        };
        failed(error, Some(name.clone()), Uuid::ZERO)
    }

    fn known(
        &self,
        image: &Image,
        topic: &TopicState,
        context: &RequestContext,
    ) -> MetadataResponseTopic {
        let partition =
            |(index, state): (i32, &std::sync::Arc<engine::metadata::PartitionState>)| {
                let view = topics::view(image, state, context.listener());
                // Clients before version 6 do not know LISTENER_NOT_FOUND.
                let error = match view.error {
                    ErrorCode::ListenerNotFound if context.version < 6 => {
                        ErrorCode::LeaderNotAvailable
                    }
                    error => error,
                };
                MetadataResponsePartition {
                    error_code: error.code(),
                    partition_index: index,
                    leader_id: view.leader.0,
                    leader_epoch: state.leader_epoch.0,
                    replica_nodes: view.replicas,
                    isr_nodes: view.isr,
                    offline_replicas: view.offline,
                }
            };
        MetadataResponseTopic {
            name: Some(topic.name.clone()),
            topic_id: topic.id,
            is_internal: topics::is_internal(&topic.name),
            partitions: topic.iter().map(partition).collect(),
            topic_authorized_operations: operations::on_topic(self.topic_operations),
            ..MetadataResponseTopic::default()
        }
    }
}

fn failed(error: ErrorCode, name: Option<Str>, topic_id: Uuid) -> MetadataResponseTopic {
    let is_internal = name.as_deref().is_some_and(topics::is_internal);
    MetadataResponseTopic {
        error_code: error.code(),
        name,
        topic_id,
        is_internal,
        ..MetadataResponseTopic::default()
    }
}
