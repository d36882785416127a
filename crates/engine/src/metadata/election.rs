//! Who leads a partition, and who stays in its ISR, when brokers come and go.
//!
//! Who has all that is committed (KIP-966): the ISR, and the eligible leader replicas, which have left it since it fell below
//! `min.insync.replicas`. A leader whose ISR is below commits nothing, so they miss nothing. Whoever loses its memory
//! leaves both in the write that registers it, before anybody is elected.
//!
//! Programs before that kept the last member in the ISR, whatever became of it. Entries that they wrote are applied by their
//! rules ([`Image::keeps_elr`]): a node that reads them again must come to what another has in a snapshot of that time.

use std::sync::Arc;

use super::{Command, Image, Outcome, PartitionId, PartitionState, Rejection, Resource};
use crate::ids::BrokerId;

/// The config that lets a replica outside the ISR lead, at the price of records.
const UNCLEAN: &str = "unclean.leader.election.enable";

/// A broker that has lost what it had only in memory.
#[derive(Clone, Copy)]
pub(super) struct Lost {
    broker: BrokerId,
    same_disks: bool,
}

impl Image {
    /// Settles every partition that `broker` has a replica of, after the broker's state has changed.
    pub(super) fn settle_broker(&mut self, broker: BrokerId) {
        self.settle_where(|_, p| p.has_replica(broker), None);
    }

    /// The same for one that has lost what it had only in memory, and unless it has the `same_disks`, all.
    pub(super) fn settle_unclean(&mut self, broker: BrokerId, same_disks: bool) {
        let lost = Lost { broker, same_disks };
        self.settle_where(|_, p| p.has_replica(broker), Some(lost));
    }

    /// Settles those partitions of one topic, or of all, for which a changed config may decide otherwise: it lets more
    /// replicas lead, or fewer be an ISR.
    pub(super) fn settle_config(&mut self, topic: Option<wire::Uuid>) {
        let depends = |p: &PartitionState| {
            p.leader.is_none() || !p.elr.is_empty() || !p.last_known_elr.is_empty()
        };
        let wanted =
            |id: PartitionId, p: &PartitionState| topic.is_none_or(|t| t == id.topic) && depends(p);
        self.settle_where(wanted, None);
    }

    fn settle_where(
        &mut self,
        wanted: impl Fn(PartitionId, &PartitionState) -> bool,
        unclean: Option<Lost>,
    ) {
        let changed: Vec<_> = self
            .partitions()
            .filter(|(id, p)| wanted(*id, p))
            .filter_map(|(id, p)| self.settled(id, p, unclean).map(|next| (id, next)))
            .collect();
        for (id, state) in changed {
            self.set_partition(id, state);
        }
    }

    /// The state that a partition should have given its brokers' states, of which one may have lost its memory; none if
    /// it has that state already.
    pub(super) fn settled(
        &self,
        id: PartitionId,
        now: &PartitionState,
        unclean: Option<Lost>,
    ) -> Option<PartitionState> {
        let mut next = now.clone();
        let unclean = unclean.filter(|_| self.keeps_elr());
        if let Some(lost) = unclean.filter(|lost| self.loses_records(id, now, *lost)) {
            next = next.without_member(lost.broker);
        }
        let remaining = self.remaining_isr(&next);
        next = next.with_isr(remaining);
        next.leader = self.leader_among(&next, &next.isr);
        if next.leader.is_none() && self.keeps_elr() {
            next = self.led_by_eligible(next);
        }
        if next.leader.is_none() && self.allows_unclean_election(id) {
            next = self.led_uncleanly(next);
        }
        self.finish(id, now, self.completed(next))
    }

    /// Led by one of those who have left the ISR with all that is committed, if one is alive.
    fn led_by_eligible(&self, next: PartitionState) -> PartitionState {
        match self.leader_among(&next, &next.elr) {
            Some(leader) => PartitionState {
                leader: Some(leader),
                ..next.with_isr(vec![leader])
            },
            None => next,
        }
    }

