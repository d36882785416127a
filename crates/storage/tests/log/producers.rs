//! What a log knows of idempotent producers when it is opened again.

use std::path::{Path, PathBuf};

use storage::disk::memory::{Fault, MemoryDisk, Operation};
use storage::{Disk, Log, LogConfig, Scrub};
use wire::batch::Batch;
use wire::record::BatchBuilder;

use crate::house::{DIR, batch, clean, config, flush, open, open_with, unclean};

fn path(offset: i64) -> PathBuf {
    Path::new(DIR).join(format!("{offset:020}.snapshot"))
}

/// The producer's batch at an offset, of one record.
fn batch_of(offset: i64) -> Batch {
    let sequence = i32::try_from(offset).expect("a few");
    let mut builder = BatchBuilder::new(1).producer(7, 0, sequence);
    builder.append(Some(b"key"), Some(&[1; 200]));
    builder.build().with_assigned(offset, 0)
}

/// Ten batches, in order; a segment has fewer.
fn fill(log: &mut Log) {
    for _ in 0..10 {
        let batch = batch_of(log.next_offset());
        log.append(&[batch], 0).expect("appends");
    }
    flush(log);
}

/// A log with them.
fn filled() -> (MemoryDisk, Log) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    fill(&mut log);
    (disk, log)
}

