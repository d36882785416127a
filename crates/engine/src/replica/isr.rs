//! What a leader asks the controller for: followers that have caught up join the ISR, those that lag leave it.
//!
//! The controller decides (KIP-497) and checks each member's incarnation (KIP-903). Until its word arrives, whoever
//! may have joined counts for the high watermark, and whoever was asked to leave counts still: the maximal ISR.

use super::{Leader, Progress, Replica, Role};
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};
use crate::metadata::{IsrMember, Rejection};

/// An ISR to ask the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "until its outcome is reported, no other change is proposed"]
pub struct IsrProposal {
    pub leader_epoch: LeaderEpoch,
    /// The state that it is meant to change. Any accepted proposal ends that state.
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<IsrMember>,
}

/// What has been asked for in the present partition epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    in_flight: bool,
    /// What has been asked for may still be granted: only a new partition epoch settles it.
    uncertain: bool,
    /// Everyone who has been asked for in this partition epoch.
    joining: Vec<BrokerId>,
}

impl Pending {
    pub(super) fn may_have_joined(&self, id: BrokerId) -> bool {
        self.joining.contains(&id)
    }
}

impl Replica {
    /// Notes which replicas the metadata calls active, and in which incarnation. No other may join.
    pub fn on_active_brokers(
        &mut self,
        active: impl Fn(BrokerId) -> Option<BrokerEpoch>,
        now_ms: u64,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.active = leader
                .replicas
                .iter()
                .filter_map(|id| Some((*id, active(*id)?)))
                .collect();
            self.advance_high_watermark(now_ms);
        }
    }

    /// The change that the ISR needs, if any; to be asked after fetches of followers and from time to time.
    /// Its outcome is reported with [`Replica::on_isr_refused`] or [`Replica::on_isr_unknown`]; a granted one shows in
    /// the metadata.
    pub fn propose_isr(&mut self, now_ms: u64) -> Option<IsrProposal> {
        let wanted = self.wanted_isr(now_ms)?;
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        let changes =
            wanted.len() != leader.isr.len() || wanted.iter().any(|id| !leader.isr.contains(id));
        if leader.pending.in_flight || !(changes || leader.pending.uncertain) {
            return None;
        }
        leader.pending.in_flight = true;
        let joining = wanted.iter().filter(|id| !leader.isr.contains(id));
        leader.pending.joining.extend(joining);
        Some(IsrProposal {
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: wanted.into_iter().map(|id| leader.member(id)).collect(),
        })
    }

    fn wanted_isr(&self, now_ms: u64) -> Option<Vec<BrokerId>> {
        let leader = self.leader()?;
        let lag_max_ms = self.options.lag_max_ms;
        let mut laggards: Vec<(BrokerId, Offset)> = Vec::new();
        let mut wanted: Vec<BrokerId> = Vec::new();
        for id in &leader.replicas {
            match leader.followers.get(id) {
                None => wanted.push(*id),
                Some(follower) if leader.isr.contains(id) => {
                    if follower.is_caught_up(self.log_end, now_ms, lag_max_ms) {
                        wanted.push(*id);
                    } else {
                        laggards.push((*id, follower.log_end.unwrap_or(Offset(0))));
                    }
                }
                Some(follower) if self.may_join(leader, *id, follower, now_ms) => wanted.push(*id),
                Some(_) => {}
            }
        }
        // An ISR below the minimum commits nothing, so leaving it would gain nothing: who left would be eligible still
        // (KIP-966).
        laggards.sort_by_key(|(id, end)| (*end, std::cmp::Reverse(*id)));
        while wanted.len() < self.min_isr(leader)
            && let Some((id, _)) = laggards.pop()
        {
            wanted.push(id);
        }
        wanted.sort_by_key(|id| leader.replicas.iter().position(|replica| replica == id));
        Some(wanted)
    }

    fn may_join(&self, leader: &Leader, id: BrokerId, follower: &Progress, now_ms: u64) -> bool {
        let has = |offset: Offset| follower.log_end.is_some_and(|end| end >= offset);
        leader.is_eligible(id)
            && follower.is_caught_up(self.log_end, now_ms, self.options.lag_max_ms)
            && has(self.high_watermark)
            && has(leader.epoch_start)
    }

    /// The controller has refused. Where the partition has changed, the metadata will tell how, and nothing is asked
    /// before. Another refusal settles nothing: it may be the answer to a second attempt, while the first is still on
    /// its way and is granted later.
    pub fn on_isr_refused(&mut self, proposal: &IsrProposal, rejection: &Rejection) {
        let is_settled = matches!(
            rejection,
            Rejection::InvalidUpdateVersion
                | Rejection::FencedLeaderEpoch
                | Rejection::UnknownTopicId
                | Rejection::UnknownTopicOrPartition
        );
        if !is_settled {
            self.on_isr_unknown(proposal);
        }
    }

    /// Nobody knows whether the controller has granted it or will.
    pub fn on_isr_unknown(&mut self, proposal: &IsrProposal) {
        if let Some(pending) = self.pending_of(proposal) {
            pending.in_flight = false;
            pending.uncertain = true;
        }
    }

    /// Where the proposal's partition epoch is over, its outcome no longer matters.
    fn pending_of(&mut self, proposal: &IsrProposal) -> Option<&mut Pending> {
        let current = proposal.leader_epoch == self.leader_epoch
            && proposal.partition_epoch == self.partition_epoch;
        match &mut self.role {
            Role::Leader(leader) if current => Some(&mut leader.pending),
            _ => None,
        }
    }
}

