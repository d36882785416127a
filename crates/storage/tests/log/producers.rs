//! What a log knows of idempotent producers when it is opened again.

use std::path::{Path, PathBuf};

use storage::memory::MemoryDisk;
use storage::{Disk, Log, LogConfig};
use wire::batch::Batch;
use wire::record::BatchBuilder;

use crate::house::{DIR, config, flush, open_with, unclean};

fn path(offset: i64) -> PathBuf {
    Path::new(DIR).join(format!("{offset:020}.snapshot"))
}

/// Ten batches of one record, in order; a segment has fewer.
fn fill(log: &mut Log) {
    for _ in 0..10 {
        let next = log.next_offset();
        let sequence = i32::try_from(next).expect("a few");
        let mut builder = BatchBuilder::new(1).producer(7, 0, sequence);
        builder.append(Some(b"key"), Some(&[1; 200]));
        let batch: Batch = builder.build().with_assigned(next, 0);
        log.append(&[batch], 0).expect("appends");
    }
    flush(log);
}

#[test]
fn a_snapshot_from_before_the_first_segment_tells_nothing() {
    let disk = MemoryDisk::new();
    let config = LogConfig {
        delete: true,
        retention_ms: Some(1000),
        ..config()
    };
    let (mut log, _) = open_with(&disk, unclean(0), config.clone(), 0);
    fill(&mut log);
    let (older, end) = (log.active_base_offset(), log.next_offset());
    assert!(0 < older && older < end);
    let content = storage::disk::read_file(&disk, &path(older)).expect("it can be read");
    let content = content.expect("it is there");
    let gone = log.retention(1_000_000, i64::MAX).expect("all are old");
    gone.remove().expect("removes");
    assert_eq!(log.log_start(), end);
    drop(log);

    // The names of files go back to what they were, and the newest snapshot was not on disk yet.
    storage::disk::write_replacing(&disk, &path(older), &content).expect("writes");
    disk.remove_file(&path(end)).expect("it is there");
    let (log, _) = open_with(&disk, unclean(end), config, 0);
    assert_eq!((log.log_start(), log.next_offset()), (end, end));
    assert_eq!(log.producers(), []);
}
