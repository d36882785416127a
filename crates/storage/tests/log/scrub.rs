//! What a scrub says of damage that is known already.

use std::path::Path;

use storage::memory::MemoryDisk;
use storage::{Disk, Log};

use crate::house::{DIR, batch, flush, open, unclean};

fn scrub(log: &mut Log) {
    let mut scrub = log.scrub(0).expect("it opens").expect("it is there");
    while scrub.advance(1 << 20).expect("it can be read") > 0 {}
    log.on_scrubbed(&scrub);
}

fn damaged(log: &Log) -> Vec<(i64, i64)> {
    log.damage().map(|d| (d.from, d.to)).collect()
}

/// A log of four batches, in one segment, whose last one the disk has lost.
fn without_its_end() -> (MemoryDisk, Log) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..4).map(|n| batch(n, 1, 0)).collect();
    log.append(&batches, 0).expect("appends");
    flush(&mut log);
    drop(log);
    let path = Path::new(DIR).join(format!("{:020}.log", 0));
    let size: usize = batches[..3].iter().map(|b| b.bytes.len()).sum();
    let file = disk.open(&path).expect("it is there");
    file.truncate(size as u64).expect("it can be cut");
    let (log, _) = open(&disk, unclean(4));
    assert_eq!(damaged(&log), [(3, 4)]);
    (disk, log)
}

#[test]
fn what_is_missing_from_a_file_stays_missing() {
    let (_disk, mut log) = without_its_end();
    scrub(&mut log);
    assert_eq!(damaged(&log), [(3, 4)]);
    // Now it is a gap like those that compaction leaves.
    log.append(&[batch(4, 1, 0)], 0).expect("appends");
    scrub(&mut log);
    assert_eq!(damaged(&log), [(3, 4)]);
}

#[test]
fn a_bad_batch_before_what_is_missing_is_damage_of_its_own() {
    let (disk, mut log) = without_its_end();
    let path = Path::new(DIR).join(format!("{:020}.log", 0));
    let at = batch(0, 1, 0).bytes.len() * 2 + 70;
    disk.flip(&path, at, 1).expect("it is there");
    scrub(&mut log);
    assert_eq!(damaged(&log), [(2, 3), (3, 4)]);
    disk.flip(&path, at, 1).expect("it is there");
    scrub(&mut log);
    assert_eq!(damaged(&log), [(3, 4)]);
}
