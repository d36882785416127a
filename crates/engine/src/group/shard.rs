//! One partition of `__consumer_offsets`: its groups, the writes under way, and the timers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::{
    HeartbeatRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
};
use wire::{ErrorCode, Str};

use super::effects::{Effects, Reply, Token, Write};
use super::held::Held;
use super::join::{JoinCall, Replacement, refused};
use super::state::{Cx, Group};
use super::{Config, Durable, Now, Record};

/// About how many bytes of deletions go into one write: well below the smallest sensible `max.message.bytes`.
const PIECE_BYTES: usize = 128 << 10;

/// What a write means to its group once it is decided.
#[derive(Debug)]
pub(super) enum Then {
    Nothing,
    /// A generation's number.
    Joined,
    /// A generation's assignments.
    Synced(BTreeMap<Str, Bytes>),
    /// A static member's new member id.
    Replaced(Box<Replacement>),
}

#[derive(Debug)]
struct Undecided {
    group: Str,
    records: Vec<Record>,
    then: Then,
    answers: Vec<(Token, Reply)>,
}

/// Writes that were asked for and whose fate is not known yet, by ticket.
#[derive(Debug, Default)]
pub(super) struct Writes {
    next: u64,
    undecided: BTreeMap<u64, Undecided>,
}

impl Writes {
    /// Answers a request when a write under way is decided.
    pub fn answer_after(&mut self, ticket: u64, token: Token, reply: Reply) {
        let write = self
            .undecided
            .get_mut(&ticket)
            .expect("groups name only tickets which are undecided");
        write.answers.push((token, reply));
    }
}

impl Cx<'_> {
    /// Asks for records to be written; the answers wait until they are committed.
    pub fn write(
        &mut self,
        group: &mut Group,
        records: Vec<Record>,
        then: Then,
        answers: Vec<(Token, Reply)>,
    ) -> u64 {
        let ticket = self.writes.next;
        self.writes.next += 1;
        group.undecided_writes += 1;
        self.out.writes.push(Write {
            ticket,
            records: records.clone(),
        });
        self.writes.undecided.insert(
            ticket,
            Undecided {
                group: group.id.clone(),
                records,
                then,
                answers,
            },
        );
        ticket
    }

    /// Writes deletions, of which there may be more than one batch of the log can take; the answers wait for the last.
    pub fn write_in_pieces(
        &mut self,
        group: &mut Group,
        records: Vec<Record>,
        answers: Vec<(Token, Reply)>,
    ) {
        let mut piece = Vec::new();
        let mut piece_bytes = 0;
        for record in records {
            piece_bytes += record.size_hint();
            piece.push(record);
            if piece_bytes >= PIECE_BYTES {
                self.write(group, std::mem::take(&mut piece), Then::Nothing, Vec::new());
                piece_bytes = 0;
            }
        }
        if !piece.is_empty() || !answers.is_empty() {
            self.write(group, piece, Then::Nothing, answers);
        }
    }
}

/// The coordinator of the groups of one partition. See the module's head for its contract with the driver.
#[derive(Debug)]
pub struct Shard {
    pub(super) config: Config,
    pub(super) durable: Durable,
    pub(super) groups: BTreeMap<Str, Group>,
    writes: Writes,
    timers: BTreeSet<(u64, Str)>,
    /// What members take in memory, over all groups.
    held: Held,
}

impl Shard {
    /// Takes charge of what replaying the partition gave.
    pub fn new(config: Config, durable: Durable, now: Now) -> Shard {
        let mut shard = Shard {
            config,
            durable,
            groups: BTreeMap::new(),
            writes: Writes::default(),
            timers: BTreeSet::new(),
            held: Held::default(),
        };
        for (id, saved) in shard.durable.groups() {
            shard
                .groups
                .insert(id.clone(), Group::load(id.clone(), saved, now));
        }
        for id in shard.durable.groups_with_offsets() {
            shard
                .groups
                .entry(id.clone())
                .or_insert_with(|| Group::new(id.clone(), now));
        }
        let ids: Vec<Str> = shard.groups.keys().cloned().collect();
        ids.iter().for_each(|id| shard.settle(id));
        shard
    }

