//! Appending and reading: from memory, from disk, by time.

use std::path::Path;

use storage::memory::{Fault, MemoryDisk, Operation};
use storage::{Disk, Error, Log, ReadPlan};
use wire::record::BatchBuilder;

use crate::house::{DIR, batch, clean, config, flush, open, open_with, read_all, stored, unclean};

#[test]
fn what_is_appended_is_read_byte_for_byte_over_segments_and_restarts() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..40).map(|i| batch(i * 3, 3, (i / 10) as i32)).collect();
    for some in batches.chunks(7) {
        log.append(some, 0).unwrap();
    }
    assert!(log.segment_count() > 3);
    assert_eq!(stored(&read_all(&log)), stored(&batches));
    assert_eq!(log.epochs(), [(0, 0), (1, 30), (2, 60), (3, 90)]);

    log.close_plan().unwrap().run().unwrap();
    drop(log);
    let (log, recovery) = open(&disk, clean());
    assert_eq!((recovery.next_offset, recovery.cut), (120, None));
    assert_eq!(recovery.epochs, [(0, 0), (1, 30), (2, 60), (3, 90)]);
    assert_eq!(log.recovery_point(), 120);
    assert_eq!(stored(&read_all(&log)), stored(&batches));
}

#[test]
fn a_read_gives_whole_batches_below_its_bound_and_the_first_however_big() {
    for cache_bytes in [0, 1 << 20] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open_with(&disk, unclean(0), config(), cache_bytes);
        let batches: Vec<_> = (0..3).map(|i| batch(i * 2, 2, 0)).collect();
        log.append(&batches, 0).unwrap();
        let one = batches[0].bytes.len();
        let len = |from, below, max, at_least_one| {
            let plan = log.read(from, below, max, at_least_one).unwrap();
            let cold = matches!(plan, ReadPlan::Cold(_));
            assert!(!cold || cache_bytes == 0);
            plan.run().unwrap().len()
        };
        assert_eq!(len(0, 6, usize::MAX, false), 3 * one);
        assert_eq!(len(1, 6, 2 * one, false), 2 * one);
        assert_eq!(len(2, 6, 2 * one - 1, false), one);
        assert_eq!(len(2, 5, usize::MAX, false), one);
        assert_eq!(len(0, 6, 1, true), one);
        assert_eq!(len(0, 6, 1, false), 0);
        assert_eq!(len(0, 1, usize::MAX, true), 0);
        assert_eq!(len(6, 6, usize::MAX, true), 0);
        let outside = log.read(7, 8, 1, true);
        assert!(matches!(outside, Err(Error::OutOfRange { offset: 7, .. })));
    }
}

#[test]
fn big_batches_are_chained_uncopied_from_memory() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open_with(&disk, unclean(0), config(), 1 << 20);
    let mut builder = BatchBuilder::new(5);
    builder.append(None, Some(&[7; 5000]));
    let big = builder.build().with_assigned(0, 3);
    log.append(std::slice::from_ref(&big), 0).unwrap();
    let records = log.read(0, 1, 1 << 20, true).unwrap().run().unwrap();
    let [prefix, rest] = records.chunks() else {
        panic!("a prefix and the payload")
    };
    assert_eq!(prefix[..], big.patched_prefix());
    assert_eq!(rest.as_ptr(), big.bytes[16..].as_ptr());
}

#[test]
fn the_budget_drops_the_oldest_batches_first() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open_with(&disk, unclean(0), config(), 2000);
    for i in 0..50 {
        log.append(&[batch(i, 1, 0)], 0).unwrap();
    }
    let is_cold = |from| matches!(log.read(from, 50, 1, true).unwrap(), ReadPlan::Cold(_));
    assert!(is_cold(0) && is_cold(30));
    assert!(!is_cold(49) && !is_cold(47));
    assert_eq!(read_all(&log).len(), 50);
}

#[test]
fn offsets_are_found_by_time() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    for i in 0..60 {
        log.append(&[batch(i * 3, 3, 0)], 0).unwrap();
    }
    let at = |timestamp| {
        let lookup = log.offset_for_timestamp(timestamp).unwrap();
        lookup
            .run()
            .unwrap()
            .map(|found| (found.offset, found.timestamp))
    };
    for timestamp in [0, 1, 77, 178, 179] {
        assert_eq!(at(timestamp), Some((timestamp, timestamp)));
    }
    assert_eq!(at(-5), Some((0, 0)));
    assert_eq!(at(180), None);
    let newest = log.max_timestamp().unwrap().run().unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp), (179, 179));
}

