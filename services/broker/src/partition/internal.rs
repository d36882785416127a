//! A partition as the broker's own coordinators use it.

use std::sync::Arc;

use engine::ids::{LeaderEpoch, Offset};
use engine::replica::{Acks, FetchQuery, Reader};
use storage::ReadPlan;
use wire::batch::Batch;
use wire::{ErrorCode, Records};

use super::commit::Until;
use super::{CommitWait, Partition, ReadAnswer, ReadLimit};
use crate::env::Pool;

impl Partition {
    /// Appends one batch if this broker still leads in `epoch` and enough replicas are in sync; returns the offset
    /// after it. On an error the batch is not in the log.
    pub fn append_in_epoch(
        self: &Arc<Self>,
        batch: Batch,
        epoch: LeaderEpoch,
    ) -> Result<Offset, ErrorCode> {
        let appended = self
            .append_if(batch, Acks::All, Some(epoch))
            .map_err(|failure| failure.code())?;
        Ok(appended.next_offset)
    }

    /// The high watermark, while this broker leads the partition in `epoch`.
    pub fn high_watermark_in(&self, epoch: LeaderEpoch) -> Option<Offset> {
        let s = self.state.lock();
        let leads = !s.closed && s.replica.is_leader() && s.replica.leader_epoch() == epoch;
        leads.then(|| s.replica.high_watermark())
    }

    /// Returns when everything below `offset` is committed, or this broker no longer leads the partition.
    pub async fn committed(self: &Arc<Self>, offset: Offset) {
        let wait = {
            let mut s = self.state.lock();
            if s.closed || !s.replica.is_leader() {
                return;
            }
            CommitWait::begin(self, &mut s, offset, Until::Committed)
        };
        if let Some(wait) = wait {
            wait.done().await;
        }
    }

    /// Reads whole batches of committed records from `offset` on, at least one if there is one.
    pub async fn read_committed(
        &self,
        offset: Offset,
        max_bytes: usize,
    ) -> Result<Records, ErrorCode> {
        let query = FetchQuery {
            reader: Reader::Consumer {
                read_committed: true,
            },
            offset,
            leader_epoch: None,
            last_fetched_epoch: None,
        };
        let read = self.read(
            &query,
            ReadLimit {
                max_bytes,
                at_least_one: true,
            },
            false,
        );
        match read.answer? {
            ReadAnswer::Records(ReadPlan::Ready(records)) => Ok(records),
            ReadAnswer::Records(ReadPlan::Cold(cold)) => {
                let records = self.env.blocking(Pool::Read, move || cold.run()).await;
                records.map_err(|error| self.on_failed_read(&error))
            }
            ReadAnswer::Diverging(_) => Err(ErrorCode::UnknownServerError),
        }
    }
}
