//! JoinGroup: a client becomes a member, or a member says what it can do for the next generation.

use std::collections::BTreeMap;

use wire::messages::join_group_response::JoinGroupResponseMember;
use wire::messages::{JoinGroupRequest, JoinGroupResponse};
use wire::{ErrorCode, Str};

use super::effects::Reply;
use super::member::Member;
use super::shard::Then;
use super::state::{Cx, Group, Phase, millis};
use super::{Record, Token};

/// A JoinGroup request with what is known about its sender.
#[derive(Clone, Copy, Debug)]
pub struct JoinCall<'a> {
    pub request: &'a JoinGroupRequest,
    pub version: i16,
    pub client_id: &'a str,
    /// As DescribeGroups shows it: `/127.0.0.1`.
    pub client_host: &'a str,
    /// The unique part of a new member's id, should one be needed: a random uuid.
    pub unique: &'a str,
}

impl JoinCall<'_> {
    /// Version 0 has no rebalance timeout: the session timeout stands in.
    pub fn rebalance_timeout_ms(&self) -> i32 {
        match self.version {
            0 => self.request.session_timeout_ms,
            _ => self.request.rebalance_timeout_ms,
        }
    }

    fn needs_known_member_id(&self) -> bool {
        self.version >= 4
    }

    fn can_skip_assignment(&self) -> bool {
        self.version >= 9
    }

    fn new_member_id(&self) -> Str {
        let prefix = self
            .request
            .group_instance_id
            .as_deref()
            .unwrap_or(self.client_id);
        Str::from(format!("{prefix}-{}", self.unique))
    }
}

/// A static member that has got a new member id without a rebalance, while that is being written down.
#[derive(Debug)]
pub(super) struct Replacement {
    /// As it was under its former member id.
    former: Member,
    id: Str,
    generation: i32,
}

/// A JoinGroup answer with an error.
pub(super) fn refused(member_id: &str, version: i16, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        generation_id: -1,
        // Before version 7 the field cannot be null.
        protocol_name: (version < 7).then(Str::default),
        member_id: Str::copy_from(member_id),
        ..Default::default()
    }
}

impl Group {
    pub fn join(&mut self, token: Token, call: JoinCall<'_>, cx: &mut Cx<'_>) {
        let request = call.request;
        let refusal = if !self.has_room_for(&request.member_id, cx.config.max_size) {
            Some(ErrorCode::GroupMaxSizeReached)
        } else if !self.can_agree_with(request) {
            Some(ErrorCode::InconsistentGroupProtocol)
        } else if request.member_id.is_empty() {
            self.join_anew(token, call, cx);
            None
        } else {
            self.rejoin(token, call, cx).err()
        };
        if let Some(error) = refusal {
            cx.out.reply(
                token,
                Reply::Join(refused(&request.member_id, call.version, error)),
            );
        }
    }

    fn has_room_for(&self, member_id: &str, max_size: usize) -> bool {
        let known = self.members.contains_key(member_id) || self.pending.contains_key(member_id);
        known || self.members.len() + self.pending.len() < max_size
    }

    /// At least one protocol must be left that every member supports.
    fn can_agree_with(&self, request: &JoinGroupRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let others = || self.members.values().filter(|m| m.id != request.member_id);
        self.protocol_type.as_deref() == Some(&*request.protocol_type)
            && request
                .protocols
                .iter()
                .any(|p| others().all(|m| m.supports(&p.name)))
    }

    fn join_anew(&mut self, token: Token, call: JoinCall<'_>, cx: &mut Cx<'_>) {
        let id = call.new_member_id();
        let holder = call
            .request
            .group_instance_id
            .as_deref()
            .and_then(|i| self.statics.get(i))
            .cloned();
        match holder {
            Some(old) => self.replace_static(token, &old, id, call, cx),
            None if call.request.group_instance_id.is_none() && call.needs_known_member_id() => {
                let deadline = cx.now.mono_ms + millis(call.request.session_timeout_ms);
                self.pending.insert(id.clone(), deadline);
                let reply = refused(&id, call.version, ErrorCode::MemberIdRequired);
                cx.out.reply(token, Reply::Join(reply));
            }
            None => self.add_member(token, id, call, cx),
        }
    }

