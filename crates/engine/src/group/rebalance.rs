//! The two phases of a rebalance: all members join, then the leader's assignments are synced. And what time does.

use std::collections::BTreeMap;

use wire::messages::SyncGroupResponse;
use wire::{ErrorCode, Str};

use super::Record;
use super::effects::Reply;
use super::shard::Then;
use super::state::{Cx, Group, InitialDelay, Phase, millis};

impl Group {
    /// After a member came or changed: a new rebalance, unless one is collecting members already.
    pub fn rebalance_or_complete(&mut self, cx: &mut Cx<'_>) {
        match self.phase {
            Phase::PreparingRebalance => self.complete_join_if_all_joined(cx),
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => self.prepare_rebalance(cx),
        }
    }

    pub fn prepare_rebalance(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::CompletingRebalance {
            self.refuse_syncs(ErrorCode::RebalanceInProgress, cx);
        }
        self.unsynced.clear();
        self.sync_deadline_ms = None;
        self.sync_write = None;
        let from_empty = self.phase == Phase::Empty;
        self.enter(Phase::PreparingRebalance, cx.now);
        let timeout_ms = self.rebalance_timeout_ms();
        if from_empty {
            let delay_ms = cx.config.initial_rebalance_delay_ms;
            let remaining_ms = timeout_ms.saturating_sub(delay_ms);
            self.initial = Some(InitialDelay {
                remaining_ms,
                joined_since: false,
            });
            self.join_deadline_ms = Some(cx.now.mono_ms + delay_ms);
        } else {
            self.initial = None;
            self.join_deadline_ms = Some(cx.now.mono_ms + timeout_ms);
            self.complete_join_if_all_joined(cx);
        }
    }

