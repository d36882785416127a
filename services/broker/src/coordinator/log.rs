//! What a coordinator needs of the partition that its state lives in.

use engine::ids::LeaderEpoch;
use wire::batch::Batch;
use wire::{ErrorCode, Records};

use crate::env::BoxFuture;

/// One partition of `__consumer_offsets` on the broker that leads it.
pub trait PartitionLog: Send + Sync + 'static {
    /// Appends one batch if this broker still leads in `epoch` and enough replicas are in sync. Answers the offset
    /// after the batch. On an error the batch is certainly not in the log.
    fn append(&self, batch: Batch, epoch: LeaderEpoch) -> Result<i64, ErrorCode>;

    /// The first offset that is still there.
    fn start_offset(&self) -> i64;

    /// The offset after the last record, committed or not.
    fn end_offset(&self) -> i64;

    /// The offset after the last committed record; none once this broker leads no longer, or in another epoch: what
    /// stands at an offset may then be another leader's record.
    fn high_watermark(&self, epoch: LeaderEpoch) -> Option<i64>;

    /// Resolves when the high watermark is `offset` or higher, or the partition is no longer led here.
    fn committed(&self, offset: i64) -> BoxFuture<'_, ()>;

    /// Reads whole batches of committed records from `offset` on, about `max_bytes` and at least one batch.
    fn read(&self, offset: i64, max_bytes: usize) -> BoxFuture<'_, Result<Records, ErrorCode>>;
}
