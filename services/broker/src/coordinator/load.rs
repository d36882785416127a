//! Loading: replaying a partition of `__consumer_offsets` into the state that its new coordinator begins with.

use std::time::Duration;

use engine::group::{Durable, Record, RecordError};
use engine::ids::LeaderEpoch;
use tokio::time::{Instant, sleep};
use wire::batch::{Batch, BatchError, split};
use wire::{ErrorCode, record};

use super::log::PartitionLog;

/// Between two progress messages of one partition.
const PROGRESS: Duration = Duration::from_secs(5);
/// Before a read that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Most bytes that a compressed batch may unfold to.
const MAX_UNFOLDED_BYTES: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("reading: {}", .0.name())]
    Read(ErrorCode),
    #[error("a batch is damaged: {0}")]
    Batch(#[from] BatchError),
    #[error("a batch cannot be unfolded: {0}")]
    Compression(String),
}

/// Reads the partition from its start to what was its end when this broker became its leader. All of that is
/// committed first: then nothing that the coordinator builds on can be taken back.
///
/// A partition that cannot be read is tried again for as long as it is led here: giving up would lose its groups.
pub(super) async fn load(
    index: i32,
    log: &dyn PartitionLog,
    epoch: LeaderEpoch,
    buffer_bytes: usize,
) -> Durable {
    let began = Instant::now();
    let end = log.end_offset();
    log.committed(end).await;
    let mut durable = Durable::default();
    let mut offset = log.start_offset();
    let mut told = began;
    let mut skipped = 0;
    while offset < end {
        match step(log, offset, buffer_bytes, &mut durable, &mut skipped).await {
            Ok(next) if next > offset => offset = next,
            // Committed, and yet nothing is there: compaction has removed the last records.
            Ok(_) if log.high_watermark(epoch).is_some_and(|hw| hw >= end) => break,
            Ok(_) => sleep(RETRY).await,
            Err(error) => {
                tracing::error!(partition = index, offset, %error, "cannot load groups and offsets; trying again");
                sleep(RETRY).await;
                // What was to be read may have been deleted meanwhile.
                offset = offset.max(log.start_offset());
            }
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            tracing::info!(
                partition = index,
                offset,
                end,
                "still loading groups and offsets"
            );
        }
    }
    let (groups, offsets) = durable.counts();
    let took_ms = began.elapsed().as_millis() as u64;
    if end > 0 {
        tracing::info!(
            partition = index,
            groups,
            offsets,
            skipped,
            end,
            took_ms,
            "loaded groups and offsets"
        );
    }
    durable
}

async fn step(
    log: &dyn PartitionLog,
    offset: i64,
    buffer_bytes: usize,
    durable: &mut Durable,
    skipped: &mut u64,
) -> Result<i64, Error> {
    let records = log.read(offset, buffer_bytes).await.map_err(Error::Read)?;
    let mut next = offset;
    for batch in split(records.to_bytes()) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(BatchError::Partial) if next > offset => break,
            Err(error) => return Err(error.into()),
        };
        next = batch.header.next_offset();
        if !batch.header.is_control() {
            replay(&batch, offset, durable, skipped)?;
        }
    }
    Ok(next)
}

fn replay(batch: &Batch, from: i64, durable: &mut Durable, skipped: &mut u64) -> Result<(), Error> {
    let payload = storage::compression::decompress(
        batch.header.compression(),
        &batch.payload(),
        MAX_UNFOLDED_BYTES,
    )
    .map_err(|error| Error::Compression(error.to_string()))?;
    for entry in record::iter(payload, batch.header.record_count) {
        let entry = entry?;
        let offset = batch.header.base_offset + i64::from(entry.offset_delta);
        if offset < from {
            continue;
        }
        match Record::decode(entry.key, entry.value) {
            Ok(record) => durable.apply(&record),
            // Of another protocol, or a newer version's: kept in the log, of no use here.
            Err(RecordError::UnknownType(_)) => *skipped += 1,
            Err(error) => {
                *skipped += 1;
                tracing::warn!(offset, %error, "skipping a record of __consumer_offsets");
            }
        }
    }
    Ok(())
}
