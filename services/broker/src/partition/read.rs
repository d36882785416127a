//! Reading for Fetch, by consumers and by followers alike.

use engine::epochs::EpochEnd;
use engine::ids::Offset;
use engine::replica::{Error, FetchPlan, FetchQuery, Reader};
use storage::ReadPlan;
use wire::ErrorCode;

use super::{Partition, State};

/// What a partition says to a fetch.
pub struct PartitionRead {
    pub answer: Result<ReadAnswer, ErrorCode>,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start: Offset,
    pub log_end: Offset,
}

pub enum ReadAnswer {
    Records(ReadPlan),
    Diverging(EpochEnd),
}

impl ReadAnswer {
    /// What is left of an answer whose records have been taken out.
    pub fn nothing() -> ReadAnswer {
        ReadAnswer::Records(ReadPlan::Ready(Default::default()))
    }
}

/// How much of a partition's log a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    pub max_bytes: usize,
    /// The first batch counts even if it is larger, so that every fetch gets on.
    pub at_least_one: bool,
}

impl Partition {
    /// Looks for what `query` may see. With `first_look`, a follower's progress is noted.
    pub fn read(&self, query: &FetchQuery, limit: ReadLimit, first_look: bool) -> PartitionRead {
        let now_ms = self.env.elapsed_ms();
        let (read, may_propose) = self.change(|s| {
            let answer = s.answer(query, limit);
            let mut may_propose = false;
            if let Reader::Follower { id, broker_epoch } = query.reader
                && first_look
                && matches!(answer, Ok(ReadAnswer::Records(_)))
            {
                s.replica
                    .on_follower_fetch(id, broker_epoch, query.offset, now_ms);
                may_propose = s
                    .replica
                    .leader()
                    .is_some_and(|l| l.isr().len() < l.replicas().len());
            }
            let read = PartitionRead {
                answer,
                high_watermark: s.replica.high_watermark(),
                last_stable_offset: s.replica.last_stable_offset(),
                log_start: s.replica.log_start(),
                log_end: s.replica.log_end(),
            };
            (read, may_propose)
        });
        if may_propose {
            self.isr_due.request(self.id);
        }
        read
    }
}

impl Partition {
    /// What a reader is told of a read that has failed. Where the disk has changed what was to be read, or does not give it
    /// any more, it is looked at soon.
    pub(crate) fn on_failed_read(&self, error: &storage::Error) -> ErrorCode {
        if let Some(offset) = error.damaged_at().or_else(|| error.unreadable_at()) {
            self.suspects.report(self.id, offset);
        }
        storage_code(error)
    }
}

impl State {
    fn answer(&self, query: &FetchQuery, limit: ReadLimit) -> Result<ReadAnswer, ErrorCode> {
        self.check_open()?;
        match self
            .replica
            .plan_fetch(query)
            .map_err(|e: Error| e.code())?
        {
            FetchPlan::Diverging(end) => Ok(ReadAnswer::Diverging(end)),
            FetchPlan::Serve { from, below } => self
                .log
                .read(from.0, below.0, limit.max_bytes, limit.at_least_one)
                .map(ReadAnswer::Records)
                .map_err(|error| storage_code(&error)),
        }
    }
}

/// What a reader is told of a failed read.
pub(super) fn storage_code(error: &storage::Error) -> ErrorCode {
    match error {
        storage::Error::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        error => {
            tracing::error!(%error, "cannot read a log");
            ErrorCode::KafkaStorageError
        }
    }
}
