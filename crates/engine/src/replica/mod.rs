//! One replica of a partition: every decision that it takes as leader and as follower, as plain functions of data.
//!
//! Whoever drives it owns the log. A decision that changes the log comes as a plan; the driver carries it out and
//! says so with the matching `on_*` call, and only then has the replica changed. Time comes in as milliseconds of a
//! clock that never goes back.

mod append;
mod error;
mod fetch;
mod follow;
mod isr;
mod leader;
mod refusals;
#[cfg(test)]
mod sample;
mod watermark;

use crate::epochs::Epochs;
use crate::ids::{BrokerId, LeaderEpoch, Offset, PartitionEpoch, ProducerId};
use crate::metadata::PartitionState;
use crate::producer::Producers;

pub use append::{Acks, AppendPlan, Duplicate, Write};
pub use error::Error;
pub use fetch::{FetchPlan, FetchQuery, Reader};
pub use follow::{FetchPosition, Fetched, FollowError, FollowPlan, Replicated};
pub use isr::IsrProposal;
pub use leader::{Leader, Progress};
pub use watermark::Commitment;

/// What a topic's and the broker's configuration say about a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `min.insync.replicas`; counted as at most the number of replicas.
    pub min_insync_replicas: usize,
    /// `flush.messages=1`: an offset counts for the high watermark only where it is fsynced.
    pub flush_each: bool,
    /// `replica.lag.time.max.ms`: how long a follower may lag before it leaves the ISR.
    pub lag_max_ms: u64,
}

/// A log as recovery has found it.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    pub log_start: Offset,
    pub log_end: Offset,
    /// Everything below is known to be on disk.
    pub flushed: Offset,
    /// From the checkpoint; may be older or, after a torn tail, beyond the log end.
    pub high_watermark: Offset,
    pub epochs: Epochs,
    pub producers: Producers,
}

/// What a replica is at the moment.
#[derive(Clone, Debug)]
pub enum Role {
    /// Not told yet, or the partition has no leader.
    Idle,
    Leader(Leader),
    Follower {
        leader: BrokerId,
    },
}

/// What a change of the metadata has made of the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Older than what is known already, or no change.
    None,
    /// Still the leader, of another ISR or assignment.
    LeaderChanged,
    BecameLeader,
    BecameFollower,
    BecameIdle,
    /// The log has records of this epoch from an earlier life of this broker, so that it must not be written to under
    /// the same epoch again. The controller gives every new incarnation a new epoch, so this is a fault of its.
    Refused,
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Replica {
    me: BrokerId,
    options: Options,
    log_start: Offset,
    log_end: Offset,
    flushed: Offset,
    high_watermark: Offset,
    epochs: Epochs,
    producers: Producers,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    /// Whether the metadata says that it has all that is committed: it may be elected.
    is_relied_on: bool,
    role: Role,
}

impl Replica {
    pub fn open(me: BrokerId, options: Options, log: Opened) -> Replica {
        assert!(log.log_start <= log.log_end, "a log ends before it starts");
        Replica {
            me,
            options,
            log_start: log.log_start,
            log_end: log.log_end,
            flushed: log.flushed.min(log.log_end),
            high_watermark: log.high_watermark.clamp(log.log_start, log.log_end),
            epochs: log.epochs,
            producers: log.producers,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch(-1),
            is_relied_on: true,
            role: Role::Idle,
        }
    }

    /// Follows the metadata: the only way to become a leader or a follower.
    pub fn on_metadata(&mut self, state: &PartitionState, now_ms: u64) -> Transition {
        if state.partition_epoch <= self.partition_epoch || state.leader_epoch < self.leader_epoch {
            return Transition::None;
        }
        let new_epoch = state.leader_epoch > self.leader_epoch;
        self.partition_epoch = state.partition_epoch;
        self.leader_epoch = state.leader_epoch;
        self.is_relied_on = state.isr.contains(&self.me) || state.elr.contains(&self.me);
        match state.leader {
            Some(leader) if leader == self.me => self.on_leadership(state, new_epoch, now_ms),
            Some(leader) => self.on_followership(leader, new_epoch),
            None => {
                let was_idle = matches!(self.role, Role::Idle);
                self.role = Role::Idle;
                if was_idle {
                    Transition::None
                } else {
                    Transition::BecameIdle
                }
            }
        }
    }

