//! The follower's end of a fetch session (KIP-227): names only the partitions whose position has changed.

use std::collections::BTreeMap;

use engine::ids::BrokerEpoch;
use engine::metadata::PartitionId;
use engine::replica::FetchPosition;
use wire::messages::FetchRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};

/// What is fetched, by partition.
pub(super) type Positions = BTreeMap<PartitionId, FetchPosition>;

#[derive(Default)]
pub(super) struct Session {
    /// 0: none yet.
    id: i32,
    epoch: i32,
    /// What the leader knows.
    named: Positions,
}

/// Limits and names that are the same in each request.
pub(super) struct Terms {
    pub replica: i32,
    pub broker_epoch: Option<BrokerEpoch>,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
}

impl Session {
    /// The request that fetches `wanted`.
    pub fn request(&mut self, wanted: &Positions, terms: &Terms) -> FetchRequest {
        let changed = wanted
            .iter()
            .filter(|(id, position)| self.named.get(id) != Some(position));
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (id, position) in changed {
            let partition = partition(*id, position, terms);
            match topics.last_mut().filter(|t| t.topic_id == id.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(FetchTopic {
                    topic_id: id.topic,
                    partitions: vec![partition],
                    ..FetchTopic::default()
                }),
            }
        }
        let mut forgotten: Vec<ForgottenTopic> = Vec::new();
        for id in self.named.keys().filter(|id| !wanted.contains_key(id)) {
            match forgotten.last_mut().filter(|t| t.topic_id == id.topic) {
                Some(topic) => topic.partitions.push(id.index),
                None => forgotten.push(ForgottenTopic {
                    topic_id: id.topic,
                    partitions: vec![id.index],
                    ..ForgottenTopic::default()
                }),
            }
        }
        self.named.clone_from(wanted);
        FetchRequest {
            replica_state: ReplicaState {
                replica_id: terms.replica,
                replica_epoch: terms.broker_epoch.map_or(-1, |epoch| epoch.0),
            },
            max_wait_ms: terms.max_wait_ms,
            min_bytes: terms.min_bytes,
            max_bytes: terms.max_bytes,
            session_id: self.id,
            session_epoch: self.epoch,
            topics,
            forgotten_topics_data: forgotten,
            ..FetchRequest::default()
        }
    }

    /// The leader has answered: the session goes on, or begins.
    pub fn on_answer(&mut self, session_id: i32) {
        if session_id == 0 {
            // It keeps no session: everything is named again.
            *self = Session::default();
        } else if session_id == self.id {
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        } else {
            self.id = session_id;
            self.epoch = 1;
        }
    }
}

fn partition(id: PartitionId, position: &FetchPosition, terms: &Terms) -> FetchPartition {
    FetchPartition {
        partition: id.index,
        current_leader_epoch: position.leader_epoch.0,
        fetch_offset: position.offset.0,
        last_fetched_epoch: position.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
        log_start_offset: position.log_start.0,
        partition_max_bytes: terms.partition_max_bytes,
        ..FetchPartition::default()
    }
}
