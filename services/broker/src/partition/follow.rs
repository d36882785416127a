//! The follower's side: what the engine makes of a leader's answer, carried out on the log.

use std::sync::Arc;

use bytes::Bytes;
use engine::epochs::EpochEnd;
use engine::ids::{BrokerId, Offset};
use engine::replica::{FetchPosition, Fetched, FollowError, FollowPlan, Role};
use storage::DeletedSegments;
use tokio::sync::Notify;
use wire::ErrorCode;
use wire::batch::{Batch, BatchError, split};

use super::{Partition, State, convert};

/// What the leader has answered for this partition.
pub enum Answer {
    Records {
        records: Bytes,
        high_watermark: Offset,
        log_start: Offset,
    },
    Diverging(EpochEnd),
    OutOfRange {
        log_start: Offset,
    },
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The answer was to a question that is no longer asked.
    Stale,
    Appended {
        bytes: usize,
    },
    Truncated {
        to: Offset,
    },
}

/// Why it could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum FollowFailure {
    #[error("a batch from the leader is malformed: {0}")]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Leader(#[from] FollowError),
    #[error(transparent)]
    Log(#[from] storage::Error),
}

impl Partition {
    /// What to fetch next; none where this broker does not follow or an fsync has to come first.
    pub(crate) fn fetch_position(&self) -> Option<FetchPosition> {
        let s = self.state.lock();
        if s.closed || s.paused {
            None
        } else {
            s.replica.fetch_position()
        }
    }

    /// The leader that this broker follows.
    pub(crate) fn followed(&self) -> Option<BrokerId> {
        match self.state.lock().replica.role() {
            Role::Follower { leader } => Some(*leader),
            Role::Idle | Role::Leader(_) => None,
        }
    }

    /// Says who is to be woken when there is something to fetch again.
    pub(crate) fn set_fetcher(&self, fetcher: Option<Arc<Notify>>) {
        *self.fetcher.lock() = fetcher;
    }

    /// Carries out what the leader's answer to `asked` means. Where the leader's log start has moved, segments are out
    /// of the log: the caller removes their files, which takes time, where blocking is fine.
    pub(crate) fn follow(
        &self,
        asked: &FetchPosition,
        answer: Answer,
    ) -> Result<(Followed, DeletedSegments), FollowFailure> {
        let wall_ms = self.env.wall_ms().max(0) as u64;
        // Parsed and checked before the lock is taken.
        let batches = match &answer {
            Answer::Records { records, .. } => whole_batches(records)
                .inspect_err(|_| self.metrics.broker.damaged_in_replication.inc())?,
            _ => Vec::new(),
        };
        let result = self.change(|s| s.follow(asked, &answer, &batches, wall_ms));
        if let Ok((Followed::Appended { bytes }, _)) = result {
            self.metrics.broker.replication_in.inc_by(bytes as u64);
        }
        if let Ok((Followed::Truncated { to }, _)) = result {
            self.suspects.note_cut();
            tracing::info!(
                topic = %self.topic, partition = self.id.index, offset = to.0, leader = asked.leader.0,
                "cut the log where it differs from the leader's"
            );
        }
        result
    }
}

impl State {
    fn follow(
        &mut self,
        asked: &FetchPosition,
        answer: &Answer,
        batches: &[Batch],
        wall_ms: u64,
    ) -> Result<(Followed, DeletedSegments), FollowFailure> {
        let nothing = DeletedSegments::default();
        if self.closed || self.paused {
            return Ok((Followed::Stale, nothing));
        }
        let headers: Vec<_> = batches.iter().map(|b| b.header).collect();
        let fetched = match *answer {
            Answer::Records {
                high_watermark,
                log_start,
                ..
            } => Fetched::Records {
                headers: &headers,
                high_watermark,
                log_start,
            },
            Answer::Diverging(end) => Fetched::Diverging(end),
            Answer::OutOfRange { log_start } => Fetched::OutOfRange { log_start },
        };
        match self.replica.plan_follow(asked, fetched)? {
            FollowPlan::Stale => Ok((Followed::Stale, nothing)),
            FollowPlan::Append(replicated) => {
                if !batches.is_empty() {
                    self.log.append(batches, wall_ms)?;
                }
                self.replica.on_replicated(&replicated);
                let start = self.replica.log_start_to_follow(&replicated);
                let deleted = start.map_or(Ok(nothing), |start| self.follow_log_start(start))?;
                let bytes = batches.iter().map(|b| b.bytes.len()).sum();
                Ok((Followed::Appended { bytes }, deleted))
            }
            FollowPlan::TruncateTo(offset) => {
                let committed = self.replica.high_watermark();
                self.log.truncate_committed_to(offset.0, committed.0)?;
                let to = Offset(self.log.next_offset());
                self.replica.on_truncated(to, convert::producers(&self.log));
                Ok((Followed::Truncated { to }, nothing))
            }
            FollowPlan::RestartAt(offset) => {
                self.log.truncate_fully_and_start_at(offset.0)?;
                self.replica.on_restarted_at(offset);
                Ok((Followed::Truncated { to: offset }, nothing))
            }
        }
    }

    fn follow_log_start(&mut self, start: Offset) -> Result<DeletedSegments, storage::Error> {
        let deleted = self.log.advance_log_start(start.0)?;
        self.replica.on_log_start(start);
        Ok(deleted)
    }
}

/// The whole batches of an answer; one that the answer's limit has cut short at the end is left out.
fn whole_batches(records: &Bytes) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    for batch in split(records.clone()) {
        match batch {
            Ok(batch) => {
                batch.verify_crc()?;
                batches.push(batch);
            }
            Err(BatchError::Partial) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}

/// The error codes after which a follower knows that its view of the leadership, not its log, is out of date.
pub(crate) fn is_about_leadership(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
    )
}
