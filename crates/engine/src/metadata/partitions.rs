//! ISR changes on a leader's wish (KIP-497), checked against each member's broker epoch (KIP-903).

use super::state::without;
use super::{
    AlteredPartition, Image, IsrMember, Outcome, PartitionChange, PartitionId, PartitionState,
    Rejection,
};
use crate::ids::{BrokerEpoch, BrokerId};

impl Image {
    pub(super) fn alter_partitions(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        changes: &[PartitionChange],
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        Ok(Outcome::Altered(
            changes
                .iter()
                .map(|c| self.alter_partition(broker, c))
                .collect(),
        ))
    }

    fn alter_partition(
        &mut self,
        by: BrokerId,
        change: &PartitionChange,
    ) -> Result<AlteredPartition, Rejection> {
        let id = change.partition;
        let topic = self
            .topic_by_id(id.topic)
            .ok_or(Rejection::UnknownTopicId)?;
        let now = topic
            .partition(id.index)
            .ok_or(Rejection::UnknownTopicOrPartition)?
            .clone();
        check_change(&now, by, change)?;
        if !change.isr.iter().all(|m| self.may_be_in_sync(&now, m)) {
            return Err(Rejection::IneligibleReplica);
        }
        let isr = now
            .replicas
            .iter()
            .copied()
            .filter(|b| change.isr.iter().any(|m| m.broker == *b))
            .collect();
        let mut next = (*now).clone().with_isr(isr);
        // Any accepted change ends the partition epoch, one that changes nothing too: a delayed copy of an earlier
        // wish of the same epoch can then not be granted any more.
        next = self
            .finish(id, &now, next)
            .unwrap_or_else(|| PartitionState {
                partition_epoch: now.partition_epoch.next(),
                ..(*now).clone()
            });
        // A leader that should not lead could only go on until the ISR had another member.
        if let Some(better) = self.settled(id, &next, None) {
            next = better;
        }
        let answer = AlteredPartition {
            partition: id,
            leader: next.leader,
            leader_epoch: next.leader_epoch,
            isr: next.isr.clone(),
            partition_epoch: next.partition_epoch,
        };
        self.set_partition(id, next);
        Ok(answer)
    }

    /// Whether the ISR can do without a member that drops its log. The rest must be able to commit, as it would still count
    /// as one that has everything; and two must be left: what the disk of a single one has changed, nobody would have.
    pub fn may_leave_partition(&self, broker: BrokerId, id: PartitionId) -> bool {
        let Some(now) = self.partition(id.topic, id.index) else {
            return false;
        };
        let others = without(&now.isr, &[broker]);
        let least = now.min_isr(self.min_insync_replicas(id)).max(2);
        others.len() >= least && others.iter().any(|b| self.is_active(*b))
    }

    /// Takes a replica out of the ISR whose log will be dropped and filled anew, where it may leave. The leader's epoch ends,
    /// although the leader may stay: what it knows of the replica must not outlive that log, and what it has asked for by
    /// that must not be granted.
    pub(super) fn leave_partition(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        id: PartitionId,
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        let now = self
            .partition(id.topic, id.index)
            .ok_or(Rejection::UnknownTopicOrPartition)?
            .clone();
        if !self.may_leave_partition(broker, id) {
            return Err(Rejection::IneligibleReplica);
        }
        let others = without(&now.isr, &[broker]);
        let mut next = (*now).clone().with_isr(others);
        next.leader = self.leader_among(&next, &next.isr);
        next.elr.clear();
        next.last_known_elr.clear();
        next.leader_epoch = now.leader_epoch.next();
        next.partition_epoch = now.partition_epoch.next();
        self.set_partition(id, next);
        Ok(Outcome::Done)
    }

    /// Members may stay; whoever joins must be fit, and in the incarnation that the leader has seen fetch.
    fn may_be_in_sync(&self, now: &PartitionState, member: &IsrMember) -> bool {
        let Some(broker) = self.broker(member.broker) else {
            return false;
        };
        let same_incarnation = member.epoch.is_none_or(|epoch| epoch == broker.epoch);
        same_incarnation && (now.is_in_sync(member.broker) || broker.is_active())
    }
}

/// The checks that need only the partition's own state, in the order of Kafka's controller.
fn check_change(
    now: &PartitionState,
    by: BrokerId,
    change: &PartitionChange,
) -> Result<(), Rejection> {
    if change.leader_epoch > now.leader_epoch || change.partition_epoch > now.partition_epoch {
        return Err(Rejection::NotController);
    }
    if change.leader_epoch < now.leader_epoch {
        return Err(Rejection::FencedLeaderEpoch);
    }
    if now.leader != Some(by) {
        return Err(Rejection::InvalidRequest(
            "only the leader may change the ISR".into(),
        ));
    }
    if change.partition_epoch < now.partition_epoch {
        return Err(Rejection::InvalidUpdateVersion);
    }
    if !change.isr.iter().any(|m| m.broker == by) {
        return Err(Rejection::InvalidRequest(
            "the ISR must have its leader".into(),
        ));
    }
    if !change.isr.iter().all(|m| now.has_replica(m.broker)) {
        return Err(Rejection::InvalidRequest(
            "the ISR must consist of replicas".into(),
        ));
    }
    Ok(())
}
