//! What survives a crash of the coordinator: exactly what replaying the committed records of the partition gives.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::{Str, Uuid};

use super::{OffsetKey, Record};

/// The position that a group committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    /// Leader epoch of the last consumed record, -1 when the client did not say.
    pub leader_epoch: i32,
    pub metadata: Str,
    pub commit_timestamp_ms: i64,
    /// Set only by clients which ask for a retention of their own (OffsetCommit 2 to 4).
    pub expire_timestamp_ms: Option<i64>,
    /// Zero when unknown.
    pub topic_id: Uuid,
}

/// A member as the group's record holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSnapshot {
    pub member_id: Str,
    pub instance_id: Option<Str>,
    pub client_id: Str,
    pub client_host: Str,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// A group as its record holds it. Members whose assignments are all empty joined a generation that was never synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapshot {
    pub protocol_type: Str,
    pub generation: i32,
    pub protocol: Option<Str>,
    pub leader: Option<Str>,
    pub state_timestamp_ms: i64,
    pub members: Vec<MemberSnapshot>,
}

type TopicPartition = (Str, i32);

/// Groups and committed offsets, changed by [`Durable::apply`] alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    groups: BTreeMap<Str, GroupSnapshot>,
    offsets: BTreeMap<Str, BTreeMap<TopicPartition, CommittedOffset>>,
}

impl Durable {
    /// Applies one committed record; the latest record of a key wins, as after compaction.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Group {
                group,
                value: Some(value),
            } => {
                self.groups.insert(group.clone(), value.clone());
            }
            Record::Group { group, value: None } => {
                self.groups.remove(group);
            }
            Record::Offset {
                key,
                value: Some(value),
            } => {
                let of_group = self.offsets.entry(key.group.clone()).or_default();
                of_group.insert((key.topic.clone(), key.partition), value.clone());
            }
            Record::Offset { key, value: None } => self.forget_offset(key),
        }
    }

    fn forget_offset(&mut self, key: &OffsetKey) {
        let Some(of_group) = self.offsets.get_mut(&key.group) else {
            return;
        };
        of_group.remove(&(key.topic.clone(), key.partition));
        if of_group.is_empty() {
            self.offsets.remove(&key.group);
        }
    }

    pub fn group(&self, group: &str) -> Option<&GroupSnapshot> {
        self.groups.get(group)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&Str, &GroupSnapshot)> {
        self.groups.iter()
    }

    pub fn offset(&self, group: &str, topic: &Str, partition: i32) -> Option<&CommittedOffset> {
        self.offsets.get(group)?.get(&(topic.clone(), partition))
    }

    /// All offsets of a group, by topic and partition.
    pub fn offsets_of(&self, group: &str) -> impl Iterator<Item = (&Str, i32, &CommittedOffset)> {
        let of_group = self.offsets.get(group).into_iter().flatten();
        of_group.map(|((topic, partition), offset)| (topic, *partition, offset))
    }

    /// Groups which have committed offsets, whether or not they ever had members.
    pub fn groups_with_offsets(&self) -> impl Iterator<Item = &Str> {
        self.offsets.keys()
    }

    pub fn holds(&self, group: &str) -> bool {
        self.groups.contains_key(group) || self.offsets.contains_key(group)
    }

    /// How many groups and offsets there are: for progress messages and metrics.
    pub fn counts(&self) -> (usize, usize) {
        (
            self.groups.len(),
            self.offsets.values().map(BTreeMap::len).sum(),
        )
    }
}
