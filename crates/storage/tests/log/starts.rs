//! What a start believes, looks at, makes anew and removes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::checkpoint::{LEADER_EPOCH_FILE, write_epochs};
use storage::disk::write_replacing;
use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Log, OpenState};

use crate::house::{DIR, batch, clean, config, flush, open, read_all, stored, unclean};

fn path(offset: i64, extension: &str) -> PathBuf {
    Path::new(DIR).join(format!("{offset:020}.{extension}"))
}

/// An orderly stop.
fn close(mut log: Log) {
    let plan = log.close_plan().expect("it can be closed");
    plan.run().expect("syncs");
}

/// A log of several segments, closed; where they begin, and where it ends.
fn closed() -> (MemoryDisk, Vec<i64>, i64) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..30).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&batches, 0).expect("appends");
    let end = log.next_offset();
    let mut bases: Vec<i64> = (0..end).map(|offset| log.segment_base(offset)).collect();
    bases.dedup();
    assert!(bases.len() > 3, "{bases:?}");
    close(log);
    (disk, bases, end)
}

/// A log of four single records, all durable, and how long its file is before each of them.
fn durable() -> (MemoryDisk, Vec<u64>) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let batches: Vec<_> = (0..4).map(|n| batch(n, 1, 0)).collect();
    log.append(&batches, 0).expect("appends");
    flush(&mut log);
    let before = |n: usize| {
        batches[..n]
            .iter()
            .map(|b| b.bytes.len() as u64)
            .sum::<u64>()
    };
    (disk, (0..4).map(before).collect())
}

fn damaged(log: &Log) -> Vec<(i64, i64)> {
    log.damage().map(|d| (d.from, d.to)).collect()
}

#[test]
fn an_epoch_whose_records_compaction_has_taken_is_remembered() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 1)], 0).expect("appends");
    log.assign_epoch(2, 3);
    log.append(&[batch(6, 3, 3)], 0).expect("appends");
    close(log);
    let (log, recovery) = open(&disk, clean());
    assert_eq!(recovery.epochs, [(1, 0), (2, 3), (3, 6)]);
    close(log);
    // The log start has moved since the epochs were written.
    let start = OpenState {
        log_start: 1,
        ..clean()
    };
    assert_eq!(open(&disk, start).1.epochs, [(1, 1), (2, 3), (3, 6)]);
}

#[test]
fn epochs_that_the_batches_contradict_are_read_off_the_batches() {
    // Each is wrong at one end of an epoch only.
    for wrong in [[(1, 0), (2, 3)], [(1, 0), (2, 8)]] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        for (base, epoch) in [(0, 1), (3, 1), (6, 2)] {
            log.append(&[batch(base, 3, epoch)], 0).expect("appends");
        }
        close(log);
        let path = Path::new(DIR).join(LEADER_EPOCH_FILE);
        write_epochs(&disk, &path, &wrong).expect("writes");
        assert_eq!(open(&disk, clean()).1.epochs, [(1, 0), (2, 6)], "{wrong:?}");
    }
}

#[test]
fn epochs_that_were_cut_at_a_log_start_that_is_not_known_any_more_are_read_off_the_batches() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    for base in [0, 3] {
        log.append(&[batch(base, 3, 1)], 0).expect("appends");
    }
    let gone = log.advance_log_start(3).expect("it is in the log");
    gone.remove().expect("removes");
    assert_eq!(log.epochs(), [(1, 3)]);
    close(log);
    assert_eq!(open(&disk, clean()).1.epochs, [(1, 0)]);
}

#[test]
fn an_epoch_of_which_all_is_cut_is_not_remembered() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 1)], 0).expect("appends");
    flush(&mut log);
    drop(log);
    disk.flip(&path(0, "log"), 80, 1).expect("it is there");
    let (log, recovery) = open(&disk, unclean(0));
    assert!(recovery.cut.is_some());
    assert_eq!((log.next_offset(), recovery.epochs), (0, vec![]));
}

#[test]
fn a_start_after_an_orderly_stop_changes_nothing() {
    let (disk, _, end) = closed();
    disk.fail_power_after(0);
    let on = Arc::new(disk.clone());
    let budget = CacheBudget::new(0);
    let opened = Log::open(on, Path::new(DIR), config(), budget, clean());
    let (log, recovery) = opened.expect("there is nothing to be written");
    assert!(disk.has_power());
    assert_eq!((log.next_offset(), recovery.cut), (end, None));
}