#[test]
fn a_snapshot_from_before_the_first_segment_tells_nothing() {
    let disk = MemoryDisk::new();
    let config = short_lived();
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

/// What is known of the one producer: its last sequence, and how much is there without a gap.
fn known(log: &Log) -> Option<(i32, u64)> {
    let producers = log.producers();
    assert!(producers.len() < 2, "{producers:?}");
    producers.first().map(|p| (p.last_sequence, p.without_gap))
}

/// Changes a bit of the batch at `offset`, or changes it back, and has its segment read again.
fn flip(disk: &MemoryDisk, log: &mut Log, offset: i64) {
    flip_bit(disk, log, offset);
    let scrub = scrubbed(log, offset);
    log.on_scrubbed(&scrub);
}

fn flip_bit(disk: &MemoryDisk, log: &Log, offset: i64) {
    let base = log.segment_base(offset);
    let size = batch_of(offset).bytes.len();
    let path = Path::new(DIR).join(format!("{base:020}.log"));
    let at = usize::try_from(offset - base).expect("a few") * size + 80;
    disk.flip(&path, at, 1).expect("it is there");
}

/// The segment of `offset`, read to its end.
fn scrubbed(log: &Log, offset: i64) -> Scrub {
    let scrub = log.scrub(log.segment_base(offset)).expect("it opens");
    let mut scrub = scrub.expect("it is there");
    while scrub.advance(1 << 20).expect("it can be read") > 0 {}
    scrub
}

#[test]
fn what_the_disk_has_changed_is_remembered_when_what_is_behind_is_cut() {
    let (disk, mut log) = filled();
    let base = log.active_base_offset();
    // The last two that are left, of ten.
    for offset in [base - 2, base - 1] {
        flip(&disk, &mut log, offset);
    }
    log.truncate_to(base).expect("cuts");
    assert_eq!(
        known(&log),
        Some((i32::try_from(base).unwrap() - 1, base as u64))
    );
    assert!(!log.take_producers_reread());
}

#[test]
fn what_was_damaged_at_a_start_is_read_when_it_is_whole() {
    let (disk, mut log) = filled();
    let end = log.next_offset();
    let last = end - 1;
    flip(&disk, &mut log, last);
    drop(log);

    // It lacks the last one, and writes no snapshot that would not tell.
    let (mut log, _) = open(&disk, unclean(end));
    assert_eq!(
        known(&log),
        Some((i32::try_from(last).unwrap() - 1, last as u64))
    );
    assert!(!log.take_producers_reread());
    let plan = log.close_plan().expect("it can be closed");
    log.on_flushed(&plan.run().expect("syncs"));
    assert!(!disk.exists(&path(end)));
    drop(log);
    let (mut log, _) = open(&disk, unclean(end));
    assert_eq!(
        known(&log).map(|(sequence, _)| i64::from(sequence)),
        Some(last - 1)
    );

    flip(&disk, &mut log, last);
    assert_eq!(
        known(&log),
        Some((i32::try_from(last).unwrap(), end as u64))
    );
    assert!(log.take_producers_reread() && !log.take_producers_reread());
    log.close_plan().expect("it can be closed");
    assert!(disk.exists(&path(end)));
    drop(log);
    let (log, _) = open(&disk, clean());
    assert_eq!(
        known(&log),
        Some((i32::try_from(last).unwrap(), end as u64))
    );
}

#[test]
fn a_producer_may_go_on_where_nobody_will_know_what_it_wrote() {
    let (disk, mut log) = filled();
    let end = log.next_offset();
    flip(&disk, &mut log, end - 1);
    drop(log);
    let (mut log, _) = open(&disk, unclean(end));
    assert!(known(&log).is_some());
    log.close_damaged(0).expect("rolls");
    let gone = log.advance_log_start(end).expect("it is the end");
    gone.remove().expect("removes");
    assert_eq!(known(&log), None);
    assert!(log.take_producers_reread());
    log.append(&[batch_of(end)], 0).expect("appends");
    assert_eq!(known(&log), Some((i32::try_from(end).unwrap(), 1)));
}

#[test]
fn a_read_that_fails_before_a_cut_changes_nothing() {
    let (mut unchanged, mut cut) = (0, 0);
    for after in 0..12 {
        let (disk, mut log) = filled();
        disk.inject(Fault {
            suffix: ".log".into(),
            after,
            ..Fault::once(Operation::Read, DIR)
        });
        let done = log.truncate_to(5);
        if done.is_err() && log.poison().reason().is_none() {
            unchanged += 1;
            assert_eq!((log.next_offset(), known(&log)), (10, Some((9, 10))));
            log.truncate_to(5).expect("it can be read again");
        } else if done.is_err() {
            // The end that is appended to could not be read.
            continue;
        }
        cut += 1;
        assert_eq!((log.next_offset(), known(&log)), (5, Some((4, 5))));
    }
    assert!(unchanged > 0 && cut > unchanged + 1, "{unchanged} of {cut}");
}

#[test]
fn what_cannot_be_read_when_it_is_whole_is_read_later() {
    let (disk, mut log) = filled();
    let end = log.next_offset();
    flip(&disk, &mut log, end - 1);
    drop(log);
    let (mut log, _) = open(&disk, unclean(end));
    flip_bit(&disk, &log, end - 1);
    let scrub = scrubbed(&log, end - 1);
    disk.inject(Fault::once(Operation::Read, DIR));
    log.on_scrubbed(&scrub);
    let lacking = known(&log).map(|(sequence, _)| i64::from(sequence));
    assert_eq!((lacking, log.is_damaged()), (Some(end - 2), false));

    let scrub = scrubbed(&log, end - 1);
    log.on_scrubbed(&scrub);
    assert_eq!(
        known(&log),
        Some((i32::try_from(end).unwrap() - 1, end as u64))
    );
}

/// Everything is soon old.
fn short_lived() -> LogConfig {
    LogConfig {
        delete: true,
        retention_ms: Some(1000),
        ..config()
    }
}

#[test]
fn who_wrote_what_retention_has_deleted_is_known_after_a_crash_and_a_cut() {
    for seed in 0..20 {
        let disk = MemoryDisk::new();
        let config = short_lived();
        let (mut log, _) = open_with(&disk, unclean(0), config.clone(), 0);
        fill(&mut log);
        let end = log.next_offset();
        let gone = log.retention(1_000_000, i64::MAX).expect("all are old");
        flush(&mut log);
        gone.remove().expect("removes");
        drop(log);
        disk.crash(seed);
        let (mut log, _) = open_with(&disk, unclean(end), config.clone(), 0);
        assert_eq!((log.log_start(), log.next_offset()), (end, end));
        assert_eq!(known(&log), Some((9, 10)), "{seed}");

        log.append(&[batch_of(end)], 0).expect("appends");
        drop(log);
        disk.kill();
        let path = Path::new(DIR).join(format!("{end:020}.log"));
        let file = disk.open(&path).expect("it is there");
        file.truncate(100).expect("it can be cut");
        let (log, recovery) = open_with(&disk, unclean(end), config, 0);
        assert!(recovery.cut.is_some());
        assert_eq!((log.next_offset(), known(&log)), (end, Some((9, 10))));
    }
}

#[test]
fn a_snapshot_is_kept_where_a_segment_begins_and_where_the_log_ends() {
    let (disk, mut log) = filled();
    let end = log.next_offset();
    let (begin, within): (Vec<i64>, Vec<i64>) =
        (1..end).partition(|offset| log.segment_base(*offset) == *offset);
    let (stale, newest) = (within[0], path(end));
    assert!(begin.len() > 1, "{begin:?}");
    let plan = log.close_plan().expect("it can be closed");
    plan.run().expect("syncs");
    drop(log);
    let content = storage::disk::read_file(&disk, &newest).expect("it can be read");
    let content = content.expect("it is there");
    storage::disk::write_replacing(&disk, &path(stale), &content).expect("writes");
    let (log, _) = open(&disk, clean());
    assert!(!disk.exists(&path(stale)) && disk.exists(&newest));
    assert!(begin.iter().all(|offset| disk.exists(&path(*offset))));
    assert_eq!(known(&log), Some((9, 10)));
}

#[test]
fn no_snapshot_tells_of_what_was_cut() {
    let (disk, mut log) = filled();
    let end = log.next_offset();
    log.close_plan().expect("it can be closed");
    log.append(&[batch_of(end)], 0).expect("appends");
    log.truncate_to(end).expect("cuts");
    // All that this one tells of is still there.
    assert!(disk.exists(&path(end)));
    log.truncate_to(end - 1).expect("cuts");
    assert!(!disk.exists(&path(end)));
    log.close_plan().expect("it can be closed");
    assert!(disk.exists(&path(end - 1)));
    log.truncate_fully_and_start_at(0).expect("cuts");
    assert!(!disk.exists(&path(end - 1)));
}

#[test]
fn damage_before_a_snapshot_hides_nobody() {
    const MAGIC_AT: usize = 16;
    let (disk, log) = filled();
    let (base, end) = (log.active_base_offset(), log.next_offset());
    // The last batch before the snapshot cannot be read, and all are read for the epochs.
    let first = log.segment_base(base - 1);
    drop(log);
    let size = batch_of(0).bytes.len();
    let at = usize::try_from(base - 1 - first).expect("a few") * size + MAGIC_AT;
    let segment = Path::new(DIR).join(format!("{first:020}.log"));
    disk.flip(&segment, at, 1).expect("it is there");
    let epochs = Path::new(DIR).join(storage::checkpoint::LEADER_EPOCH_FILE);
    disk.remove_file(&epochs).expect("it is there");
    let (mut log, _) = open(&disk, unclean(end));
    assert!(log.is_damaged());
    assert_eq!(known(&log), Some((9, 10)));
    // So the next start may be told of them.
    log.close_plan().expect("it can be closed");
    assert!(disk.exists(&path(end)));
}

#[test]
fn a_cut_at_the_log_start_forgets_nobody() {
    let (_disk, mut log) = filled();
    let start = 5;
    assert!(log.segment_base(start) < start);
    let gone = log.advance_log_start(start).expect("it is in the log");
    gone.remove().expect("removes");
    log.truncate_to(start).expect("cuts");
    assert_eq!((log.log_start(), log.next_offset()), (start, start));
    assert_eq!(known(&log), Some((4, 5)));
}

#[test]
fn a_cut_goes_back_to_the_snapshot_where_nothing_earlier_is_remembered() {
    let disk = MemoryDisk::new();
    let config = short_lived();
    let (mut log, _) = open_with(&disk, unclean(0), config.clone(), 0);
    fill(&mut log);
    let end = log.next_offset();
    let gone = log.retention(1_000_000, i64::MAX).expect("all are old");
    gone.remove().expect("removes");
    log.append(&[batch(end, 1, 0), batch_of(end + 1)], 0)
        .expect("appends");
    flush(&mut log);
    drop(log);
    let (mut log, _) = open_with(&disk, unclean(end), config, 0);
    assert_eq!(known(&log), Some((11, 1)));
    log.truncate_to(end + 1).expect("cuts");
    assert_eq!(known(&log), Some((9, 10)));
}