    fn on_leadership(
        &mut self,
        state: &PartitionState,
        new_epoch: bool,
        now_ms: u64,
    ) -> Transition {
        if let (Role::Leader(leader), false) = (&mut self.role, new_epoch) {
            leader.on_state(state);
            self.advance_high_watermark(now_ms);
            return Transition::LeaderChanged;
        }
        if self
            .epochs
            .latest()
            .is_some_and(|latest| latest >= state.leader_epoch)
        {
            self.role = Role::Idle;
            return Transition::Refused;
        }
        self.epochs.assign(state.leader_epoch, self.log_end);
        self.role = Role::Leader(Leader::new(self.me, state, self.log_end, now_ms));
        self.advance_high_watermark(now_ms);
        Transition::BecameLeader
    }

    fn on_followership(&mut self, leader: BrokerId, new_epoch: bool) -> Transition {
        let same = matches!(self.role, Role::Follower { leader: now } if now == leader);
        self.role = Role::Follower { leader };
        // A leadership of its own that wrote nothing leaves no trace: the leader's records may be of earlier epochs.
        self.epochs.truncate_end(self.log_end);
        if same && !new_epoch {
            Transition::None
        } else {
            Transition::BecameFollower
        }
    }

    /// Takes in a changed configuration, to be followed by [`Replica::on_metadata`] and [`Replica::on_active_brokers`] of the
    /// same metadata. Nothing is committed in between: a smaller `min.insync.replicas` says nothing about an ISR of which
    /// it is not known yet that it is over, and whose members are not eligible any more.
    pub fn on_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Everything below `offset` has been fsynced.
    pub fn on_flushed(&mut self, offset: Offset, now_ms: u64) {
        self.flushed = self.flushed.max(offset).min(self.log_end);
        self.advance_high_watermark(now_ms);
    }

    /// Retention has deleted what is below `offset`, which is never above the high watermark.
    pub fn on_log_start(&mut self, offset: Offset) {
        if offset > self.log_start {
            self.log_start = offset;
            self.epochs.truncate_start(offset);
        }
    }

    /// The log has forgotten producers that were silent for too long.
    pub fn on_producers_forgotten(&mut self, gone: impl IntoIterator<Item = ProducerId>) {
        for producer in gone {
            self.producers.forget(producer);
        }
    }

    pub fn options(&self) -> Options {
        self.options
    }

    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The leader's part, where this replica leads.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    pub fn is_leader(&self) -> bool {
        self.leader().is_some()
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    pub fn flushed(&self) -> Offset {
        self.flushed
    }

