//! SyncGroup and Heartbeat: members fetch their assignments, and say that they live.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::messages::{HeartbeatRequest, SyncGroupRequest, SyncGroupResponse};
use wire::{ErrorCode, Str};

use super::effects::Reply;
use super::shard::Then;
use super::state::{Cx, Group, Phase};
use super::{Record, Token};

pub(super) fn refused(error: ErrorCode) -> Reply {
    Reply::Sync(SyncGroupResponse {
        error_code: error.code(),
        ..Default::default()
    })
}

impl Group {
    pub fn sync(&mut self, token: Token, request: &SyncGroupRequest, cx: &mut Cx<'_>) {
        if let Err(error) = self.check_sync(request) {
            return cx.out.reply(token, refused(error));
        }
        let Some(member) = self.members.get_mut(&request.member_id) else {
            return;
        };
        self.unsynced.remove(&request.member_id);
        if let Some(earlier) = member.awaiting_sync.replace(token) {
            cx.out
                .reply(earlier, refused(ErrorCode::RebalanceInProgress));
        }
        if self.phase == Phase::Stable {
            return self.answer_sync(&request.member_id, ErrorCode::None, cx);
        }
        // Until it is answered, the coordinator is the one to be waited for.
        member.session_deadline_ms = None;
        if self.leader.as_ref() == Some(&request.member_id) && self.sync_write.is_none() {
            self.write_assignments(request, cx);
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate(&request.member_id, request.group_instance_id.as_deref())?;
        let differs = |said: &Option<Str>, ours: &Option<Str>| said.is_some() && said != ours;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
            Phase::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
        }
    }

    /// The first assignments that a generation's leader sends are the only ones it ever gets.
    fn write_assignments(&mut self, request: &SyncGroupRequest, cx: &mut Cx<'_>) {
        let assignments: BTreeMap<Str, Bytes> = request
            .assignments
            .iter()
            .filter_map(|a| {
                self.members
                    .get(&a.member_id)
                    .map(|m| (m.id.clone(), &a.assignment))
            })
            .map(|(id, assignment)| (id, Bytes::copy_from_slice(assignment)))
            .collect();
        let value = Some(self.snapshot(&assignments));
        let record = Record::Group {
            group: self.id.clone(),
            value,
        };
        let then = Then::Synced(assignments);
        self.sync_write = Some(cx.write(self, vec![record], then, Vec::new()));
    }

    /// The assignments are committed: only now does anybody learn them.
    pub fn on_assignments_written(
        &mut self,
        ticket: u64,
        assignments: BTreeMap<Str, Bytes>,
        result: Result<(), ErrorCode>,
        cx: &mut Cx<'_>,
    ) {
        if self.sync_write != Some(ticket) {
            return;
        }
        self.sync_write = None;
        let error = match result {
            Ok(()) => ErrorCode::None,
            Err(error) => error,
        };
        if error == ErrorCode::None {
            for (id, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assignment = assignment;
                }
            }
            self.enter(Phase::Stable, cx.now);
        }
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        ids.iter().for_each(|id| self.answer_sync(id, error, cx));
        if error != ErrorCode::None {
            self.prepare_rebalance(cx);
        }
    }

    pub fn heartbeat(&mut self, request: &HeartbeatRequest, cx: &mut Cx<'_>) -> ErrorCode {
        if let Err(error) = self.validate(&request.member_id, request.group_instance_id.as_deref())
        {
            return error;
        }
        if request.generation_id != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.phase {
            Phase::Empty => ErrorCode::UnknownMemberId,
            Phase::PreparingRebalance => {
                self.keep_alive(&request.member_id, cx);
                ErrorCode::RebalanceInProgress
            }
            Phase::CompletingRebalance | Phase::Stable => {
                self.keep_alive(&request.member_id, cx);
                ErrorCode::None
            }
        }
    }

    /// A sign of life moves the session's end, unless the coordinator owes the member an answer anyway.
    pub fn keep_alive(&mut self, member_id: &str, cx: &mut Cx<'_>) {
        let owed =
            |m: &super::member::Member| m.awaiting_join.is_some() || m.awaiting_sync.is_some();
        if !self.members.get(member_id).is_some_and(owed) {
            self.extend_session(member_id, cx.now);
        }
    }
}
