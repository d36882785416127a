//! A group as the coordinator in charge sees it: phase, members, who waits for what, and its timers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wire::messages::SyncGroupResponse;
use wire::{ErrorCode, Str};

use super::effects::{Effects, Reply};
use super::held::Held;
use super::member::Member;
use super::shard::Writes;
use super::{Config, GroupSnapshot, Now, Token, subscription};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl Phase {
    /// Kafka's name, as DescribeGroups and ListGroups show it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Empty => "Empty",
            Phase::PreparingRebalance => "PreparingRebalance",
            Phase::CompletingRebalance => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }
}

/// The first rebalance of an empty group waits for more members, in steps, until this is used up (KIP-134).
#[derive(Debug)]
pub(super) struct InitialDelay {
    pub remaining_ms: u64,
    pub joined_since: bool,
}

#[derive(Debug)]
pub(super) struct Group {
    pub id: Str,
    pub phase: Phase,
    pub phase_since_ms: i64,
    pub generation: i32,
    pub protocol_type: Option<Str>,
    pub protocol: Option<Str>,
    pub leader: Option<Str>,
    pub members: BTreeMap<Str, Member>,
    /// Instance id to the member id that holds it now.
    pub statics: BTreeMap<Str, Str>,
    /// Member ids handed out with MEMBER_ID_REQUIRED and not used yet, with their deadlines.
    pub pending: BTreeMap<Str, u64>,
    /// Members of this generation that have not asked for their assignment yet.
    pub unsynced: BTreeSet<Str>,
    /// Topics of all members; none when the protocol's metadata cannot be read.
    pub subscribed: Option<BTreeSet<Str>>,
    pub initial: Option<InitialDelay>,
    pub join_deadline_ms: Option<u64>,
    pub sync_deadline_ms: Option<u64>,
    /// The write of this generation's number, while it is not committed.
    pub join_write: Option<u64>,
    /// The write of this generation's assignments, while it is not committed.
    pub sync_write: Option<u64>,
    /// Writes of any kind that are not decided yet.
    pub undecided_writes: usize,
    /// When the shard looks at this group again; never later than any deadline above.
    pub timer_ms: Option<u64>,
    /// What the shard has counted of this group.
    pub counted: Held,
}

/// What a step may use beside the group itself.
pub(super) struct Cx<'a> {
    pub now: Now,
    pub config: &'a Config,
    pub writes: &'a mut Writes,
    pub out: &'a mut Effects,
}

impl Group {
    pub fn new(id: Str, now: Now) -> Group {
        Group {
            id,
            phase: Phase::Empty,
            phase_since_ms: now.wall_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            subscribed: None,
            initial: None,
            join_deadline_ms: None,
            sync_deadline_ms: None,
            join_write: None,
            sync_write: None,
            undecided_writes: 0,
            timer_ms: None,
            counted: Held::default(),
        }
    }