    /// Records below are committed: consumers see them, and no failover loses them.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Records below belong to no open transaction. The high watermark, as long as there are no transactions.
    pub fn last_stable_offset(&self) -> Offset {
        self.high_watermark
    }

    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    fn leader_or_refuse(&self) -> Result<&Leader, Error> {
        self.leader().ok_or(Error::NotLeader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epochs::EpochStart;
    use crate::producer;
    use crate::replica::sample::{ALL, OPTIONS, append, batch, leading, state};

    /// Records from 10 to 20; those before 15 are of epoch 1, of which older ones have been deleted.
    fn found() -> Replica {
        let epochs = [(1, 5), (3, 15)].map(|(epoch, start)| EpochStart {
            epoch: LeaderEpoch(epoch),
            start: Offset(start),
        });
        let log = Opened {
            log_start: Offset(10),
            log_end: Offset(20),
            flushed: Offset(18),
            high_watermark: Offset(16),
            epochs: Epochs::new(epochs),
            producers: Producers::default(),
        };
        Replica::open(BrokerId(1), OPTIONS, log)
    }

    /// Whether the leader takes the batch of producer 7 that begins with `sequence`.
    fn takes(leader: &mut Replica, sequence: i32, acks: Acks) -> Result<(), Error> {
        match leader.plan_append(&batch(0, sequence), acks, 0)? {
            AppendPlan::Write(_) => Ok(()),
            AppendPlan::Duplicate(known) => panic!("it never came: {known:?}"),
        }
    }

    #[test]
    fn a_replica_tells_how_far_its_log_goes_on_disk_and_is_committed() {
        let mut replica = found();
        assert_eq!(replica.log_start(), Offset(10));
        assert_eq!(replica.log_end(), Offset(20));
        assert_eq!(replica.flushed(), Offset(18));
        assert_eq!(replica.high_watermark(), Offset(16));
        assert_eq!(replica.last_stable_offset(), Offset(16));
        // What has been written since is not on disk before its fsync.
        replica.on_flushed(Offset(25), 0);
        assert_eq!(replica.flushed(), Offset(20));
        replica.on_flushed(Offset(12), 0);
        assert_eq!(replica.flushed(), Offset(20));
    }

    #[test]
    fn a_log_start_only_moves_forward_and_the_epochs_go_with_it() {
        let mut replica = found();
        for (offset, start, epochs) in [
            // Nothing is forgotten for a start that is known.
            (8, 10, vec![(1, 5), (3, 15)]),
            (10, 10, vec![(1, 5), (3, 15)]),
            (12, 12, vec![(1, 12), (3, 15)]),
            (17, 17, vec![(3, 17)]),
        ] {
            replica.on_log_start(Offset(offset));
            assert_eq!(replica.log_start(), Offset(start));
            let entries = replica.epochs().entries().iter();
            let seen: Vec<_> = entries.map(|e| (e.epoch.0, e.start.0)).collect();
            assert_eq!(seen, epochs, "from {offset}");
        }
    }

    #[test]
    fn older_metadata_is_passed_over() {
        let mut replica = leading(ALL, ALL);
        let newer = state(ALL, &[1, 2], 4);
        assert_eq!(replica.on_metadata(&newer, 0), Transition::LeaderChanged);
        assert_eq!(replica.partition_epoch(), PartitionEpoch(4));
        for partition_epoch in [3, 4] {
            let older = state(ALL, ALL, partition_epoch);
            assert_eq!(replica.on_metadata(&older, 0), Transition::None);
        }
        assert_eq!(replica.partition_epoch(), PartitionEpoch(4));
        let isr = replica.leader().map(Leader::isr);
        assert_eq!(isr, Some(&[BrokerId(1), BrokerId(2)][..]));
    }

    #[test]
    fn a_follower_becomes_one_anew_with_each_leadership_and_not_with_each_isr() {
        let mut replica = Replica::open(BrokerId(2), OPTIONS, Opened::default());
        let again = PartitionState {
            leader_epoch: LeaderEpoch(2),
            ..state(ALL, ALL, 3)
        };
        for (told, expected) in [
            (state(ALL, ALL, 1), Transition::BecameFollower),
            (state(ALL, &[1, 2], 2), Transition::None),
            (again, Transition::BecameFollower),
        ] {
            assert_eq!(replica.on_metadata(&told, 0), expected, "{told:?}");
        }
    }

    #[test]
    fn a_changed_minimum_decides_what_is_taken_with_acks_all() {
        let mut leader = leading(ALL, &[1]);
        let refused = Err(Error::NotEnoughReplicas);
        assert_eq!(takes(&mut leader, 0, Acks::All), refused);
        leader.on_options(Options {
            min_insync_replicas: 1,
            ..OPTIONS
        });
        assert_eq!(takes(&mut leader, 0, Acks::All), Ok(()));
        leader.on_options(OPTIONS);
        assert_eq!(takes(&mut leader, 0, Acks::All), refused);
    }

    #[test]
    fn a_producer_that_the_log_has_forgotten_may_begin_anywhere() {
        let mut leader = leading(ALL, ALL);
        append(&mut leader, 0, 0);
        let gap = Err(Error::Producer(producer::Error::OutOfOrderSequence {
            producer: ProducerId(7),
            got: 50,
            expected: 5,
        }));
        assert_eq!(takes(&mut leader, 50, Acks::Leader), gap);
        leader.on_producers_forgotten([ProducerId(8)]);
        assert_eq!(takes(&mut leader, 50, Acks::Leader), gap);
        leader.on_producers_forgotten([ProducerId(7)]);
        // But for what may have been under way to the leader before.
        let plan = |leader: &mut Replica, now_ms| {
            let plan = leader.plan_append(&batch(0, 50), Acks::Leader, now_ms);
            plan.map(|_| ())
        };
        assert_eq!(plan(&mut leader, 29_999), Err(Error::BehindRefused));
        assert_eq!(plan(&mut leader, 30_000), Ok(()));
    }
}
