//! A coordinator's view of its partition: [`PartitionLog`] on top of [`Partition`].

use std::sync::Arc;

use engine::ids::{LeaderEpoch, Offset};
use wire::batch::Batch;
use wire::{ErrorCode, Records};

use super::log::PartitionLog;
use crate::env::BoxFuture;
use crate::partition::Partition;

impl PartitionLog for Arc<Partition> {
    fn append(&self, batch: Batch, epoch: LeaderEpoch) -> Result<i64, ErrorCode> {
        self.append_in_epoch(batch, epoch)
            .map(|next_offset| next_offset.0)
    }

    fn start_offset(&self) -> i64 {
        self.log_start().0
    }

    fn end_offset(&self) -> i64 {
        self.log_end().0
    }

    fn high_watermark(&self, epoch: LeaderEpoch) -> Option<i64> {
        self.high_watermark_in(epoch).map(|offset| offset.0)
    }

    fn committed(&self, offset: i64) -> BoxFuture<'_, ()> {
        Box::pin(Partition::committed(self, Offset(offset)))
    }

    fn read(&self, offset: i64, max_bytes: usize) -> BoxFuture<'_, Result<Records, ErrorCode>> {
        Box::pin(self.read_committed(Offset(offset), max_bytes))
    }
}
