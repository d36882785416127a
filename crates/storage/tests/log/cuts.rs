//! What a cut of the end takes, and what it leaves.

use std::path::Path;

use storage::memory::{Fault, MemoryDisk, Operation};
use storage::{Disk, Error, Log};
use wire::batch::Batch;

use crate::house::{DIR, batch, flush, open, read_all, stored, unclean};

/// Three batches of three records in one segment, of which the disk has changed one.
fn damaged(hit: usize) -> (MemoryDisk, Log, Vec<Batch>) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..3).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&batches, 0).expect("appends");
    flush(&mut log);
    drop(log);
    let before: usize = batches[..hit].iter().map(|b| b.bytes.len()).sum();
    let path = Path::new(DIR).join("00000000000000000000.log");
    disk.flip(&path, before + 80, 1).expect("it is there");
    let (log, _) = open(&disk, unclean(9));
    assert_eq!(log.damage().count(), 1);
    (disk, log, batches)
}

#[test]
fn a_cut_behind_what_is_damaged_leaves_what_is_between() {
    let (_disk, mut log, batches) = damaged(0);
    log.truncate_to(6).expect("cuts");
    assert_eq!((log.next_offset(), log.damage().count()), (6, 1));
    let read = log.read(3, i64::MAX, 1, true).expect("it is in the log");
    let read = read.run().expect("it is whole").to_bytes();
    assert_eq!(read, batches[1].stored_bytes());
}

#[test]
fn a_cut_within_what_is_damaged_takes_all_of_it() {
    let (disk, mut log, mut batches) = damaged(1);
    log.truncate_to(4).expect("cuts");
    assert_eq!((log.next_offset(), log.damage().count()), (3, 0));
    batches.truncate(1);
    batches.push(batch(3, 3, 1));
    log.append(&batches[1..], 0).expect("appends");
    flush(&mut log);
    drop(log);
    let (log, recovery) = open(&disk, unclean(6));
    assert!(recovery.damage.is_empty() && recovery.cut.is_none());
    assert_eq!(stored(&read_all(&log)), stored(&batches));
}

#[test]
fn a_power_loss_amid_a_cut_leaves_no_hole_whatever_the_checkpoints_say() {
    for (seed, operations) in (0..20).flat_map(|seed| (0..30).map(move |n| (seed, n))) {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        let batches: Vec<_> = (0..20).map(|i| batch(i * 3, 3, 0)).collect();
        log.append(&batches, 0).expect("appends");
        flush(&mut log);
        assert!(log.segment_count() > 2);
        let end = log.next_offset();
        disk.fail_power_after(operations);
        let cut = log.truncate_to(6);
        assert_eq!(cut.is_ok(), disk.has_power());
        drop(log);
        disk.crash(seed);
        let (log, recovery) = open(&disk, unclean(end));
        assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
        let left = stored(&read_all(&log));
        assert_eq!(log.next_offset(), left.len() as i64 * 3);
        assert!(left.len() >= 2, "{seed} {operations}");
        assert_eq!(left, stored(&batches[..left.len()]));
        assert!(cut.is_err() || left.len() == 2);
    }
}

#[test]
fn a_cut_where_the_end_is_missing_makes_room_for_it() {
    for at in [6, 7] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        let mut batches: Vec<_> = (0..3).map(|i| batch(i * 3, 3, 0)).collect();
        log.append(&batches, 0).expect("appends");
        flush(&mut log);
        drop(log);
        let path = Path::new(DIR).join("00000000000000000000.log");
        let file = disk.open(&path).expect("it is there");
        let left: usize = batches[..2].iter().map(|b| b.bytes.len()).sum();
        file.truncate(left as u64).expect("it can be cut");
        let (mut log, _) = open(&disk, unclean(9));
        assert_eq!((log.damaged_offsets(), log.next_offset()), (3, 9));
        // As a follower does, that then gets the rest anew.
        log.truncate_to(at).expect("cuts");
        assert_eq!((log.damaged_offsets(), log.next_offset()), (0, 6));
        batches.truncate(2);
        batches.push(batch(6, 3, 1));
        log.append(&batches[2..], 0).expect("appends");
        assert_eq!(stored(&read_all(&log)), stored(&batches));
    }
}

#[test]
fn a_cut_is_marked_where_it_is_below_what_checkpoints_may_say() {
    // Durable up to 6, committed up to 12.
    for (offset, is_marked) in [(12, false), (9, true), (3, true)] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        let batches: Vec<_> = (0..5).map(|i| batch(i * 3, 3, 0)).collect();
        log.append(&batches[..2], 0).expect("appends");
        flush(&mut log);
        log.append(&batches[2..], 0).expect("appends");
        log.truncate_committed_to(offset, 12).expect("cuts");
        assert_eq!(log.stale_checkpoints().is_some(), is_marked, "{offset}");
        let holds = if is_marked { offset } else { 12 };
        assert_eq!(log.still_promised(12), holds);
    }
}

#[test]
fn a_mark_that_may_be_gone_or_not_takes_the_log_out_of_service() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 0)], 0).expect("appends");
    log.truncate_fully_and_start_at(0).expect("cuts");
    let generation = log.stale_checkpoints().expect("it is marked");
    disk.inject(Fault::once(Operation::Sync, "topic-0"));
    assert!(log.checkpoints_written(generation).is_err());
    let after = log.append(&[batch(0, 3, 0)], 0);
    assert!(matches!(after, Err(Error::Poisoned(_))), "{after:?}");
}