    /// Led by one that may lack committed records, if one is alive.
    fn led_uncleanly(&self, next: PartitionState) -> PartitionState {
        match self.unclean_leader(&next) {
            Some(leader) => next.begun_anew_by(leader),
            None => next,
        }
    }

    /// Whether a broker that has lost its memory may lack committed records of a partition. Not where each of them was on
    /// its disk before it counted, and the disk is there. And where nobody else has a replica, nobody has more: it stays,
    /// as there is nothing to wait for.
    fn loses_records(&self, id: PartitionId, now: &PartitionState, lost: Lost) -> bool {
        let broker = lost.broker;
        let flushed = lost.same_disks && self.topic_by_id(id.topic).is_some_and(|t| t.flushed);
        let alone = now.original() == [broker]
            && now
                .replicas
                .iter()
                .all(|b| *b == broker || !now.is_eligible(*b));
        !flushed && !alone
    }

    /// Who leads where nobody does who has all that is committed: who had it last, then anybody. Never by itself one that
    /// a reassignment is only filling: that would not lose a few records but nearly all, and end the move, with which
    /// those who have them delete their logs.
    fn unclean_leader(&self, now: &PartitionState) -> Option<BrokerId> {
        let original = now.original();
        let last = now.last_known_elr.iter().filter(|b| original.contains(b));
        last.chain(&original).copied().find(|b| self.is_active(*b))
    }

    /// The ISR without those who should not be waited for.
    fn remaining_isr(&self, now: &PartitionState) -> Vec<BrokerId> {
        let only = |keep: &dyn Fn(BrokerId) -> bool| -> Vec<BrokerId> {
            now.isr.iter().copied().filter(|b| keep(*b)).collect()
        };
        // One that is leaving is needed until it goes.
        let well = only(&|b| self.is_well(b));
        if !well.is_empty() {
            return well;
        }
        let unfenced = only(&|b| self.is_unfenced(b));
        match unfenced.is_empty() && !self.keeps_elr() {
            true => now.isr.clone(),
            false => unfenced,
        }
    }

    /// Keeps the leader if it is fit, else takes the first fit member of the ISR in the order of the assignment.
    /// Where nobody is fit, an unfit but unfenced leader is better than none.
    pub(super) fn leader_among(&self, now: &PartitionState, isr: &[BrokerId]) -> Option<BrokerId> {
        let sitting = now.leader.filter(|b| isr.contains(b));
        let in_order = || now.replicas.iter().copied().filter(|b| isr.contains(b));
        sitting
            .filter(|b| self.is_active(*b))
            .or_else(|| in_order().find(|b| self.is_active(*b)))
            .or_else(|| sitting.filter(|b| self.is_well(*b)))
            .or_else(|| in_order().find(|b| self.is_well(*b)))
            .or_else(|| sitting.filter(|b| self.is_unfenced(*b)))
            .or_else(|| in_order().find(|b| self.is_unfenced(*b)))
    }

    fn allows_unclean_election(&self, id: PartitionId) -> bool {
        let Some(topic) = self.topic_by_id(id.topic) else {
            return false;
        };
        let of_topic = self.config(&Resource::Topic(topic.name.to_string()), UNCLEAN);
        let set = of_topic.or_else(|| self.config(&Resource::AllBrokers, UNCLEAN));
        set.map_or(self.unclean_by_default, |value| {
            value.eq_ignore_ascii_case("true")
        })
    }

    /// Elects whoever is alive for partitions without a leader: of their ISR nobody is.
    pub(super) fn elect_unclean(&mut self, partitions: &[PartitionId]) -> Outcome {
        Outcome::Elected(
            partitions
                .iter()
                .map(|id| self.elect_unclean_one(*id))
                .collect(),
        )
    }

