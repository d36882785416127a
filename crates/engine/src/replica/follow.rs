//! The follower's side: what to ask its leader for, and what to do with the answer.

use thiserror::Error;
use wire::batch::BatchHeader;

use super::{Opened, Replica, Role};
use crate::epochs::EpochEnd;
use crate::ids::{BrokerId, LeaderEpoch, Offset};
use crate::producer::Producers;

/// What to fetch. The answer is only good while the replica would still ask the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    pub log_start: Offset,
}

/// A leader's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched<'a> {
    Records {
        /// The headers of whole batches; none if there is nothing new.
        headers: &'a [BatchHeader],
        high_watermark: Offset,
        log_start: Offset,
    },
    Diverging(EpochEnd),
    /// OFFSET_OUT_OF_RANGE, with where the leader's log starts.
    OutOfRange {
        log_start: Offset,
    },
}

/// Batches to append as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the batches are to be written to the log, then to be reported with on_replicated"]
pub struct Replicated {
    headers: Vec<BatchHeader>,
    high_watermark: Offset,
    log_start: Offset,
}

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowPlan {
    /// The replica has moved on since it asked.
    Stale,
    Append(Replicated),
    /// Cut the log; then `on_truncated`.
    TruncateTo(Offset),
    /// Drop the whole log and begin anew here; then `on_restarted_at`.
    RestartAt(Offset),
}

/// A leader that answers what no leader may answer. Nothing of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FollowError {
    #[error("batch at {got} does not continue the log, which ends at {expected}")]
    Gap { expected: Offset, got: Offset },
    #[error("batch of leader epoch {got} after or outside epochs {low} to {high}")]
    Epoch {
        got: LeaderEpoch,
        low: LeaderEpoch,
        high: LeaderEpoch,
    },
    #[error("told that {offset} is out of range by a leader whose log starts at {log_start}")]
    OutOfRange { offset: Offset, log_start: Offset },
}

impl Replica {
    /// What to ask the leader for; none where the replica does not follow, or where what it has appended must be
    /// fsynced first because its fetch offset says that it is.
    pub fn fetch_position(&self) -> Option<FetchPosition> {
        let Role::Follower { leader } = self.role else {
            return None;
        };
        if self.durable_end() < self.log_end {
            return None;
        }
        Some(FetchPosition {
            leader,
            leader_epoch: self.leader_epoch,
            offset: self.log_end,
            last_fetched_epoch: self.epochs.epoch_before(self.log_end),
            log_start: self.log_start,
        })
    }

    /// Decides on the answer to `asked`.
    pub fn plan_follow(
        &self,
        asked: &FetchPosition,
        answer: Fetched<'_>,
    ) -> Result<FollowPlan, FollowError> {
        if self.fetch_position().as_ref() != Some(asked) {
            return Ok(FollowPlan::Stale);
        }
        match answer {
            Fetched::Records {
                headers,
                high_watermark,
                log_start,
            } => {
                self.check_continues(headers)?;
                Ok(FollowPlan::Append(Replicated {
                    headers: headers.to_vec(),
                    high_watermark,
                    log_start,
                }))
            }
            Fetched::Diverging(end) => Ok(self.plan_truncation(end)),
            Fetched::OutOfRange { log_start } => self.plan_out_of_range(asked, log_start),
        }
    }

    fn plan_out_of_range(
        &self,
        asked: &FetchPosition,
        log_start: Offset,
    ) -> Result<FollowPlan, FollowError> {
        // The leader has deleted what comes next, or there is nothing here to keep.
        if log_start > self.log_end || self.log_start == self.log_end {
            return Ok(FollowPlan::RestartAt(log_start));
        }
        // Else no leader can compare this log. It goes as far as that is its own fault, where nobody relies on it.
        match self.impossible_from() {
            Some(start) if !self.is_relied_on => Ok(FollowPlan::TruncateTo(start)),
            None if !self.is_relied_on && asked.last_fetched_epoch.is_none() => {
                Ok(FollowPlan::RestartAt(log_start))
            }
            Some(_) | None => Err(FollowError::OutOfRange {
                offset: self.log_end,
                log_start,
            }),
        }
    }

