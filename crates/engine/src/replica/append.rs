//! A leader's append: the offset and the epoch that a batch gets, or why it gets none.

use wire::batch::BatchHeader;

use super::{Error, Replica, Role};
use crate::ids::{LeaderEpoch, Offset};
use crate::producer::Verdict;

/// What a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// acks=0
    None,
    /// acks=1
    Leader,
    /// acks=all (-1)
    All,
}

/// A batch to write, with what the leader assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the batch is to be written to the log, then to be reported with on_appended"]
pub struct Write {
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    header: BatchHeader,
}

impl Write {
    /// The offset after the batch: what must be committed before acks=all is answered.
    pub fn next_offset(&self) -> Offset {
        Offset(self.header.next_offset())
    }
}

/// A batch that is in the log already: answered as it was the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Where it begins; none where that is not remembered.
    pub base_offset: Option<Offset>,
    /// It ends before this offset, or at it.
    pub next_offset: Offset,
    /// -1 where it is not remembered.
    pub timestamp_ms: i64,
}

/// What to do with a client's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendPlan {
    Write(Write),
    Duplicate(Duplicate),
}

impl Replica {
    /// Decides on one batch, whose header has been found coherent.
    pub fn plan_append(
        &mut self,
        header: &BatchHeader,
        acks: Acks,
        now_ms: u64,
    ) -> Result<AppendPlan, Error> {
        let is_unsafe = acks == Acks::All && self.is_under_min_isr();
        let leader = match &mut self.role {
            Role::Leader(leader) => leader,
            _ => return Err(Error::NotLeader),
        };
        let verdict = self.producers.check(header);
        // Before anything is refused: what is in the log already must not be answered as if it were not. Its producer
        // would send it again under another epoch, where nobody knows it.
        match verdict {
            Ok(Verdict::Duplicate(original)) => {
                return Ok(AppendPlan::Duplicate(Duplicate {
                    base_offset: Some(original.base_offset),
                    next_offset: original.last_offset.plus(1),
                    timestamp_ms: original.timestamp_ms,
                }));
            }
            Ok(Verdict::Known(before)) => {
                return Ok(AppendPlan::Duplicate(Duplicate {
                    base_offset: None,
                    next_offset: before,
                    timestamp_ms: -1,
                }));
            }
            Ok(Verdict::Append) | Err(_) => {}
        }
        if is_unsafe {
            if verdict.is_ok() {
                leader.refusals.note(header, now_ms);
            }
            return Err(Error::NotEnoughReplicas);
        }
        leader.refusals.check(header, now_ms)?;
        if leader.may_be_behind_another(header, &self.producers, now_ms) {
            leader.refusals.on_held_back(header);
            return Err(Error::BehindRefused);
        }
        verdict?;
        let header = BatchHeader {
            base_offset: self.log_end.0,
            ..*header
        };
        Ok(AppendPlan::Write(Write {
            base_offset: self.log_end,
            leader_epoch: self.leader_epoch,
            header,
        }))
    }

    /// The log could not take the batch, which may change, or the topic does not allow it.
    pub fn on_refused(&mut self, write: &Write, now_ms: u64) {
        if let Role::Leader(leader) = &mut self.role {
            leader.refusals.note(&write.header, now_ms);
        }
    }

    /// The batch is in the log.
    pub fn on_appended(&mut self, write: &Write, now_ms: u64) {
        assert!(
            self.is_leader()
                && write.base_offset == self.log_end
                && write.leader_epoch == self.leader_epoch,
            "a plan is carried out before the next decision"
        );
        self.epochs.assign(write.leader_epoch, write.base_offset);
        self.producers.on_appended(&write.header);
        if let Role::Leader(leader) = &mut self.role {
            leader.refusals.on_appended(&write.header);
        }
        self.log_end = write.next_offset();
        self.advance_high_watermark(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BrokerId;
    use crate::replica::Opened;
    use crate::replica::sample::{ALL, OPTIONS, append, batch, leading, state};

    #[test]
    fn an_isr_below_the_minimum_refuses_only_who_waits_for_it() {
        let mut leader = leading(ALL, &[1]);
        for (acks, refused) in [
            (Acks::All, Some(Error::NotEnoughReplicas)),
            (Acks::Leader, None),
            (Acks::None, None),
        ] {
            let plan = leader.plan_append(&batch(0, 0), acks, 0);
            assert_eq!(plan.err(), refused, "{acks:?}");
        }
        let mut follower = Replica::open(BrokerId(2), OPTIONS, Opened::default());
        follower.on_metadata(&state(ALL, ALL, 1), 0);
        let plan = follower.plan_append(&batch(0, 0), Acks::Leader, 0);
        assert_eq!(plan, Err(Error::NotLeader));
    }

    #[test]
    fn what_is_in_the_log_is_answered_with_its_place_even_by_an_isr_below_the_minimum() {
        let mut leader = leading(ALL, ALL);
        for sequence in (0..35).step_by(5) {
            append(&mut leader, sequence, 0);
        }
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        let mut again = |sequence| leader.plan_append(&batch(0, sequence), Acks::All, 0);
        let remembered = Duplicate {
            base_offset: Some(Offset(10)),
            next_offset: Offset(15),
            timestamp_ms: 0,
        };
        assert_eq!(again(10), Ok(AppendPlan::Duplicate(remembered)));
        let only_known = Duplicate {
            base_offset: None,
            next_offset: Offset(10),
            timestamp_ms: -1,
        };
        assert_eq!(again(5), Ok(AppendPlan::Duplicate(only_known)));
    }
}
