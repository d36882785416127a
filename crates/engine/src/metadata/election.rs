//! Who leads a partition, and who stays in its ISR, when brokers come and go.

use std::sync::Arc;

use super::{Command, Image, Outcome, PartitionId, PartitionState, Rejection, Resource};
use crate::ids::BrokerId;

/// The config that lets a replica outside the ISR lead, at the price of records.
const UNCLEAN: &str = "unclean.leader.election.enable";

impl Image {
    /// Settles every partition that `broker` has a replica of, after the broker's state has changed.
    pub(super) fn settle_broker(&mut self, broker: BrokerId) {
        self.settle_where(|_, p| p.has_replica(broker));
    }

    /// Settles the leaderless partitions of one topic, or of all: their config may have become more lenient.
    pub(super) fn settle_leaderless(&mut self, topic: Option<wire::Uuid>) {
        self.settle_where(|id, p| p.leader.is_none() && topic.is_none_or(|t| t == id.topic));
    }

    fn settle_where(&mut self, wanted: impl Fn(PartitionId, &PartitionState) -> bool) {
        let changed: Vec<_> = self
            .partitions()
            .filter(|(id, p)| wanted(*id, p))
            .filter_map(|(id, p)| self.settled(id, p).map(|next| (id, next)))
            .collect();
        for (id, state) in changed {
            self.set_partition(id, state);
        }
    }

    /// The state that a partition should have given its brokers' states; none if it has it already.
    pub(super) fn settled(&self, id: PartitionId, now: &PartitionState) -> Option<PartitionState> {
        let mut next = now.clone();
        next.isr = self.remaining_isr(now);
        next.leader = self.leader_among(now, &next.isr);
        if next.leader.is_none() && self.allows_unclean_election(id) {
            next.leader = self.first_active(now.original());
            next.isr = next.leader.map_or(next.isr, |leader| vec![leader]);
        }
        finish(now, self.completed(next))
    }

    /// Who would lead although it may lack records. Never by itself one that a reassignment is only filling: that would
    /// not lose a few records but nearly all, and end the move, with which those who have them delete their logs.
    fn first_active(&self, replicas: Vec<BrokerId>) -> Option<BrokerId> {
        replicas.into_iter().find(|b| self.is_active(*b))
    }

    /// The ISR without those who should not be waited for. Its last member stays, whatever its state: it alone
    /// has every committed record.
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
        if unfenced.is_empty() {
            now.isr.clone()
        } else {
            unfenced
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
        let leader = self
            .first_active(now.original())
            .or_else(|| self.first_active(now.adding.clone()))
            .ok_or(Rejection::EligibleLeadersNotAvailable)?;
        let next = PartitionState {
            leader: Some(leader),
            isr: vec![leader],
            ..(*now).clone()
        };
        if let Some(next) = finish(&now, self.completed(next)) {
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
        if let Some(next) = finish(&now, next) {
            self.set_partition(id, next);
        }
        Ok(())
    }
}

/// How many partitions have got another leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elections {
    /// From the ISR.
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
                match may_let_in || then.is_in_sync(leader) {
                    true => elections.clean += 1,
                    false => elections.unclean += 1,
                }
            }
        }
        elections
    }
}

/// Sets the epochs of a changed state; none if nothing has changed.
pub(super) fn finish(now: &PartitionState, mut next: PartitionState) -> Option<PartitionState> {
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
