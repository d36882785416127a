//! Which partition of this broker a request means, and where else its client should ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionId};
use wire::{ErrorCode, Str, Uuid};

use super::topics::reachable;
use crate::partition::Partition;
use crate::server::Broker;

/// A topic as a request names it: newer versions by id, older ones by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    Id(Uuid),
    Name(Str),
}

impl TopicKey {
    pub fn new(by_id: bool, id: Uuid, name: &Str) -> TopicKey {
        if by_id {
            TopicKey::Id(id)
        } else {
            TopicKey::Name(name.clone())
        }
    }

    fn resolve(&self, image: &Image) -> Result<Uuid, ErrorCode> {
        match self {
            TopicKey::Id(id) => image
                .topic_by_id(*id)
                .map(|t| t.id)
                .ok_or(ErrorCode::UnknownTopicId),
            TopicKey::Name(name) => image
                .topic(name)
                .map(|t| t.id)
                .ok_or(ErrorCode::UnknownTopicOrPartition),
        }
    }
}

/// The partition, if this broker has a replica of it.
pub fn find(
    broker: &Broker,
    image: &Image,
    topic: &TopicKey,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let id = PartitionId {
        topic: topic.resolve(image)?,
        index,
    };
    if let Some(partition) = broker.partitions.get(id) {
        return Ok(partition);
    }
    // Known, but not here, or not open here yet.
    match image.partition(id.topic, index) {
        Some(_) => Err(ErrorCode::NotLeaderOrFollower),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

/// A leader, as answers name it to whoever asked the wrong broker (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    pub id: i32,
    pub epoch: i32,
}

/// A broker's address for the listener that the client came in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub host: Str,
    pub port: i32,
    pub rack: Option<Str>,
}

/// The leaders that one answer names.
#[derive(Default)]
pub struct LeaderHints {
    pub nodes: BTreeMap<i32, Node>,
}

impl LeaderHints {
    /// Names the leader where `error` says that this broker is not it.
    pub fn after(
        &mut self,
        error: ErrorCode,
        image: &Image,
        topic: &TopicKey,
        index: i32,
        listener: &str,
    ) -> Option<LeaderHint> {
        if !matches!(
            error,
            ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
        ) {
            return None;
        }
        let state = image.partition(topic.resolve(image).ok()?, index)?;
        let leader: BrokerId = state.leader?;
        let (known, endpoint) = reachable(image, leader, listener)?;
        self.nodes.entry(leader.0).or_insert_with(|| Node {
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: known.rack.clone(),
        });
        Some(LeaderHint {
            id: leader.0,
            epoch: state.leader_epoch.0,
        })
    }
}