    fn refuse_syncs(&mut self, error: ErrorCode, cx: &mut Cx<'_>) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = Default::default();
            }
            self.answer_sync(&id, error, cx);
        }
    }

    pub fn complete_join_if_all_joined(&mut self, cx: &mut Cx<'_>) {
        let all =
            self.pending.is_empty() && self.members.values().all(|m| m.awaiting_join.is_some());
        // The initial delay always runs its course: more members may come.
        if self.phase == Phase::PreparingRebalance && self.initial.is_none() && all {
            self.complete_join(cx);
        }
    }

    /// Ends the join phase: who has not joined is out (static members only by their session), and the next
    /// generation begins. Its number is written down before any member learns it.
    fn complete_join(&mut self, cx: &mut Cx<'_>) {
        let gone: Vec<Str> = self
            .members
            .values()
            .filter(|m| m.awaiting_join.is_none() && !m.is_static())
            .map(|m| m.id.clone())
            .collect();
        gone.iter().for_each(|id| self.drop_member(id, cx));
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members that are away: wait until they come or their sessions end.
            self.join_deadline_ms = Some(cx.now.mono_ms + self.rebalance_timeout_ms().max(1));
            return;
        }
        self.initial = None;
        self.join_deadline_ms = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            return self.become_empty(cx);
        }
        self.protocol = self.select_protocol();
        self.recompute_subscribed();
        self.enter(Phase::CompletingRebalance, cx.now);
        self.unsynced = self.members.keys().cloned().collect();
        self.sync_deadline_ms = Some(cx.now.mono_ms + self.rebalance_timeout_ms());
        self.announce_generation(cx);
    }

    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &Str| {
            self.members
                .get(id)
                .is_some_and(|m| m.awaiting_join.is_some())
        };
        if !self.leader.as_ref().is_some_and(joined) {
            self.leader = self.members.keys().find(|id| joined(id)).cloned();
        }
        self.leader.is_some()
    }

    fn become_empty(&mut self, cx: &mut Cx<'_>) {
        self.protocol = None;
        self.leader = None;
        self.recompute_subscribed();
        self.enter(Phase::Empty, cx.now);
        let value = Some(self.snapshot(&BTreeMap::new()));
        let record = Record::Group {
            group: self.id.clone(),
            value,
        };
        cx.write(self, vec![record], Then::Nothing, Vec::new());
    }

    fn announce_generation(&mut self, cx: &mut Cx<'_>) {
        let mut answers = Vec::with_capacity(self.members.len());
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in &ids {
            let response = self.join_answer(id, true);
            let Some(member) = self.members.get_mut(id) else {
                continue;
            };
            member.assignment = Default::default();
            let Some(token) = member.awaiting_join.take() else {
                continue;
            };
            member.is_new = false;
            member.session_deadline_ms = Some(cx.now.mono_ms + millis(member.session_timeout_ms));
            answers.push((token, Reply::Join(response)));
        }
        let value = Some(self.snapshot(&BTreeMap::new()));
        let record = Record::Group {
            group: self.id.clone(),
            value,
        };
        let then = Then::Joined;
        self.join_write = Some(cx.write(self, vec![record], then, answers));
    }

    /// The number of this generation is committed, or could not be written: then everybody has to join again.
    pub fn on_join_written(&mut self, ticket: u64, written: bool, cx: &mut Cx<'_>) {
        if self.join_write != Some(ticket) {
            return;
        }
        self.join_write = None;
        if !written && self.phase == Phase::CompletingRebalance {
            self.prepare_rebalance(cx);
        }
    }

    /// Removes a member that left or fell silent, and lets the rest go on without it.
    pub fn remove_member(&mut self, id: &str, cx: &mut Cx<'_>) {
        self.drop_member(id, cx);
        match self.phase {
            Phase::Empty => {}
            Phase::PreparingRebalance => self.complete_join_if_all_joined(cx),
            Phase::CompletingRebalance | Phase::Stable => self.prepare_rebalance(cx),
        }
    }

    fn drop_member(&mut self, id: &str, cx: &mut Cx<'_>) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        let error = ErrorCode::UnknownMemberId;
        if let Some(token) = member.awaiting_join.take() {
            cx.out
                .reply(token, Reply::Join(super::join::refused(id, 9, error)));
        }
        if let Some(token) = member.awaiting_sync.take() {
            let response = SyncGroupResponse {
                error_code: error.code(),
                ..Default::default()
            };
            cx.out.reply(token, Reply::Sync(response));
        }
        if let Some(instance) = &member.instance_id
            && self
                .statics
                .get(instance)
                .is_some_and(|holder| holder == id)
        {
            self.statics.remove(instance);
        }
        self.unsynced.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Acts on every deadline that has passed.
    pub fn on_time(&mut self, cx: &mut Cx<'_>) {
        let now_ms = cx.now.mono_ms;
        let before = self.pending.len();
        self.pending.retain(|_, deadline| *deadline > now_ms);
        if self.pending.len() < before {
            self.complete_join_if_all_joined(cx);
        }
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now_ms);
        let silent: Vec<Str> = self
            .members
            .values()
            .filter(|m| due(m.session_deadline_ms))
            .map(|m| m.id.clone())
            .collect();
        for id in silent {
            // Removing one may have answered and so renewed another.
            if self
                .members
                .get(&id)
                .is_some_and(|m| due(m.session_deadline_ms))
            {
                self.remove_member(&id, cx);
            }
        }
        if due(self.join_deadline_ms) {
            self.on_join_deadline(cx);
        }
        if due(self.sync_deadline_ms) {
            self.on_sync_deadline(cx);
        }
    }

    fn on_join_deadline(&mut self, cx: &mut Cx<'_>) {
        let delay_ms = cx.config.initial_rebalance_delay_ms;
        if let Some(initial) = &mut self.initial
            && initial.joined_since
            && initial.remaining_ms > 0
        {
            let step_ms = delay_ms.min(initial.remaining_ms);
            initial.remaining_ms -= step_ms;
            initial.joined_since = false;
            self.join_deadline_ms = Some(cx.now.mono_ms + step_ms);
            return;
        }
        self.complete_join(cx);
    }

    fn on_sync_deadline(&mut self, cx: &mut Cx<'_>) {
        self.sync_deadline_ms = None;
        let late = std::mem::take(&mut self.unsynced);
        if late.is_empty() {
            return;
        }
        late.iter().for_each(|id| self.drop_member(id, cx));
        if matches!(self.phase, Phase::CompletingRebalance | Phase::Stable) {
            self.prepare_rebalance(cx);
        }
    }
}