    /// The group as a new coordinator finds it. Every member gets a whole session to find the coordinator.
    pub fn load(id: Str, saved: &GroupSnapshot, now: Now) -> Group {
        let mut group = Group::new(id, now);
        group.generation = saved.generation;
        group.protocol_type =
            (!saved.protocol_type.is_empty()).then(|| saved.protocol_type.clone());
        group.phase_since_ms = saved.state_timestamp_ms;
        if saved.members.is_empty() {
            group.recompute_subscribed();
            return group;
        }
        group.protocol = saved.protocol.clone();
        group.leader = saved.leader.clone();
        for m in &saved.members {
            let mut member = Member::from_snapshot(m, saved.protocol.as_ref());
            member.session_deadline_ms = Some(now.mono_ms + millis(m.session_timeout_ms));
            if let Some(instance) = &member.instance_id {
                group.statics.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), member);
        }
        group.recompute_subscribed();
        // A generation that joined but never synced: its leader may still sync it, else it is rebalanced.
        if saved.members.iter().all(|m| m.assignment.is_empty()) {
            group.phase = Phase::CompletingRebalance;
            group.unsynced = group.members.keys().cloned().collect();
            group.sync_deadline_ms = Some(now.mono_ms + group.rebalance_timeout_ms());
        } else {
            group.phase = Phase::Stable;
        }
        group
    }

    pub fn enter(&mut self, phase: Phase, now: Now) {
        self.phase = phase;
        self.phase_since_ms = now.wall_ms;
    }

    /// The group's record, with the assignments given by member id (none for the others).
    pub fn snapshot(&self, assignments: &BTreeMap<Str, Bytes>) -> GroupSnapshot {
        let protocol = self.protocol.as_ref();
        let assigned = |m: &Member| assignments.get(&m.id).cloned().unwrap_or_default();
        GroupSnapshot {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.phase_since_ms,
            members: self
                .members
                .values()
                .map(|m| m.snapshot(protocol, assigned(m)))
                .collect(),
        }
    }

    pub fn assignments(&self) -> BTreeMap<Str, Bytes> {
        self.members
            .values()
            .map(|m| (m.id.clone(), m.assignment.clone()))
            .collect()
    }

    /// Longest rebalance timeout of the members, in milliseconds.
    pub fn rebalance_timeout_ms(&self) -> u64 {
        self.members
            .values()
            .map(|m| millis(m.rebalance_timeout_ms))
            .max()
            .unwrap_or(0)
    }

    /// The earliest deadline of any kind.
    pub fn next_deadline(&self) -> Option<u64> {
        let sessions = self.members.values().filter_map(|m| m.session_deadline_ms);
        let pending = self.pending.values().copied();
        sessions
            .chain(pending)
            .chain(self.join_deadline_ms)
            .chain(self.sync_deadline_ms)
            .min()
    }

    /// Whether the caller is the member that it says it is (KIP-345).
    pub fn validate(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            match self.statics.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(holder) if holder != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ErrorCode::UnknownMemberId),
        }
    }

    pub fn extend_session(&mut self, member_id: &str, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_deadline_ms = Some(now.mono_ms + millis(member.session_timeout_ms));
        }
    }

    pub fn answer_sync(&mut self, member_id: &str, error: ErrorCode, cx: &mut Cx<'_>) {
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let Some(token) = member.awaiting_sync.take() else {
            return;
        };
        // While it is owed the answer to its next join, the coordinator is the one to be waited for.
        if member.awaiting_join.is_none() {
            member.session_deadline_ms = Some(cx.now.mono_ms + millis(member.session_timeout_ms));
        }
        let ok = error == ErrorCode::None;
        let response = SyncGroupResponse {
            error_code: error.code(),
            protocol_type: protocol_type.filter(|_| ok),
            protocol_name: protocol.filter(|_| ok),
            assignment: if ok {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
            ..Default::default()
        };
        cx.out.reply(token, Reply::Sync(response));
    }

    /// Reads the subscriptions anew: of protocol type `consumer` only, for others the metadata is not ours to read.
    pub fn recompute_subscribed(&mut self) {
        self.subscribed = None;
        if self.protocol_type.as_deref() != Some("consumer") {
            return;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            let Some(protocol) = &self.protocol else {
                return;
            };
            match subscription::topics(&member.metadata(protocol)) {
                Some(topics) => all.extend(topics),
                None => return,
            }
        }
        self.subscribed = Some(all);
    }

    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed
            .as_ref()
            .is_none_or(|topics| topics.contains(topic))
    }

    /// Nothing soft is left that would be lost if the coordinator forgot this group.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Empty
            && self.members.is_empty()
            && self.pending.is_empty()
            && self.undecided_writes == 0
    }

    /// Takes every request that waits inside the group, for the coordinator gives it up.
    pub fn take_waiting(&mut self) -> Vec<(Token, Reply)> {
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            let join = member.awaiting_join.take();
            waiting.extend(join.map(|t| {
                (
                    t,
                    Reply::Join(super::join::refused(&member.id, 9, ErrorCode::None)),
                )
            }));
            let sync = member.awaiting_sync.take();
            waiting.extend(sync.map(|t| (t, Reply::Sync(SyncGroupResponse::default()))));
        }
        waiting
    }
}

/// Timeouts come as i32 and were checked to be positive, or are the client's own loss.
pub(super) fn millis(ms: i32) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