#[test]
fn an_index_that_is_missing_is_made_anew_from_a_whole_segment() {
    let (disk, bases, _) = closed();
    let all = stored(&read_all(&open(&disk, clean()).0));
    for base in &bases[..2] {
        let index = path(*base, "index");
        disk.remove_file(&index).expect("it is there");
        let (log, recovery) = open(&disk, clean());
        assert_eq!(recovery.cut, None);
        assert!(stored(&read_all(&log)) == all);
        let index = disk.open(&index).expect("it is there again");
        assert!(!index.is_empty().expect("it has a length"));
    }
}

#[test]
fn a_start_after_a_crash_reads_no_more_than_what_may_not_be_durable() {
    let (disk, _, end) = closed();
    disk.flip(&path(0, "log"), 80, 1).expect("it is there");
    let (log, recovery) = open(&disk, unclean(end));
    // A scrub finds it, or a read.
    assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
    assert_eq!((log.next_offset(), recovery.cut), (end, None));
}

#[test]
fn what_stands_behind_a_missing_segment_is_cut() {
    let (disk, bases, _) = closed();
    for extension in ["log", "index", "timeindex", "snapshot"] {
        disk.remove_file(&path(bases[1], extension))
            .expect("it is there");
    }
    let len = |base: &i64| {
        let file = disk.open(&path(*base, "log")).expect("it is there");
        file.len().expect("it has one")
    };
    let behind: u64 = bases[2..].iter().map(len).sum();
    let (log, recovery) = open(&disk, unclean(0));
    assert_eq!((log.next_offset(), log.segment_count()), (bases[1], 1));
    let cut = recovery.cut.expect("it is told");
    assert_eq!(
        (cut.offset, cut.bytes, cut.is_torn),
        (bases[1], behind, false)
    );
    assert!(bases[2..].iter().all(|b| !disk.exists(&path(*b, "log"))));
}

#[test]
fn what_an_interrupted_deletion_or_write_has_left_goes() {
    let (disk, _, end) = closed();
    let left = [
        "00000000000000000000.index.deleted",
        "leader-epoch-checkpoint.tmp",
    ];
    let left = left.map(|name| Path::new(DIR).join(name));
    for path in &left {
        write_replacing(&disk, path, b"some").expect("writes");
    }
    let (log, _) = open(&disk, clean());
    assert_eq!(log.next_offset(), end);
    assert!(left.iter().all(|path| !disk.exists(path)));
}

#[test]
fn nothing_is_appended_behind_bytes_that_nobody_understands() {
    let (disk, sizes) = durable();
    // Of a batch in the middle it is known where it ends.
    disk.flip(&path(0, "log"), sizes[1] as usize + 70, 1)
        .expect("it is there");
    let (log, _) = open(&disk, unclean(4));
    assert_eq!((damaged(&log), log.active_base_offset()), (vec![(1, 2)], 0));
    drop(log);
    // Half of the last one is there.
    let file = disk.open(&path(0, "log")).expect("it is there");
    file.truncate(sizes[3] + 70).expect("it can be cut");
    let (mut log, _) = open(&disk, unclean(4));
    assert_eq!(damaged(&log), [(1, 2), (3, 4)]);
    assert_eq!((log.next_offset(), log.active_base_offset()), (4, 4));
    log.append(&[batch(4, 1, 0)], 0).expect("appends");
    flush(&mut log);
    drop(log);
    let (log, recovery) = open(&disk, unclean(5));
    assert_eq!((log.next_offset(), recovery.cut), (5, None));
}

#[test]
fn a_missing_end_is_told_beside_what_is_damaged_before_it() {
    let (disk, sizes) = durable();
    disk.flip(&path(0, "log"), sizes[1] as usize + 70, 1)
        .expect("it is there");
    let file = disk.open(&path(0, "log")).expect("it is there");
    file.truncate(sizes[3]).expect("it can be cut");
    let (log, _) = open(&disk, unclean(4));
    assert_eq!(damaged(&log), [(1, 2), (3, 4)]);
    assert_eq!(log.next_offset(), 4);
}