    /// Where the records begin whose epoch is later than the leader's: the disk has changed it, as no CRC covers it.
    fn impossible_from(&self) -> Option<Offset> {
        let entries = self.epochs.entries();
        let first = entries.iter().find(|e| e.epoch > self.leader_epoch)?;
        Some(first.start.max(self.log_start))
    }

    fn check_continues(&self, headers: &[BatchHeader]) -> Result<(), FollowError> {
        let mut expected = self.log_end;
        let mut low = self.epochs.latest().unwrap_or(LeaderEpoch(0));
        for header in headers {
            let (got, epoch) = (
                Offset(header.base_offset),
                LeaderEpoch(header.partition_leader_epoch),
            );
            if got < expected {
                return Err(FollowError::Gap { expected, got });
            }
            if epoch < low || epoch > self.leader_epoch {
                return Err(FollowError::Epoch {
                    got: epoch,
                    low,
                    high: self.leader_epoch,
                });
            }
            low = epoch;
            expected = Offset(header.next_offset());
        }
        Ok(())
    }

    /// Where to cut so that both logs agree. Where the leader's epoch is one that this log does not have, only a
    /// part may go now: the next fetch tells more (KIP-101, KIP-279).
    fn plan_truncation(&self, leader: EpochEnd) -> FollowPlan {
        let end = match self.epochs.end_of(leader.epoch, self.log_end) {
            Some(mine) if mine.epoch == leader.epoch => mine.end.min(leader.end),
            Some(mine) => mine.end,
            None => leader.end,
        };
        let end = end.min(self.log_end);
        if end < self.log_start {
            // Only an unclean election leads here: nothing that this log has is in the leader's.
            return FollowPlan::RestartAt(end);
        }
        FollowPlan::TruncateTo(end)
    }

    /// The batches are in the log.
    pub fn on_replicated(&mut self, batches: &Replicated) {
        for header in &batches.headers {
            self.epochs.assign(
                LeaderEpoch(header.partition_leader_epoch),
                Offset(header.base_offset),
            );
            self.producers.on_appended(header);
            self.log_end = Offset(header.next_offset());
        }
        self.high_watermark = self
            .high_watermark
            .max(batches.high_watermark.min(self.log_end));
    }

    /// How far the leader's log start lets this log be cut: never beyond what is committed.
    pub fn log_start_to_follow(&self, batches: &Replicated) -> Option<Offset> {
        let start = batches.log_start.min(self.high_watermark);
        (start > self.log_start).then_some(start)
    }

    /// The log has been cut and now ends at `end`; `producers` is what its remaining batches and snapshots tell.
    pub fn on_truncated(&mut self, end: Offset, producers: Producers) {
        assert!(
            end >= self.log_start && end <= self.log_end,
            "a cut is within the log"
        );
        self.log_end = end;
        self.flushed = self.flushed.min(end);
        self.high_watermark = self.high_watermark.min(end);
        self.epochs.truncate_end(end);
        self.producers = producers;
    }

    /// Who has written was read off the log once more, of which something had been missing.
    pub fn on_producers_read(&mut self, producers: Producers) {
        self.producers = producers;
    }

    /// The whole log has been dropped; it begins and ends at `offset`.
    pub fn on_restarted_at(&mut self, offset: Offset) {
        self.log_start = offset;
        self.log_end = offset;
        self.flushed = offset;
        self.high_watermark = offset;
        self.epochs.clear();
        self.producers.clear();
    }
}

impl Opened {
    /// Replays batches that recovery has found, oldest first, upon what a checkpoint has told.
    pub fn replay<'a>(&mut self, headers: impl IntoIterator<Item = &'a BatchHeader>) {
        for header in headers {
            self.epochs.assign(
                LeaderEpoch(header.partition_leader_epoch),
                Offset(header.base_offset),
            );
            self.producers.on_appended(header);
            self.log_end = Offset(header.next_offset());
        }
    }
}

#[cfg(test)]
mod tests;
