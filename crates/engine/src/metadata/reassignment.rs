//! Replicas that move to other brokers (KIP-455).
//!
//! While they move a partition has the joint set of replicas: the target, then those to be removed. Whoever is added
//! fetches like any follower and joins the ISR when it has caught up.
//!
//! What must hold, whatever dies meanwhile: a replica is only taken away in a state whose remaining ISR has every
//! committed record on as many brokers as before. So the target replaces the joint set only when all of it is in the
//! ISR; and a move is taken back, or replaced by another, only where those in sync among the replicas that stay
//! are no fewer than `min.insync.replicas` asks for. Both are one atomic write with the leader's epoch ended, so that
//! nothing that a leader knows of a replica outlives that replica's log.

use super::state::without;
use super::{Image, Outcome, PartitionState, Reassignment, Rejection};
use crate::ids::BrokerId;

impl Image {
    pub(super) fn alter_reassignments(
        &mut self,
        partitions: &[Reassignment],
        allow_factor_change: bool,
    ) -> Outcome {
        Outcome::Each(
            partitions
                .iter()
                .map(|wish| self.alter_reassignment(wish, allow_factor_change))
                .collect(),
        )
    }

    fn alter_reassignment(
        &mut self,
        wish: &Reassignment,
        allow_factor_change: bool,
    ) -> Result<(), Rejection> {
        let id = wish.partition;
        let now = self
            .partition(id.topic, id.index)
            .ok_or(Rejection::UnknownTopicOrPartition)?
            .clone();
        let next = match &wish.target {
            None if !now.is_reassigned() => return Err(Rejection::NoReassignmentInProgress),
            None => moved(&now, now.original()),
            Some(target) => {
                self.check_target(&now, target, allow_factor_change)?;
                moved(&now, target.clone())
            }
        };
        let mut next = PartitionState {
            isr: kept_in_sync(&now, &next, wish)?,
            ..next
        };
        next.leader = self.leader_among(&next, &next.isr);
        let Some(next) = self.finish(id, &now, next) else {
            return Ok(());
        };
        let next = self.settled(id, &next, None).unwrap_or(next);
        self.set_partition(id, next);
        Ok(())
    }

    /// The checks of Kafka's controller, in its order and with its words.
    fn check_target(
        &self,
        now: &PartitionState,
        target: &[BrokerId],
        allow_factor_change: bool,
    ) -> Result<(), Rejection> {
        let invalid = |why: String| Err(Rejection::InvalidAssignment(why));
        if target.is_empty() {
            return invalid(
                "The manual partition assignment includes an empty replica list.".into(),
            );
        }
        for (i, broker) in target.iter().enumerate() {
            if self.broker(*broker).is_none() {
                return invalid(format!(
                    "The manual partition assignment includes broker {broker}, but no such broker is registered."
                ));
            }
            if target[..i].contains(broker) {
                return invalid(format!(
                    "The manual partition assignment includes the broker {broker} more than once."
                ));
            }
        }
        let factor = now.target().len();
        if !allow_factor_change && factor != target.len() {
            return Err(Rejection::InvalidReplicationFactor(format!(
                "The replication factor is changed from {factor} to {}",
                target.len()
            )));
        }
        Ok(())
    }

    /// The state after the reassignment, if that can end now: every replica of the target is in sync, and one of them
    /// can lead. A partition without a leader keeps all its replicas: any of them may have to help.
    pub(super) fn completed(&self, next: PartitionState) -> PartitionState {
        if !next.is_reassigned() {
            return next;
        }
        let target = next.target();
        if !target.iter().all(|b| next.is_in_sync(*b)) {
            return next;
        }
        let done = PartitionState {
            isr: target.clone(),
            replicas: target,
            adding: Vec::new(),
            removing: Vec::new(),
            ..next.clone()
        };
        match self.leader_among(&done, &done.isr) {
            Some(leader) => PartitionState {
                leader: Some(leader),
                ..done
            },
            None => next,
        }
    }
}

/// The joint set on the way to `target`. What an earlier reassignment was adding, and this one does not want, goes.
fn moved(now: &PartitionState, target: Vec<BrokerId>) -> PartitionState {
    let original = now.original();
    let adding = without(&target, &original);
    let removing = without(&original, &target);
    let mut replicas = target;
    replicas.extend(&removing);
    PartitionState {
        replicas,
        adding,
        removing,
        ..now.clone()
    }
}

/// The members of the ISR that `next` has replicas of, in its order; refused where they are too few, and somebody goes
/// who has what is committed.
fn kept_in_sync(
    now: &PartitionState,
    next: &PartitionState,
    wish: &Reassignment,
) -> Result<Vec<BrokerId>, Rejection> {
    let kept: Vec<_> = now
        .isr
        .iter()
        .copied()
        .filter(|b| next.has_replica(*b))
        .collect();
    let least = next.min_isr(usize::from(wish.min_insync_replicas));
    let goes = |b: &&BrokerId| now.is_eligible(**b) && !next.has_replica(**b);
    if !now.replicas.iter().any(|b| goes(&b)) || kept.len() >= least {
        return Ok(kept);
    }
    Err(Rejection::InvalidAssignment(format!(
        "Replicas that hold what is committed would be given up: of those that stay {} are in sync, and {least} must be. \
         Let them catch up first.",
        kept.len()
    )))
}
