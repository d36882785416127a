//! The leader's append: one short lock in which the engine decides and the log writes.

use std::sync::Arc;

use engine::ids::{LeaderEpoch, Offset};
use engine::replica::{self, Acks, AppendPlan, Duplicate, Write};
use wire::ErrorCode;
use wire::batch::{Batch, BatchHeader};

use super::commit::Until;
use super::{CommitWait, Partition, State};
use crate::config::TopicConfig;

/// A batch that is in the log.
pub struct Appended {
    /// None of a batch that had been appended before, so long ago that nobody remembers where.
    pub base_offset: Option<Offset>,
    pub next_offset: Offset,
    /// The leader epoch it was written in; none of a batch that had been appended before.
    pub written_in: Option<LeaderEpoch>,
    /// When the broker appended it, of a topic with LogAppendTime; -1 otherwise.
    pub log_append_time_ms: i64,
    pub log_start: Offset,
    /// With acks=all, and with acks=1 where the topic asks for fsyncs: to be waited for. None if it is safe already.
    pub commit: Option<CommitWait>,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the partition is closed")]
    Closed,
    #[error(transparent)]
    Refused(#[from] replica::Error),
    #[error("a batch of {size} bytes is larger than max.message.bytes={limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the largest timestamp {0} is outside of what message.timestamp.*.max.ms allow")]
    Timestamp(i64),
    #[error(transparent)]
    Log(#[from] storage::Error),
}

impl Failure {
    pub fn code(&self) -> ErrorCode {
        match self {
            Failure::Closed => ErrorCode::NotLeaderOrFollower,
            Failure::Refused(error) => error.code(),
            Failure::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Failure::Timestamp(_) => ErrorCode::InvalidTimestamp,
            Failure::Log(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl Partition {
    /// Appends one batch whose header and CRC have been found good. Takes a client's batch or a coordinator's.
    pub fn append(self: &Arc<Self>, batch: Batch, acks: Acks) -> Result<Appended, Failure> {
        self.append_if(batch, acks, None)
    }

    /// Appends if the leader epoch still is `epoch`, where one is given.
    pub(super) fn append_if(
        self: &Arc<Self>,
        batch: Batch,
        acks: Acks,
        epoch: Option<LeaderEpoch>,
    ) -> Result<Appended, Failure> {
        let began = self.env.now();
        let now_ms = self.env.elapsed_ms();
        let wall_ms = self.env.wall_ms();
        let config = self.config.load();
        let appended = self.change(|s| {
            if s.closed {
                return Err(Failure::Closed);
            }
            s.replica.check_leader_epoch(epoch)?;
            let limits = check_limits(&config, &batch, wall_ms);
            // Before the engine sees it: what it remembers of a producer goes by the time that is stored.
            let (batch, time) = if config.log_append_time {
                (batch.with_log_append_time(wall_ms), wall_ms)
            } else {
                (batch, -1)
            };
            match s.plan(&batch.header, acks, now_ms)? {
                AppendPlan::Write(write) => {
                    // Only now: what is in the log already is no longer to be judged, by a clock least of all.
                    let written = limits.and_then(|()| Ok(s.write(&batch, &write, wall_ms)?));
                    if let Err(error) = written {
                        s.replica.on_refused(&write, now_ms);
                        return Err(error);
                    }
                    s.replica.on_appended(&write, now_ms);
                    let mut appended =
                        self.appended(s, Some(write.base_offset), write.next_offset(), time, acks);
                    appended.written_in = Some(write.leader_epoch);
                    Ok(appended)
                }
                AppendPlan::Duplicate(Duplicate {
                    base_offset,
                    next_offset,
                    timestamp_ms,
                }) => {
                    tracing::debug!(
                        topic = %self.topic, partition = self.id.index, ?base_offset,
                        "a batch that was sent again is there already"
                    );
                    let time = if config.log_append_time {
                        timestamp_ms
                    } else {
                        -1
                    };
                    Ok(self.appended(s, base_offset, next_offset, time, acks))
                }
            }
        });
        let append_seconds = &self.metrics.broker.append_seconds;
        append_seconds.observe(self.env.now().duration_since(began));
        appended
    }

    /// What a batch that ends before `next_offset` still waits for, for those who only look on: the leader's fsync, where
    /// the topic asks for one, and its commit.
    pub(crate) fn watch(
        self: &Arc<Self>,
        next_offset: Offset,
        is_flushed: bool,
    ) -> (Option<CommitWait>, Option<CommitWait>) {
        self.change(|s| {
            let mut wait = |until| CommitWait::begin(self, s, next_offset, until);
            let durable = is_flushed.then(|| wait(Until::Durable)).flatten();
            (durable, wait(Until::Committed))
        })
    }

    fn appended(
        self: &Arc<Self>,
        s: &mut State,
        base_offset: Option<Offset>,
        next_offset: Offset,
        log_append_time_ms: i64,
        acks: Acks,
    ) -> Appended {
        let commit = match acks {
            Acks::All => CommitWait::begin(self, s, next_offset, Until::Committed),
            Acks::Leader => CommitWait::begin(self, s, next_offset, Until::Durable),
            Acks::None => None,
        };
        Appended {
            base_offset,
            next_offset,
            written_in: None,
            log_append_time_ms,
            log_start: s.replica.log_start(),
            commit,
        }
    }
}

impl State {
    /// The engine's decision. While the log can take nothing, a batch behind the one that it could not take hears of that.
    fn plan(
        &mut self,
        header: &BatchHeader,
        acks: Acks,
        now_ms: u64,
    ) -> Result<AppendPlan, Failure> {
        // Who sends the same batch again and again must be known until that ends.
        self.log.heard_of_producer(header.producer_id);
        let plan = self.replica.plan_append(header, acks, now_ms);
        if let Err(replica::Error::BehindRefused) = plan {
            self.log.check_writable()?;
        }
        Ok(plan?)
    }

    /// Writes the batch with what the leader assigns.
    fn write(&mut self, batch: &Batch, write: &Write, wall_ms: i64) -> Result<(), storage::Error> {
        let batch = batch.with_assigned(write.base_offset.0, write.leader_epoch.0);
        self.log.append(&[batch], wall_ms.max(0) as u64)
    }
}

fn check_limits(config: &TopicConfig, batch: &Batch, wall_ms: i64) -> Result<(), Failure> {
    let (size, limit) = (batch.bytes.len(), config.max_message_bytes);
    if size > limit {
        return Err(Failure::TooLarge { size, limit });
    }
    let time = batch.header.max_timestamp;
    let after = time.saturating_sub(wall_ms) > config.timestamp_after_max_ms;
    let before = wall_ms.saturating_sub(time) > config.timestamp_before_max_ms;
    // -1 stands for no timestamp.
    if !config.log_append_time && time >= 0 && (after || before) {
        return Err(Failure::Timestamp(time));
    }
    Ok(())
}
