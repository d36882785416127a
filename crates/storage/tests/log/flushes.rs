//! What a flush makes durable, and what it leaves alone.

use std::path::{Path, PathBuf};

use storage::disk::read_file;
use storage::memory::{Fault, MemoryDisk, Operation};
use storage::{Disk, Log};

use crate::house::{DIR, batch, flush, open, read_all, unclean};

/// How many crashes each thing must survive.
const CRASHES: u64 = 50;

fn path(offset: i64, extension: &str) -> PathBuf {
    Path::new(DIR).join(format!("{offset:020}.{extension}"))
}

/// A log of which something is durable: the next flush finds no new epoch, whose file would bring the names to disk too.
fn begun(disk: &MemoryDisk) -> Log {
    let (mut log, _) = open(disk, unclean(0));
    append(&mut log);
    flush(&mut log);
    log
}

fn append(log: &mut Log) {
    let next = log.next_offset();
    log.append(&[batch(next, 3, 0)], 0).expect("appends");
}

/// Appends until a new segment has begun.
fn roll(log: &mut Log) {
    let segments = log.segment_count();
    while log.segment_count() == segments {
        append(log);
    }
}

/// The files that a life tells are there, whatever of the rest a crash takes.
fn check_durable(live: impl Fn(&MemoryDisk) -> Vec<PathBuf>) {
    for seed in 0..CRASHES {
        let disk = MemoryDisk::new();
        let files = live(&disk);
        let contents = || -> Vec<_> {
            let content = |path: &PathBuf| read_file(&disk, path).expect("can be read");
            files.iter().map(content).collect()
        };
        let before = contents();
        for content in &before {
            let content = content.as_ref().expect("it is there");
            assert!(!content.is_empty());
        }
        disk.crash(seed);
        assert!(contents() == before, "{files:?}, seed {seed}");
    }
}

#[test]
fn a_segment_is_durable_with_the_flush_after_its_beginning() {
    for lacks_snapshot in [false, true] {
        for seed in 0..CRASHES {
            let disk = MemoryDisk::new();
            let mut log = begun(&disk);
            if lacks_snapshot {
                disk.inject(Fault {
                    kind: std::io::ErrorKind::StorageFull,
                    ..Fault::always(Operation::Write, ".snapshot")
                });
            }
            roll(&mut log);
            flush(&mut log);
            let end = log.next_offset();
            assert!(log.recovery_point() == end && log.active_base_offset() > 0);
            drop(log);
            disk.crash(seed);
            let (log, recovery) = open(&disk, unclean(end));
            assert_eq!(log.next_offset(), end);
            assert!(recovery.damage.is_empty(), "{seed}: {:?}", recovery.damage);
            assert_eq!(read_all(&log).len() as i64 * 3, end);
        }
    }
}

#[test]
fn the_indexes_of_a_closed_segment_and_the_producers_behind_it_are_durable_with_the_next_flush() {
    check_durable(|disk| {
        let mut log = begun(disk);
        roll(&mut log);
        flush(&mut log);
        let snapshot = path(log.active_base_offset(), "snapshot");
        vec![path(0, "index"), path(0, "timeindex"), snapshot]
    });
}

#[test]
fn a_flush_from_before_a_segment_was_closed_says_nothing_of_its_indexes_and_of_the_producers() {
    check_durable(|disk| {
        let mut log = begun(disk);
        let flushed = loop {
            let plan = log.flush_plan();
            append(&mut log);
            if log.active_base_offset() > 0 {
                break plan.run().expect("syncs");
            }
        };
        log.on_flushed(&flushed);
        assert_eq!(log.recovery_point(), log.active_base_offset());
        flush(&mut log);
        let snapshot = path(log.active_base_offset(), "snapshot");
        vec![path(0, "index"), path(0, "timeindex"), snapshot]
    });
}

#[test]
fn an_orderly_stop_makes_the_indexes_durable_although_the_batches_are_it_already() {
    check_durable(|disk| {
        let mut log = begun(disk);
        append(&mut log);
        flush(&mut log);
        let end = log.next_offset();
        let plan = log.close_plan().expect("it can be closed");
        log.on_flushed(&plan.run().expect("syncs"));
        vec![
            path(0, "index"),
            path(0, "timeindex"),
            path(end, "snapshot"),
        ]
    });
}

#[test]
fn what_came_after_a_flush_is_made_durable_by_the_next_one() {
    for seed in 0..CRASHES {
        let disk = MemoryDisk::new();
        let mut log = begun(&disk);
        append(&mut log);
        let flushed = log.flush_plan().run().expect("syncs");
        append(&mut log);
        log.on_flushed(&flushed);
        assert_eq!((log.recovery_point(), log.next_offset()), (6, 9));
        flush(&mut log);
        assert_eq!(log.recovery_point(), 9);
        drop(log);
        disk.crash(seed);
        let (log, recovery) = open(&disk, unclean(9));
        assert!(recovery.damage.is_empty(), "{seed}: {:?}", recovery.damage);
        assert_eq!(read_all(&log).len(), 3);
    }
}

#[test]
fn a_flush_does_no_more_than_it_must() {
    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    // All that a follower waits for is one fsync.
    append(&mut log);
    disk.fail_power_after(1);
    flush(&mut log);
    assert!(disk.has_power());

    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    for _ in 0..3 {
        roll(&mut log);
    }
    flush(&mut log);
    // Nothing is new.
    disk.fail_power_after(0);
    flush(&mut log);
    assert!(disk.has_power());
}

#[test]
fn indexes_can_be_written_for_whoever_looks_at_them() {
    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    append(&mut log);
    let len = || {
        let index = disk.open(&path(0, "index")).expect("it is there");
        index.len().expect("it has one")
    };
    assert_eq!(len(), 0);
    log.write_indexes().expect("writes");
    assert!(len() > 0);
}

#[test]
fn a_snapshot_that_is_gone_need_not_be_durable_and_one_that_cannot_be_opened_is_not() {
    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    roll(&mut log);
    let snapshot = path(log.active_base_offset(), "snapshot");
    disk.remove_file(&snapshot).expect("it is there");
    flush(&mut log);
    assert_eq!(log.recovery_point(), log.next_offset());

    roll(&mut log);
    let snapshot = path(log.active_base_offset(), "snapshot");
    disk.remove_file(&snapshot).expect("it is there");
    disk.create_dir_all(&snapshot).expect("nothing is there");
    assert!(log.flush_plan().run().is_err());
    assert!(log.poison().reason().is_some());
}

#[test]
fn a_directory_that_goes_with_its_topic_before_its_names_are_durable_does_no_harm() {
    let disk = MemoryDisk::new();
    let mut log = begun(&disk);
    roll(&mut log);
    let plan = log.flush_plan();
    let doomed = Path::new("/logs/topic-0.0123-delete");
    disk.rename(Path::new(DIR), doomed).expect("it is there");
    assert!(plan.run().is_err());
    assert_eq!(log.poison().reason(), None);
}
