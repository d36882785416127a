//! The high watermark: how far every replica that could lead next has the log.

use super::{Error, Leader, Replica, Role};
use crate::ids::Offset;

/// Whether a record that a producer waits for is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commitment {
    Waiting,
    Committed,
    /// Below the high watermark, but the ISR has become smaller than `min.insync.replicas`.
    NotEnoughReplicas,
}

impl Replica {
    /// The smallest ISR that may commit: a topic cannot ask for more replicas than it has.
    pub(super) fn min_isr(&self, leader: &Leader) -> usize {
        self.options.min_insync_replicas.min(leader.factor).max(1)
    }

    /// Whether the leader must refuse acks=all, and the high watermark stands still.
    pub fn is_under_min_isr(&self) -> bool {
        self.leader()
            .is_some_and(|leader| leader.isr.len() < self.min_isr(leader))
    }

    /// Whether the loss of one more replica would make it so.
    pub fn is_at_min_isr(&self) -> bool {
        self.leader()
            .is_some_and(|leader| leader.isr.len() == self.min_isr(leader))
    }

    /// How far the log counts here: to its end, or to what is fsynced where the topic asks for that.
    pub fn durable_end(&self) -> Offset {
        if self.options.flush_each {
            self.flushed
        } else {
            self.log_end
        }
    }

    /// Whether the leader alone has everything below `offset` as safe as the topic asks for: what acks=1 waits for.
    pub fn has_durably(&self, offset: Offset) -> bool {
        self.durable_end() >= offset
    }

    /// Moves a leader's high watermark to where every member of the maximal ISR is. An ISR below the minimum commits
    /// nothing (KIP-966), so what is committed is always on as many replicas as the topic asks for, and whoever has left
    /// such an ISR misses nothing.
    pub(super) fn advance_high_watermark(&mut self, now_ms: u64) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        if leader.isr.len() < self.min_isr(leader) {
            return;
        }
        let mut reached = self.durable_end();
        for (id, follower) in &leader.followers {
            // A follower that has caught up waits for its confirmation only: running ahead of it would keep it out.
            let joins = leader.is_eligible(*id)
                && follower.is_caught_up(self.log_end, now_ms, self.options.lag_max_ms);
            if leader.is_in_maximal_isr(*id) {
                reached = reached.min(follower.log_end.unwrap_or(Offset(0)));
            } else if joins {
                reached = reached.min(follower.log_end.unwrap_or(reached));
            }
        }
        self.high_watermark = self.high_watermark.max(reached);
    }

    /// Whether everything below `offset` is safe.
    pub fn commitment(&self, offset: Offset) -> Result<Commitment, Error> {
        self.leader_or_refuse()?;
        if self.high_watermark < offset {
            return Ok(Commitment::Waiting);
        }
        let enough = !self.is_under_min_isr();
        Ok(if enough {
            Commitment::Committed
        } else {
            Commitment::NotEnoughReplicas
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BrokerId;
    use crate::replica::sample::{ALL, OPTIONS, activate, append, fetch, leading, state};
    use crate::replica::{Opened, Options};

    #[test]
    fn a_topic_cannot_ask_for_more_replicas_than_it_has() {
        for (replicas, isr, under, at) in [
            (&[1, 2, 3][..], &[1, 2, 3][..], false, false),
            (&[1, 2, 3], &[1, 2], false, true),
            (&[1, 2, 3], &[1], true, false),
            (&[1], &[1], false, true),
        ] {
            let replica = leading(replicas, isr);
            let seen = (replica.is_under_min_isr(), replica.is_at_min_isr());
            assert_eq!(seen, (under, at), "{isr:?} of {replicas:?}");
        }
    }

    #[test]
    fn what_is_to_be_flushed_counts_from_its_fsync_on() {
        let mut leader = leading(&[1], &[1]);
        leader.on_options(Options {
            flush_each: true,
            ..OPTIONS
        });
        append(&mut leader, 0, 0);
        assert!(!leader.has_durably(Offset(5)));
        assert_eq!(leader.high_watermark(), Offset(0));
        leader.on_flushed(Offset(5), 0);
        assert!(leader.has_durably(Offset(5)));
        assert!(!leader.has_durably(Offset(6)));
        assert_eq!(leader.high_watermark(), Offset(5));
        leader.on_options(OPTIONS);
        append(&mut leader, 5, 0);
        assert!(leader.has_durably(Offset(10)));
        assert_eq!(leader.high_watermark(), Offset(10));
    }

    #[test]
    fn an_isr_below_the_minimum_commits_nothing_and_vouches_for_nothing() {
        let mut leader = leading(ALL, &[1, 2]);
        append(&mut leader, 0, 0);
        assert_eq!(leader.commitment(Offset(5)), Ok(Commitment::Waiting));
        fetch(&mut leader, 2, 5, 0);
        assert_eq!(leader.commitment(Offset(5)), Ok(Commitment::Committed));
        assert_eq!(leader.commitment(Offset(6)), Ok(Commitment::Waiting));
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        append(&mut leader, 5, 0);
        let lost = Ok(Commitment::NotEnoughReplicas);
        assert_eq!(leader.commitment(Offset(5)), lost);
        assert_eq!(leader.commitment(Offset(10)), Ok(Commitment::Waiting));
        let idle = Replica::open(BrokerId(1), OPTIONS, Opened::default());
        assert_eq!(idle.commitment(Offset(0)), Err(Error::NotLeader));
    }

    #[test]
    fn who_has_caught_up_and_is_alive_is_waited_for_before_it_is_in_the_isr() {
        for (active, committed) in [(&[2, 3][..], 5), (&[2], 10)] {
            let mut leader = leading(ALL, &[1, 2]);
            activate(&mut leader, active, 0);
            append(&mut leader, 0, 0);
            fetch(&mut leader, 3, 5, 0);
            fetch(&mut leader, 2, 5, 0);
            append(&mut leader, 5, 0);
            fetch(&mut leader, 2, 10, 1);
            assert_eq!(leader.high_watermark(), Offset(committed), "{active:?}");
            // It has not had everything for longer than it may lag.
            fetch(&mut leader, 2, 10, 2);
            assert_eq!(leader.high_watermark(), Offset(10), "{active:?}");
        }
    }
}