    fn elect_unclean_one(&mut self, id: PartitionId) -> Result<(), Rejection> {
        let now = self
            .partition(id.topic, id.index)
            .ok_or(Rejection::UnknownTopicOrPartition)?
            .clone();
        if now.leader.is_some() {
            return Err(Rejection::ElectionNotNeeded);
        }
        // Whoever asks for it may even have one that is only being filled, if there is no other.
        let filled = || now.adding.iter().copied().find(|b| self.is_active(*b));
        let leader = self
            .unclean_leader(&now)
            .or_else(filled)
            .ok_or(Rejection::EligibleLeadersNotAvailable)?;
        let next = (*now).clone().begun_anew_by(leader);
        if let Some(next) = self.finish(id, &now, self.completed(next)) {
            self.set_partition(id, next);
        }
        Ok(())
    }

    /// Gives partitions back to their preferred replicas.
    pub(super) fn elect_preferred(&mut self, partitions: &[PartitionId]) -> Outcome {
        Outcome::Elected(
            partitions
                .iter()
                .map(|id| self.elect_preferred_one(*id))
                .collect(),
        )
    }

    fn elect_preferred_one(&mut self, id: PartitionId) -> Result<(), Rejection> {
        let now = self
            .partition(id.topic, id.index)
            .ok_or(Rejection::UnknownTopicOrPartition)?
            .clone();
        let preferred = now
            .preferred()
            .ok_or(Rejection::PreferredLeaderNotAvailable)?;
        if now.leader == Some(preferred) {
            return Err(Rejection::ElectionNotNeeded);
        }
        if !now.is_in_sync(preferred) || !self.is_active(preferred) {
            return Err(Rejection::PreferredLeaderNotAvailable);
        }
        let next = PartitionState {
            leader: Some(preferred),
            ..(*now).clone()
        };
        if let Some(next) = self.finish(id, &now, next) {
            self.set_partition(id, next);
        }
        Ok(())
    }

    /// Sets what follows for the ELR and the epochs of a changed state; none if nothing has changed.
    pub(super) fn finish(
        &self,
        id: PartitionId,
        now: &PartitionState,
        mut next: PartitionState,
    ) -> Option<PartitionState> {
        // Whoever is not in an ISR that commits may miss what it commits.
        let least = next.min_isr(self.min_insync_replicas(id));
        if next.isr.len() >= least || !self.keeps_elr() {
            next.elr.clear();
            next.last_known_elr.clear();
        }
        next.trim_elr();
        if next == *now {
            return None;
        }
        let loses_a_replica = now.replicas.iter().any(|b| !next.has_replica(*b));
        if next.leader != now.leader || loses_a_replica {
            next.leader_epoch = now.leader_epoch.next();
        }
        next.partition_epoch = now.partition_epoch.next();
        Some(next)
    }
}

/// How many partitions have got another leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elections {
    /// From the ISR or the ELR.
    pub clean: u64,
    /// From outside of it, at the price of records.
    pub unclean: u64,
}

impl Image {
    /// The elections that `command` has brought, which has made this image out of `before`.
    ///
    /// It takes each command by itself: whoever only compares two images cannot tell a leader that has joined the ISR in
    /// between from one that never was in it. A leader's wish is such a change within one command: with the last
    /// replica that it lets in a move may end, and that replica may lead from then on.
    pub fn elections(&self, before: &Image, command: &Command) -> Elections {
        let mut elections = Elections::default();
        let may_let_in = matches!(command, Command::AlterPartitions { .. });
        for (id, topic) in self.topics.iter() {
            let Some(then) = before.topics.get(id).filter(|t| !Arc::ptr_eq(t, topic)) else {
                continue;
            };
            for (now, then) in topic.partitions.iter().zip(&then.partitions) {
                let Some(leader) = now.leader.filter(|leader| then.leader != Some(*leader)) else {
                    continue;
                };
                match may_let_in || then.is_eligible(leader) {
                    true => elections.clean += 1,
                    false => elections.unclean += 1,
                }
            }
        }
        elections
    }
}