#[test]
fn truncation_cuts_batches_epochs_and_lookups() {
    for cache_bytes in [0, 1 << 20] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open_with(&disk, unclean(0), config(), cache_bytes);
        let batches: Vec<_> = (0..40).map(|i| batch(i * 3, 3, (i / 10) as i32)).collect();
        log.append(&batches, 0).unwrap();
        log.truncate_to(61).unwrap();
        assert_eq!(
            log.next_offset(),
            60,
            "the batch that reaches over goes as a whole"
        );
        assert_eq!(stored(&read_all(&log)), stored(&batches[..20]));
        assert_eq!(log.epochs(), [(0, 0), (1, 30)]);
        assert_eq!(
            log.max_timestamp().unwrap().run().unwrap().unwrap().offset,
            59
        );
        log.append(&[batch(60, 3, 7)], 0).unwrap();
        assert_eq!(
            read_all(&log).last().unwrap().header.partition_leader_epoch,
            7
        );
        log.truncate_fully_and_start_at(500).unwrap();
        assert_eq!((log.log_start(), log.next_offset()), (500, 500));
        log.append(&[batch(500, 1, 8)], 0).unwrap();
        assert_eq!(read_all(&log).len(), 1);
    }
}

#[test]
fn retention_by_time_and_size_takes_whole_segments_below_the_high_watermark() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..40).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&batches, 0).unwrap();
    let mut by_size = config();
    by_size.retention_bytes = Some(log.size_bytes() - 1500);
    log.set_config(by_size);
    assert!(log.retention(200, 5).unwrap().is_empty());
    let deleted = log.retention(200, 120).unwrap();
    assert_eq!(deleted.segments, 1);
    deleted.remove().unwrap();
    let mut by_time = config();
    by_time.retention_ms = Some(100);
    log.set_config(by_time);
    let start = log.log_start();
    log.retention(160, 120).unwrap().remove().unwrap();
    assert!(log.log_start() > start && log.log_start() <= 60);
    log.retention(10_000, 120).unwrap().remove().unwrap();
    assert_eq!((log.log_start(), log.size_bytes()), (120, 0));
    assert!(matches!(
        log.read(0, 120, 1, true),
        Err(Error::OutOfRange { .. })
    ));
    drop(log);
    let (log, _) = open(&disk, unclean(0));
    assert_eq!((log.log_start(), log.next_offset()), (120, 120));
}

/// A log of several segments that is opened anew, so that it remembers nothing, and keeps its records for 100 ms.
fn reopened(disk: &MemoryDisk) -> Log {
    let (mut log, _) = open(disk, unclean(0));
    let batches: Vec<_> = (0..40).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&batches, 0).unwrap();
    flush(&mut log);
    drop(log);
    let mut config = config();
    config.retention_ms = Some(100);
    open_with(disk, unclean(120), config, 0).0
}

#[test]
fn nothing_is_deleted_for_a_read_that_was_wrong_once() {
    let disk = MemoryDisk::new();
    let mut log = reopened(&disk);
    log.retention(160, 120).unwrap().remove().unwrap();
    let right = log.log_start();
    assert!(0 < right && right <= 60, "{right}");
    let mut felt = 0;
    for operation in [Operation::Read, Operation::Flip] {
        for after in 0..20 {
            let disk = MemoryDisk::new();
            let mut log = reopened(&disk);
            disk.inject(Fault {
                suffix: ".log".into(),
                after,
                ..Fault::once(operation, DIR)
            });
            let deleted = log.retention(160, 120);
            felt += usize::from(deleted.is_err() || log.log_start() < right);
            assert!(log.log_start() <= right, "{operation:?} {after}");
            disk.heal();
            log.retention(160, 120).unwrap().remove().unwrap();
            assert_eq!(log.log_start(), right, "{operation:?} {after}");
        }
    }
    assert!(felt > 0, "no fault was felt");
}

#[test]
fn what_is_damaged_is_as_young_as_its_file() {
    let disk = MemoryDisk::new();
    disk.set_now_ms(1_000);
    let mut log = reopened(&disk);
    let first = Path::new(DIR).join(format!("{:020}.log", 0));
    let size = disk.open(&first).unwrap().len().unwrap() as usize;
    for at in (0..size).step_by(40) {
        disk.flip(&first, at, 1).unwrap();
    }
    let mut scrub = log.scrub(0).unwrap().unwrap();
    while scrub.advance(1 << 20).unwrap() > 0 {}
    log.on_scrubbed(&scrub);
    assert!(log.is_damaged());
    assert!(log.retention(1_050, 120).unwrap().is_empty());
    assert!(!log.retention(1_101, 120).unwrap().is_empty());
}

#[test]
fn a_closed_segment_that_a_cut_opens_again_remembers_its_newest_record() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..20).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&batches, 0).unwrap();
    log.close_plan().unwrap().run().unwrap();
    drop(log);
    let (mut log, _) = open(&disk, clean());
    let boundary = log.active_base_offset();
    assert!(boundary > 0, "there are segments");
    log.truncate_to(boundary).unwrap();
    // Older than everything before.
    let mut builder = BatchBuilder::new(0).base_offset(boundary);
    builder.append(Some(b"key"), Some(b"value"));
    log.append(&[builder.build()], 0).unwrap();
    let found = log
        .offset_for_timestamp(boundary - 1)
        .unwrap()
        .run()
        .unwrap();
    assert_eq!(found.map(|f| f.offset), Some(boundary - 1));
}