    /// Runs one step on a group, which is made when `create`; `None` when there is no such group.
    pub(super) fn step<T>(
        &mut self,
        now: Now,
        id: &str,
        create: bool,
        out: &mut Effects,
        step: impl FnOnce(&mut Group, &Durable, &mut Cx<'_>) -> T,
    ) -> Option<T> {
        if create && !self.groups.contains_key(id) {
            let id = Str::copy_from(id);
            self.groups.insert(id.clone(), Group::new(id, now));
        }
        let group = self.groups.get_mut(id)?;
        let mut cx = Cx {
            now,
            config: &self.config,
            writes: &mut self.writes,
            out,
        };
        let result = step(group, &self.durable, &mut cx);
        self.settle(id);
        Some(result)
    }

    /// Forgets a group of which nothing is left, and sets the timer of one whose next deadline came nearer.
    /// A deadline that moved away is noticed when the old timer fires, so that a heartbeat costs nothing here.
    fn settle(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let held = group.held();
        self.held = self.held.updated(group.counted, held);
        group.counted = held;
        if group.is_idle() && !self.durable.holds(id) {
            if let Some(at) = group.timer_ms {
                self.timers.remove(&(at, group.id.clone()));
            }
            self.groups.remove(id);
            return;
        }
        let Some(at) = group.next_deadline() else {
            return;
        };
        if group.timer_ms.is_none_or(|set| at < set) {
            if let Some(set) = group.timer_ms.replace(at) {
                self.timers.remove(&(set, group.id.clone()));
            }
            self.timers.insert((at, group.id.clone()));
        }
    }

    /// When [`Shard::on_time`] wants to be called next, in monotonic milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub fn on_time(&mut self, now: Now, out: &mut Effects) {
        while let Some((at, id)) = self.timers.first().cloned() {
            if at > now.mono_ms {
                break;
            }
            self.timers.pop_first();
            self.step(now, &id, false, out, |group, _, cx| {
                group.timer_ms = None;
                group.on_time(cx);
            });
        }
    }

    /// The records of a write are committed: they are applied, then what waits for them is answered. Tickets come
    /// in ascending order among those which were appended.
    pub fn on_committed(&mut self, now: Now, ticket: u64, out: &mut Effects) {
        let Some(write) = self.writes.undecided.remove(&ticket) else {
            return;
        };
        write
            .records
            .iter()
            .for_each(|record| self.durable.apply(record));
        out.replies.extend(write.answers);
        self.decide(now, ticket, write.group, write.then, Ok(()), out);
    }

    /// The records of a write are certainly not in the log, nor will they be.
    pub fn on_failed(&mut self, now: Now, ticket: u64, error: ErrorCode, out: &mut Effects) {
        let Some(write) = self.writes.undecided.remove(&ticket) else {
            return;
        };
        let void_id = matches!(write.then, Then::Replaced(_));
        let failed = |reply: Reply| match reply.failed(error) {
            // The member id that it was to get is nobody's.
            Reply::Join(answer) if void_id => Reply::Join(JoinGroupResponse {
                member_id: Str::default(),
                ..answer
            }),
            reply => reply,
        };
        let answers = write.answers.into_iter();
        out.replies
            .extend(answers.map(|(token, reply)| (token, failed(reply))));
        self.decide(now, ticket, write.group, write.then, Err(error), out);
    }

    fn decide(
        &mut self,
        now: Now,
        ticket: u64,
        id: Str,
        then: Then,
        result: Result<(), ErrorCode>,
        out: &mut Effects,
    ) {
        self.step(now, &id, true, out, |group, _, cx| {
            group.undecided_writes = group.undecided_writes.saturating_sub(1);
            match then {
                Then::Nothing => {}
                Then::Replaced(_) if result.is_ok() => {}
                Then::Replaced(replacement) => group.on_replacement_failed(*replacement, cx),
                Then::Joined => group.on_join_written(ticket, result.is_ok(), cx),
                Then::Synced(assignments) => {
                    group.on_assignments_written(ticket, assignments, result, cx)
                }
            }
        });
    }

    /// Gives up the partition: every request that waits is answered with `error`.
    pub fn unload(mut self, error: ErrorCode) -> Vec<(Token, Reply)> {
        let written = self
            .writes
            .undecided
            .into_values()
            .flat_map(|write| write.answers);
        let waiting = self.groups.values_mut().flat_map(Group::take_waiting);
        written
            .chain(waiting)
            .map(|(token, reply)| (token, reply.failed(error)))
            .collect()
    }

