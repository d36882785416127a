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
    use crate::replica::sample::leading;

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
}
