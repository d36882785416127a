//! What a leader knows beyond its log: the ISR, how far each follower is, and the change it has asked for.

use std::collections::BTreeMap;

use wire::batch::BatchHeader;

use super::isr::Pending;
use super::refusals::Refusals;
use crate::ids::{BrokerEpoch, BrokerId, Offset};
use crate::metadata::PartitionState;
use crate::producer::Producers;

/// A follower as its fetches show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// It has everything below, and where `flush.messages=1` on disk; none before its first fetch of this epoch.
    pub log_end: Option<Offset>,
    /// When it had everything that the leader had, for all that the leader can know.
    pub caught_up_ms: Option<u64>,
    pub(super) fetched_ms: u64,
    /// The leader's log end at its last fetch: reaching it later means it had caught up by then.
    pub(super) leader_end_at_fetch: Offset,
    /// The incarnation that fetches (KIP-903).
    pub broker_epoch: Option<BrokerEpoch>,
}

impl Progress {
    pub(super) fn new(caught_up_ms: Option<u64>) -> Progress {
        Progress {
            log_end: None,
            caught_up_ms,
            fetched_ms: 0,
            leader_end_at_fetch: Offset(0),
            broker_epoch: None,
        }
    }

    pub(super) fn on_fetch(&mut self, offset: Offset, leader_end: Offset, now_ms: u64) {
        if offset >= leader_end {
            self.caught_up_ms = self.caught_up_ms.max(Some(now_ms));
        } else if self.log_end.is_some() && offset >= self.leader_end_at_fetch {
            self.caught_up_ms = self.caught_up_ms.max(Some(self.fetched_ms));
        }
        self.log_end = Some(offset);
        self.fetched_ms = now_ms;
        self.leader_end_at_fetch = leader_end;
    }

    /// Whether it is at the log end, or was within the time that a follower may lag.
    pub(super) fn is_caught_up(&self, leader_end: Offset, now_ms: u64, lag_max_ms: u64) -> bool {
        self.log_end == Some(leader_end)
            || self
                .caught_up_ms
                .is_some_and(|at| now_ms.saturating_sub(at) <= lag_max_ms)
    }
}

/// What was sent before a leader was one is answered or sent again within this: a Java client's `request.timeout.ms`.
const UNDER_WAY_MS: u64 = 30_000;

/// The state of a leadership.
#[derive(Clone, Debug)]
pub struct Leader {
    me: BrokerId,
    since_ms: u64,
    /// Where its epoch begins.
    pub(super) epoch_start: Offset,
    pub(super) replicas: Vec<BrokerId>,
    /// How many of them are not only being added by a reassignment.
    pub(super) factor: usize,
    pub(super) isr: Vec<BrokerId>,
    pub(super) followers: BTreeMap<BrokerId, Progress>,
    pub(super) pending: Pending,
    /// The replicas that the metadata calls active, with their incarnations.
    pub(super) active: BTreeMap<BrokerId, BrokerEpoch>,
    pub(super) refusals: Refusals,
}

impl Leader {
    pub(super) fn new(
        me: BrokerId,
        state: &PartitionState,
        log_end: Offset,
        now_ms: u64,
    ) -> Leader {
        let mut leader = Leader {
            me,
            since_ms: now_ms,
            epoch_start: log_end,
            replicas: Vec::new(),
            factor: 0,
            isr: Vec::new(),
            followers: BTreeMap::new(),
            pending: Pending::default(),
            active: BTreeMap::new(),
            refusals: Refusals::default(),
        };
        // Who is in the ISR gets the whole lag time before it is judged.
        for member in &state.isr {
            leader
                .followers
                .insert(*member, Progress::new(Some(now_ms)));
        }
        leader.on_state(state);
        leader
    }