    pub fn join(&mut self, now: Now, token: Token, call: JoinCall<'_>, out: &mut Effects) {
        let id = &call.request.group_id;
        if let Err(error) = self.check_join(&call) {
            let response = refused(&call.request.member_id, call.version, error);
            return out.reply(token, Reply::Join(response));
        }
        self.step(now, id, true, out, |group, _, cx| {
            group.join(token, call, cx)
        });
    }

    fn check_join(&self, call: &JoinCall<'_>) -> Result<(), ErrorCode> {
        let request = call.request;
        let allowed = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let bytes: usize = request
            .protocols
            .iter()
            .map(|p| p.name.len() + p.metadata.len())
            .sum();
        let is_flooded =
            request.member_id.is_empty() && self.held.pending >= self.config.max_pending_members;
        if request.group_id.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else if !allowed.contains(&request.session_timeout_ms) {
            Err(ErrorCode::InvalidSessionTimeout)
        } else if !request.member_id.is_empty() && !self.groups.contains_key(&request.group_id) {
            Err(ErrorCode::UnknownMemberId)
        } else if bytes > self.config.max_member_bytes {
            // As Kafka answers when the group's record would be too large.
            Err(ErrorCode::UnknownServerError)
        } else if is_flooded || !self.has_memory_for(call) {
            Err(ErrorCode::CoordinatorNotAvailable)
        } else {
            Ok(())
        }
    }

    /// A member that only repeats itself always has room.
    fn has_memory_for(&self, call: &JoinCall<'_>) -> bool {
        let group = self.groups.get(&call.request.group_id);
        let before = group
            .and_then(|g| g.members.get(&call.request.member_id))
            .map_or(0, |m| m.held_bytes());
        let grown = call.held_bytes().saturating_sub(before);
        before > 0 && grown <= call.request.group_id.len()
            || self.held.bytes + grown <= self.config.max_held_bytes
    }

    pub fn sync(&mut self, now: Now, token: Token, request: &SyncGroupRequest, out: &mut Effects) {
        let found = self.step(now, &request.group_id, false, out, |group, _, cx| {
            group.sync(token, request, cx)
        });
        if found.is_none() {
            out.reply(token, super::sync::refused(ErrorCode::UnknownMemberId));
        }
    }

    pub fn heartbeat(
        &mut self,
        now: Now,
        token: Token,
        request: &HeartbeatRequest,
        out: &mut Effects,
    ) {
        let error = self.step(now, &request.group_id, false, out, |group, _, cx| {
            group.heartbeat(request, cx)
        });
        out.reply(
            token,
            Reply::Heartbeat(error.unwrap_or(ErrorCode::UnknownMemberId)),
        );
    }

    /// Versions before 3 name one member, in a field of its own.
    pub fn leave(
        &mut self,
        now: Now,
        token: Token,
        version: i16,
        request: &LeaveGroupRequest,
        out: &mut Effects,
    ) {
        let single = [MemberIdentity {
            member_id: request.member_id.clone(),
            ..Default::default()
        }];
        let members = if version < 3 {
            &single[..]
        } else {
            &request.members[..]
        };
        let leave_all = |group: &mut Group, _: &Durable, cx: &mut Cx<'_>| {
            members
                .iter()
                .map(|who| super::leave::answer(who, group.leave(who, cx)))
                .collect::<Vec<_>>()
        };
        let left = self
            .step(now, &request.group_id, false, out, leave_all)
            .unwrap_or_else(|| {
                members
                    .iter()
                    .map(|who| super::leave::answer(who, ErrorCode::UnknownMemberId))
                    .collect()
            });
        let mut response = LeaveGroupResponse::default();
        if version < 3 {
            response.error_code = left.first().map_or(0, |member| member.error_code);
        } else {
            response.members = left;
        }
        out.reply(token, Reply::Leave(response));
    }

    /// How many groups there are, and how many requests wait for a write: for metrics.
    pub fn counts(&self) -> (usize, usize) {
        (self.groups.len(), self.writes.undecided.len())
    }

    pub fn durable(&self) -> &Durable {
        &self.durable
    }
}