impl Leader {
    /// Whether the metadata knows the follower as active, in the incarnation that fetches.
    pub(super) fn is_eligible(&self, id: BrokerId) -> bool {
        let fetching = self.followers.get(&id).and_then(|f| f.broker_epoch);
        fetching.is_some() && self.active.get(&id).copied() == fetching
    }

    fn member(&self, broker: BrokerId) -> IsrMember {
        IsrMember {
            broker,
            epoch: self.followers.get(&broker).and_then(|f| f.broker_epoch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Opened;
    use crate::replica::sample::{
        ALL, INCARNATION, OPTIONS, activate, append, fetch, leading, state,
    };

    fn isr(proposal: Option<IsrProposal>) -> Option<Vec<i32>> {
        proposal.map(|p| p.isr.iter().map(|member| member.broker.0).collect())
    }

    /// 3 has caught up and is asked for.
    fn asking() -> (Replica, IsrProposal) {
        let mut leader = leading(ALL, &[1, 2]);
        append(&mut leader, 0, 0);
        fetch(&mut leader, 2, 5, 0);
        fetch(&mut leader, 3, 5, 0);
        activate(&mut leader, ALL, 0);
        let proposal = leader.propose_isr(0).expect("3 has caught up");
        (leader, proposal)
    }

    #[test]
    fn who_lags_for_too_long_leaves_and_of_those_that_must_stay_the_furthest_stays() {
        let replicas = &[1, 2, 3, 4];
        let mut leader = leading(replicas, replicas);
        append(&mut leader, 0, 0);
        append(&mut leader, 5, 0);
        for (id, end) in [(2, 4), (3, 5), (4, 5)] {
            fetch(&mut leader, id, end, 0);
        }
        assert_eq!(leader.propose_isr(1), None);
        // Two are the minimum.
        assert_eq!(isr(leader.propose_isr(2)), Some(vec![1, 3]));
    }

    #[test]
    fn who_has_caught_up_joins_in_the_incarnation_that_the_metadata_calls_active() {
        let mut leader = leading(ALL, &[1, 2]);
        append(&mut leader, 0, 0);
        activate(&mut leader, ALL, 0);
        fetch(&mut leader, 2, 5, 0);
        assert_eq!(leader.propose_isr(0), None, "3 has not fetched yet");
        fetch(&mut leader, 3, 5, 0);
        for active in [None, Some(BrokerEpoch(6))] {
            leader.on_active_brokers(|_| active, 0);
            assert_eq!(leader.propose_isr(0), None, "{active:?}");
        }
        activate(&mut leader, ALL, 0);
        let member = |id, epoch| IsrMember {
            broker: BrokerId(id),
            epoch,
        };
        let proposal = IsrProposal {
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            isr: vec![
                member(1, None),
                member(2, Some(INCARNATION)),
                member(3, Some(INCARNATION)),
            ],
        };
        assert_eq!(leader.propose_isr(0), Some(proposal));
    }

    #[test]
    fn who_does_not_tell_its_incarnation_does_not_join() {
        let mut leader = leading(ALL, &[1, 2]);
        leader.on_follower_fetch(BrokerId(3), None, Offset(0), 0);
        assert_eq!(leader.propose_isr(0), None);
    }

    #[test]
    fn who_lacks_what_is_committed_does_not_join_however_little_it_lags() {
        let mut leader = leading(ALL, &[1, 2]);
        append(&mut leader, 0, 0);
        fetch(&mut leader, 3, 5, 0);
        append(&mut leader, 5, 0);
        // 3 is not active yet, so it was not waited for.
        fetch(&mut leader, 2, 10, 0);
        assert_eq!(leader.high_watermark(), Offset(10));
        activate(&mut leader, ALL, 0);
        assert_eq!(leader.propose_isr(0), None);
        fetch(&mut leader, 3, 10, 0);
        assert_eq!(isr(leader.propose_isr(0)), Some(vec![1, 2, 3]));
    }

    #[test]
    fn who_lacks_what_there_was_at_the_election_does_not_join() {
        let log = Opened {
            log_end: Offset(10),
            ..Opened::default()
        };
        let mut leader = Replica::open(BrokerId(1), OPTIONS, log);
        leader.on_metadata(&state(ALL, ALL, 1), 0);
        // It was in the ISR a moment ago, so that it counts as one that has caught up.
        leader.on_metadata(&state(ALL, &[1, 2], 2), 0);
        activate(&mut leader, ALL, 0);
        fetch(&mut leader, 3, 9, 0);
        assert_eq!(leader.high_watermark(), Offset(0));
        assert_eq!(leader.propose_isr(0), None);
        fetch(&mut leader, 3, 10, 0);
        assert_eq!(isr(leader.propose_isr(0)), Some(vec![1, 2, 3]));
    }

    #[test]
    fn what_may_still_be_granted_is_taken_back_by_another_wish() {
        let (mut leader, proposal) = asking();
        assert_eq!(leader.propose_isr(0), None, "one at a time");
        // It counts as soon as it was asked for, and lags later.
        append(&mut leader, 5, 0);
        fetch(&mut leader, 2, 10, 9);
        assert_eq!(leader.high_watermark(), Offset(5));
        leader.on_isr_refused(&proposal, &Rejection::IneligibleReplica);
        assert_eq!(isr(leader.propose_isr(9)), Some(vec![1, 2]));
        assert_eq!(leader.high_watermark(), Offset(5));
        // The controller's word settles it.
        leader.on_metadata(&state(ALL, &[1, 2], 2), 9);
        assert_eq!(leader.high_watermark(), Offset(10));
        assert_eq!(leader.propose_isr(9), None);
    }

    #[test]
    fn where_the_partition_has_changed_nothing_is_asked_before_the_metadata_tells_how() {
        for rejection in [
            Rejection::InvalidUpdateVersion,
            Rejection::FencedLeaderEpoch,
            Rejection::UnknownTopicId,
            Rejection::UnknownTopicOrPartition,
        ] {
            let (mut leader, proposal) = asking();
            leader.on_isr_refused(&proposal, &rejection);
            assert_eq!(leader.propose_isr(0), None, "{rejection:?}");
            // What becomes of it does not matter any more then.
            leader.on_metadata(&state(ALL, &[1, 2], 2), 0);
            assert_eq!(isr(leader.propose_isr(0)), Some(vec![1, 2, 3]));
            leader.on_isr_unknown(&proposal);
            assert_eq!(leader.propose_isr(0), None, "the second is under way");
        }
    }
}
