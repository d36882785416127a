//! A log in memory and what tests do with it.

use std::path::Path;
use std::sync::Arc;

use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Log, LogConfig, OpenState, Recovery};
use wire::batch::Batch;
use wire::record::BatchBuilder;

pub const DIR: &str = "/logs/topic-0";

/// Small segments and an index entry for nearly each batch.
pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

pub fn open(disk: &MemoryDisk, start: OpenState) -> (Log, Recovery) {
    open_with(disk, start, config(), 0)
}

pub fn open_with(
    disk: &MemoryDisk,
    start: OpenState,
    config: LogConfig,
    cache_bytes: u64,
) -> (Log, Recovery) {
    disk.create_dir_all(Path::new("/logs")).expect("creates");
    disk.sync_dir(Path::new("/")).expect("syncs");
    let budget = CacheBudget::new(cache_bytes);
    Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        config,
        budget,
        start,
    )
    .expect("opens")
}

/// `records` records from `base` on, at time `base` + i, in leader epoch `epoch`.
pub fn batch(base: i64, records: i64, epoch: i32) -> Batch {
    let mut builder = BatchBuilder::new(base)
        .base_offset(base)
        .leader_epoch(epoch);
    for i in 0..records {
        let text = format!("value {} of epoch {epoch}", base + i);
        builder.append_at(base + i, Some(b"key"), Some(text.as_bytes()), &[]);
    }
    builder.build()
}

/// All batches of the log, read one at a time.
pub fn read_all(log: &Log) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut from = log.log_start();
    loop {
        let plan = log.read(from, i64::MAX, 1, true).expect("in range");
        let bytes = plan.run().expect("reads").to_bytes();
        if bytes.is_empty() {
            return batches;
        }
        let read = Batch::parse(bytes).expect("exactly one whole batch");
        read.verify_crc().expect("a whole batch");
        from = read.header.next_offset();
        batches.push(read);
    }
}

pub fn stored(batches: &[Batch]) -> Vec<bytes::Bytes> {
    batches.iter().map(Batch::stored_bytes).collect()
}

/// Makes everything durable.
pub fn flush(log: &mut Log) {
    let flushed = log.flush_plan().run().expect("syncs");
    log.on_flushed(&flushed);
}

pub fn unclean(recovery_point: i64) -> OpenState {
    OpenState {
        recovery_point,
        ..OpenState::default()
    }
}

pub fn clean() -> OpenState {
    OpenState {
        clean: true,
        ..OpenState::default()
    }
}