    /// Takes in the controller's word; what was pending in the state before is settled by it.
    pub(super) fn on_state(&mut self, state: &PartitionState) {
        self.replicas.clone_from(&state.replicas);
        self.factor = state.factor();
        self.isr.clone_from(&state.isr);
        self.pending = Pending::default();
        self.followers
            .retain(|id, _| state.replicas.contains(id) && *id != self.me);
        for id in state.replicas.iter().filter(|id| **id != self.me) {
            self.followers
                .entry(*id)
                .or_insert_with(|| Progress::new(None));
        }
    }

    /// Whether a batch that skips sequences may be behind another one that was sent to the leader before this one, or to this
    /// one when it was none yet, and comes again: its producer has nothing in the log since. Of a producer that the log does
    /// not know that is any but the first: taken, it would leave no place for those before it.
    pub(super) fn may_be_behind_another(
        &self,
        header: &BatchHeader,
        producers: &Producers,
        now_ms: u64,
    ) -> bool {
        now_ms.saturating_sub(self.since_ms) < UNDER_WAY_MS
            && match producers.skipped_since(header) {
                Some(last) => last < self.epoch_start,
                None => producers.begins_late(header),
            }
    }

    pub fn replicas(&self) -> &[BrokerId] {
        &self.replicas
    }

    /// How many replicas there are, without those that a reassignment is only adding.
    pub fn factor(&self) -> usize {
        self.factor
    }

    /// The ISR as the controller has confirmed it.
    pub fn isr(&self) -> &[BrokerId] {
        &self.isr
    }

    pub fn followers(&self) -> impl Iterator<Item = (BrokerId, &Progress)> {
        self.followers.iter().map(|(id, p)| (*id, p))
    }

    /// Whether a replica counts for the high watermark: it is in the ISR, or in one that has been asked for and may
    /// have been granted.
    pub(super) fn is_in_maximal_isr(&self, id: BrokerId) -> bool {
        self.isr.contains(&id) || self.pending.may_have_joined(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::sample::{ALL, fetch, leading, progress, state};

    #[test]
    fn who_reaches_what_there_was_at_its_last_fetch_had_everything_then() {
        let mut follower = Progress::new(None);
        for (offset, leader_end, now_ms, caught_up_ms) in [
            // Of what there was before the first one nothing is known.
            (3, 10, 100, None),
            (9, 20, 200, None),
            (20, 30, 300, Some(200)),
            (29, 40, 400, Some(200)),
            (40, 40, 500, Some(500)),
            (40, 50, 600, Some(500)),
        ] {
            follower.on_fetch(Offset(offset), Offset(leader_end), now_ms);
            assert_eq!(follower.caught_up_ms, caught_up_ms, "at {now_ms}");
        }
    }

    #[test]
    fn who_is_not_at_the_end_has_caught_up_for_as_long_as_it_may_lag() {
        let mut follower = Progress::new(None);
        assert!(!follower.is_caught_up(Offset(40), 500, 10));
        follower.on_fetch(Offset(40), Offset(40), 500);
        assert!(follower.is_caught_up(Offset(40), 900, 10));
        assert!(follower.is_caught_up(Offset(41), 510, 10));
        assert!(!follower.is_caught_up(Offset(41), 511, 10));
    }

    #[test]
    fn what_a_leader_knows_of_a_replica_ends_when_that_goes() {
        let mut replica = leading(ALL, ALL);
        for id in [2, 3] {
            fetch(&mut replica, id, 0, 7);
        }
        let moving = PartitionState {
            adding: vec![BrokerId(4)],
            ..state(&[4, 1, 3], &[1, 3], 2)
        };
        replica.on_metadata(&moving, 8);
        let leader = replica.leader().expect("it leads");
        assert_eq!(leader.factor(), 2);
        assert_eq!(leader.replicas(), [4, 1, 3].map(BrokerId));
        let followers: Vec<_> = leader.followers().map(|(id, _)| id).collect();
        assert_eq!(followers, [3, 4].map(BrokerId));
        assert_eq!(progress(&replica, 3).caught_up_ms, Some(7));
        replica.on_metadata(&state(ALL, &[1, 3], 3), 9);
        assert_eq!(progress(&replica, 2), Progress::new(None));
    }
}