    fn add_member(&mut self, token: Token, id: Str, call: JoinCall<'_>, cx: &mut Cx<'_>) {
        let mut member = Member::from_join(id.clone(), &call);
        member.awaiting_join = Some(token);
        member.session_deadline_ms = Some(cx.now.mono_ms + cx.config.new_member_join_timeout_ms);
        if let Some(initial) = &mut self.initial {
            initial.joined_since = true;
        }
        self.pending.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Some(Str::copy_from(&call.request.protocol_type));
        }
        self.leader.get_or_insert_with(|| id.clone());
        if let Some(instance) = &member.instance_id {
            self.statics.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, member);
        self.rebalance_or_complete(cx);
    }

    /// A join with a member id: of a member, or of one that was told its id a moment ago.
    fn rejoin(
        &mut self,
        token: Token,
        call: JoinCall<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), ErrorCode> {
        let request = call.request;
        let id = &request.member_id;
        if self.pending.contains_key(id) && request.group_instance_id.is_none() {
            self.add_member(token, Str::copy_from(id), call, cx);
            return Ok(());
        }
        self.validate(id, request.group_instance_id.as_deref())?;
        let is_leader = self.leader.as_ref() == Some(id);
        let has_shared_out = is_leader && self.sync_write.is_some();
        let changed = !self
            .members
            .get(id)
            .is_some_and(|m| m.says_the_same(request));
        match self.phase {
            Phase::Empty => return Err(ErrorCode::UnknownMemberId),
            Phase::PreparingRebalance => self.update_member(token, call, cx),
            // The answer got lost, so the member asks again: nothing new for the others. But a leader whose assignments are
            // being written may share out others now, and would never learn that the earlier ones were taken.
            Phase::CompletingRebalance if !changed && !has_shared_out => {
                self.repeat_join_answer(token, call, cx);
            }
            // A leader that rejoins wants a rebalance (its topics changed); others only when their metadata did.
            Phase::Stable if !changed && !is_leader => self.repeat_join_answer(token, call, cx),
            Phase::CompletingRebalance | Phase::Stable => self.update_member(token, call, cx),
        }
        Ok(())
    }

    fn update_member(&mut self, token: Token, call: JoinCall<'_>, cx: &mut Cx<'_>) {
        if let Some(member) = self.members.get_mut(&call.request.member_id) {
            member.update(&call);
            Self::await_join(member, token, cx);
        }
        self.rebalance_or_complete(cx);
    }

    fn await_join(member: &mut Member, token: Token, cx: &mut Cx<'_>) {
        if !member.is_new {
            member.session_deadline_ms = None;
        }
        if let Some(earlier) = member.awaiting_join.replace(token) {
            let reply = refused(&member.id, 9, ErrorCode::RebalanceInProgress);
            cx.out.reply(earlier, Reply::Join(reply));
        }
    }

    fn repeat_join_answer(&mut self, token: Token, call: JoinCall<'_>, cx: &mut Cx<'_>) {
        let id = &call.request.member_id;
        let response = self.join_answer(id, self.phase == Phase::CompletingRebalance);
        self.extend_session(id, cx.now);
        match self.join_write {
            Some(ticket) => cx.writes.answer_after(ticket, token, Reply::Join(response)),
            None => cx.out.reply(token, Reply::Join(response)),
        }
    }

    /// The answer for this generation; the leader's names all members when `for_assignment`.
    pub fn join_answer(&self, member_id: &str, for_assignment: bool) -> JoinGroupResponse {
        let protocol = self.protocol.clone();
        let is_leader = self.leader.as_deref() == Some(member_id);
        let members = match (is_leader && for_assignment, &protocol) {
            (true, Some(name)) => self.members.values().map(|m| listed(m, name)).collect(),
            _ => Vec::new(),
        };
        JoinGroupResponse {
            error_code: 0,
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: protocol,
            leader: self.leader.clone().unwrap_or_default(),
            member_id: Str::copy_from(member_id),
            members,
            ..Default::default()
        }
    }

    /// A static member came back under a new member id: the old holder is fenced. Without a change for the others
    /// its place, assignment included, is kept and no rebalance happens (KIP-345, KIP-814).
    ///
    /// Whoever else names the instance id with another member id, an empty one included, is answered
    /// FENCED_INSTANCE_ID, as in Kafka, and ends: a client must not commit under an id that it has given up.
    fn replace_static(
        &mut self,
        token: Token,
        old: &Str,
        id: Str,
        call: JoinCall<'_>,
        cx: &mut Cx<'_>,
    ) {
        let Some(mut former) = self.members.remove(old) else {
            return;
        };
        fence(&mut former, cx);
        let mut member = Member {
            assignment: former.assignment.clone(),
            is_new: false,
            ..Member::from_join(id.clone(), &call)
        };
        member.session_deadline_ms = Some(cx.now.mono_ms + millis(member.session_timeout_ms));
        self.take_place(old, member);
        if self.phase == Phase::Stable && self.select_protocol() == self.protocol {
            return self.keep_static(token, id, former, call, cx);
        }
        if let Some(member) = self.members.get_mut(&id) {
            Self::await_join(member, token, cx);
        }
        self.rebalance_or_complete(cx);
    }

    /// Puts a static member where the one with the member id `old` was.
    fn take_place(&mut self, old: &Str, member: Member) {
        let id = member.id.clone();
        if let Some(instance) = &member.instance_id {
            self.statics.insert(instance.clone(), id.clone());
        }
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(id.clone());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(id.clone());
        }
        self.members.insert(id, member);
    }

    fn keep_static(
        &mut self,
        token: Token,
        id: Str,
        former: Member,
        call: JoinCall<'_>,
        cx: &mut Cx<'_>,
    ) {
        self.recompute_subscribed();
        let mut response = self.join_answer(&id, call.can_skip_assignment());
        if call.can_skip_assignment() {
            response.skip_assignment = response.leader == id;
        } else {
            // An old client that finds itself the leader would assign anew: it is shown the id that it had.
            if response.leader == id {
                response.leader = former.id.clone();
            }
        }
        let value = self.snapshot(&self.assignments());
        let record = Record::Group {
            group: self.id.clone(),
            value: Some(value),
        };
        let then = Then::Replaced(Box::new(Replacement {
            former,
            id,
            generation: self.generation,
        }));
        cx.write(
            self,
            vec![record],
            then,
            vec![(token, Reply::Join(response))],
        );
    }

    /// A new member id could not be written down: nobody has learned it, and the next coordinator would know only the
    /// former one, which stands again. Not once a rebalance has begun, whose own records name the new one.
    pub fn on_replacement_failed(&mut self, replacement: Replacement, cx: &mut Cx<'_>) {
        let Replacement {
            mut former,
            id,
            generation,
        } = replacement;
        let instance = former.instance_id.as_ref();
        let holds = instance.and_then(|i| self.statics.get(i)) == Some(&id);
        if !holds || self.phase != Phase::Stable || self.generation != generation {
            return;
        }
        if let Some(mut failed) = self.members.remove(&id) {
            fence(&mut failed, cx);
        }
        former.session_deadline_ms = Some(cx.now.mono_ms + millis(former.session_timeout_ms));
        self.take_place(&id, former);
        self.recompute_subscribed();
    }

    /// The protocol that most members prefer among those which all support; a tie goes to the leader's order.
    pub fn select_protocol(&self) -> Option<Str> {
        let first = self
            .leader
            .as_ref()
            .and_then(|id| self.members.get(id))
            .or(self.members.values().next())?;
        let candidates: Vec<&Str> = first
            .protocols
            .iter()
            .map(|(name, _)| name)
            .filter(|name| self.members.values().all(|m| m.supports(name)))
            .collect();
        let set = candidates.iter().map(|name| (*name).clone()).collect();
        let mut votes: BTreeMap<Str, usize> = BTreeMap::new();
        for vote in self.members.values().filter_map(|m| m.vote(&set)) {
            *votes.entry(vote).or_default() += 1;
        }
        let most = votes.values().max().copied()?;
        candidates
            .into_iter()
            .find(|name| votes.get(*name) == Some(&most))
            .cloned()
    }
}

fn listed(member: &Member, protocol: &str) -> JoinGroupResponseMember {
    JoinGroupResponseMember {
        member_id: member.id.clone(),
        group_instance_id: member.instance_id.clone(),
        metadata: member.metadata(protocol),
    }
}

/// Answers what the former holder of an instance id waits for.
fn fence(member: &mut Member, cx: &mut Cx<'_>) {
    let error = ErrorCode::FencedInstanceId;
    if let Some(token) = member.awaiting_join.take() {
        cx.out
            .reply(token, Reply::Join(refused(&member.id, 9, error)));
    }
    if let Some(token) = member.awaiting_sync.take() {
        let response = wire::messages::SyncGroupResponse {
            error_code: error.code(),
            ..Default::default()
        };
        cx.out.reply(token, Reply::Sync(response));
    }
}
