//! What the disk has changed is put right with what another replica has, wherever the power fails meanwhile, and with
//! nothing but what was there.

use std::path::PathBuf;
use std::sync::Arc;

use storage::memory::MemoryDisk;
use storage::{Disk, Error, Log, LogConfig, Repair};
use wire::batch::Batch;
use wire::record::BatchBuilder;

use super::life::{DIR, checkpoint, config, open, prepare};
use crate::house::read_all;

/// Batches of the log; a few of them fill a segment.
const BATCHES: i64 = 40;

/// Three records each; three leader epochs.
fn batch(number: i64) -> Batch {
    let base = 3 * number;
    let builder = BatchBuilder::new(base).base_offset(base);
    let mut builder = builder.leader_epoch((number / 15) as i32);
    for offset in base..base + 3 {
        let text = format!("value {offset:03}");
        builder.append_at(
            offset,
            Some(&[(offset % 5) as u8]),
            Some(text.as_bytes()),
            &[],
        );
    }
    builder.build()
}

fn written() -> Vec<Batch> {
    (0..BATCHES).map(batch).collect()
}

/// A log that is durable, and known to be.
fn filled(disk: &Arc<dyn Disk>, config: LogConfig) -> Log {
    let (mut log, _) = open(disk, config).expect("opens");
    log.append(&written(), 0).expect("appends");
    flush(&**disk, &mut log).expect("syncs");
    log
}

fn flush(disk: &dyn Disk, log: &mut Log) -> Result<(), Error> {
    let flushed = log.flush_plan().run()?;
    log.on_flushed(&flushed);
    checkpoint(disk, log)
}

/// The file that has a batch, and where in it.
fn place(log: &Log, number: i64) -> (PathBuf, usize) {
    let base = log.segment_base(3 * number);
    let before = (base / 3..number).map(|n| batch(n).bytes.len()).sum();
    (PathBuf::from(DIR).join(format!("{base:020}.log")), before)
}

fn flip(disk: &MemoryDisk, log: &Log, number: i64, at: usize) {
    let (path, position) = place(log, number);
    disk.flip(&path, position + at, 4).expect("flips");
}

/// Reads every durable segment again.
fn scrub(log: &mut Log) -> Result<usize, Error> {
    let mut found = 0;
    for base in log.durable_segments() {
        let mut scrub = log.scrub(base)?.expect("the segment is there");
        while scrub.advance(100)? > 0 {}
        found += log.on_scrubbed(&scrub).new.len();
    }
    Ok(found)
}

/// Repairs all that can be, with what `peer` answers to (from, to).
fn repair(
    disk: &dyn Disk,
    log: &mut Log,
    peer: impl Fn(i64, i64) -> Vec<Batch>,
) -> Result<u32, Error> {
    let mut repaired = 0;
    log.close_damaged(0)?;
    flush(disk, log)?;
    while let Some(mut repair) = log.repair(0, log.next_offset(), 0)? {
        while let Some((from, to)) = repair.wanted() {
            repair.take(&peer(from, to))?;
        }
        let done = log.install_repaired(repair.finish()?)?;
        done.expect("nothing has changed meanwhile").remove()?;
        repaired += 1;
    }
    Ok(repaired)
}

/// One batch at a time, and the one behind.
fn other_replica(from: i64, _: i64) -> Vec<Batch> {
    (from / 3..(from / 3 + 2).min(BATCHES)).map(batch).collect()
}

fn names(disk: &dyn Disk) -> Vec<String> {
    let entries = disk.list(DIR.as_ref()).expect("lists");
    entries.into_iter().map(|e| e.name).collect()
}

fn check_whole(log: &Log) {
    let stored =
        |batches: Vec<Batch>| -> Vec<_> { batches.iter().map(Batch::stored_bytes).collect() };
    assert_eq!(stored(read_all(log)), stored(written()));
    for offset in 0..3 * BATCHES {
        let found = log.offset_for_timestamp(offset).and_then(|look| look.run());
        assert_eq!(found.expect("reads").map(|f| f.offset), Some(offset));
    }
}

#[test]
fn every_bit_that_the_disk_changes_is_found_and_put_right() {
    let len = batch(7).bytes.len();
    // Twice in one segment, at its beginning, at its end, at that of the log, and in any part of a batch.
    for hit in [
        vec![0],
        vec![4, 5],
        vec![4, 6],
        vec![39],
        vec![0, 7, 20, 39],
    ] {
        for at in (0..61).chain((61..len).step_by(9)) {
            let memory = MemoryDisk::new();
            prepare(&memory);
            let disk: Arc<dyn Disk> = Arc::new(memory.clone());
            let mut log = filled(&disk, config());
            hit.iter()
                .for_each(|number| flip(&memory, &log, *number, at));
            let found = scrub(&mut log).expect("reads");
            // What is between two may be given up with them.
            assert!((1..=hit.len()).contains(&found), "{hit:?} at {at}: {found}");
            for number in &hit {
                let read = log.read(3 * number, i64::MAX, 1, true);
                assert!(
                    matches!(read, Err(Error::Damaged { .. })),
                    "{hit:?} at {at}"
                );
            }
            repair(&*disk, &mut log, other_replica).expect("repairs");
            assert!(!log.is_damaged());
            assert_eq!(scrub(&mut log).expect("reads"), 0, "{hit:?} at {at}");
            check_whole(&log);
            memory.crash(at as u64);
            check_whole(&open(&disk, config()).expect("opens").0);
            let kept = names(&*disk)
                .iter()
                .filter(|n| n.ends_with(".damaged"))
                .count();
            assert_eq!(kept, 1, "{:?}", names(&*disk));
        }
    }
}

#[test]
fn a_power_loss_at_any_operation_of_a_repair_loses_nothing() {
    for seed in 0..4 {
        for operations in 0.. {
            let memory = MemoryDisk::new();
            prepare(&memory);
            let disk: Arc<dyn Disk> = Arc::new(memory.clone());
            let mut log = filled(&disk, config());
            [7, 9, 38]
                .iter()
                .for_each(|number| flip(&memory, &log, *number, 70));
            memory.fail_power_after(operations);
            let live = |log: &mut Log| {
                scrub(log)?;
                repair(&*disk, log, other_replica)
            };
            let ended = live(&mut log);
            if let Err(error) = &ended {
                assert!(!memory.has_power(), "{error}");
            }
            let dice = (seed << 32) + operations;
            memory.crash(dice);
            for operations in 0.. {
                memory.fail_power_after(operations);
                let Err(error) = open(&disk, config()) else {
                    break;
                };
                assert!(!memory.has_power(), "the recovery fails: {error}");
                memory.crash(dice ^ operations);
            }
            memory.crash(dice + 1);
            let (mut log, recovery) = open(&disk, config()).expect("opens");
            assert_eq!((recovery.cut, log.next_offset()), (None, 3 * BATCHES));
            let left = |name: &String| {
                [".swap", ".repaired", ".deleted"]
                    .iter()
                    .any(|s| name.ends_with(s))
            };
            assert!(!names(&*disk).iter().any(left), "{:?}", names(&*disk));
            live(&mut log).expect("the next try succeeds");
            check_whole(&log);
            if ended.is_ok() {
                assert!(operations > 30, "the repair is a short one: {operations}");
                break;
            }
        }
    }
}

/// A log with one damaged batch, and its repair.
fn begun(number: i64, config: LogConfig) -> (MemoryDisk, Log, Repair) {
    let memory = MemoryDisk::new();
    prepare(&memory);
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut log = filled(&disk, config);
    flip(&memory, &log, number, 70);
    assert_eq!(scrub(&mut log).expect("reads"), 1);
    let repair = log.repair(0, log.next_offset(), 0).expect("begins");
    (memory, log, repair.expect("something is damaged"))
}

#[test]
fn batches_that_are_not_what_was_there_are_refused() {
    let mut flipped = batch(7).bytes.to_vec();
    flipped[70] ^= 4;
    let flipped = Batch::parse(flipped.into()).expect("only its CRC is wrong");
    let base = 3 * 7;
    let mut late = BatchBuilder::new(base)
        .base_offset(base + 1)
        .leader_epoch(0);
    late.append_at(base + 1, None, Some(b"x"), &[]);
    let mut long = BatchBuilder::new(base).base_offset(base).leader_epoch(0);
    for offset in base..base + 4 {
        long.append_at(offset, None, Some(b"x"), &[]);
    }
    let other_epoch = batch(7).with_assigned(base, 1);
    for (what, wrong) in [
        ("a wrong CRC", vec![flipped]),
        ("the batch before", vec![batch(6)]),
        ("the batch behind, and so a gap", vec![batch(8)]),
        ("a gap at the beginning", vec![late.build()]),
        ("more than is missing", vec![long.build()]),
        ("another leader epoch", vec![other_epoch]),
    ] {
        let (memory, mut log, mut repair) = begun(7, config());
        assert_eq!(repair.wanted(), Some((base, base + 3)));
        let refused = repair.take(&wrong);
        assert!(
            matches!(refused, Err(Error::Unfit { .. })),
            "{what}: {refused:?}"
        );
        // Another replica has it.
        repair.take(&[batch(7)]).expect(what);
        let repaired = repair.finish().expect(what);
        let done = log.install_repaired(repaired).expect(what);
        done.expect("nothing has changed")
            .remove()
            .expect("removes");
        check_whole(&log);
        drop(memory);
    }
}

#[test]
fn a_repair_that_does_not_end_leaves_everything_as_it_was() {
    let (memory, log, mut repair) = begun(7, config());
    let before = names(&memory);
    let unfinished = repair.take(&[]).and_then(|()| repair.finish().map(|_| ()));
    assert!(
        matches!(unfinished, Err(Error::Unfit { .. })),
        "{unfinished:?}"
    );
    assert_eq!(names(&memory), before);
    let read = log.read(3 * 7, i64::MAX, 1, true);
    assert!(matches!(read, Err(Error::Damaged { .. })));
}

#[test]
fn a_repair_finds_what_was_damaged_meanwhile() {
    let (memory, log, mut repair) = begun(7, config());
    flip(&memory, &log, 6, 70);
    assert_eq!(
        place(&log, 6).0,
        place(&log, 7).0,
        "they are in one segment"
    );
    let repaired = repair
        .take(&[batch(7)])
        .and_then(|()| repair.finish().map(|_| ()));
    assert!(
        matches!(repaired, Err(Error::Corrupt { .. })),
        "{repaired:?}"
    );
}

#[test]
fn a_log_that_was_cut_meanwhile_is_left_alone() {
    let (memory, mut log, mut repair) = begun(7, config());
    repair.take(&[batch(7)]).expect("fits");
    let repaired = repair.finish().expect("is whole");
    log.truncate_to(3 * 8).expect("cuts");
    assert!(log.install_repaired(repaired).expect("looks").is_none());
    assert!(
        !names(&memory)
            .iter()
            .any(|n| n.ends_with(".repaired") || n.ends_with(".damaged"))
    );
}

#[test]
fn what_is_not_committed_yet_is_not_repaired() {
    let (_memory, log, repair) = begun(7, config());
    drop(repair);
    let end = log.segment_base(3 * 7) + 1;
    assert!(log.repair(0, end, 0).expect("looks").is_none());
}

#[test]
fn of_a_compacted_log_another_replica_may_have_less() {
    let compacted = LogConfig {
        compact: true,
        ..config()
    };
    let mut one = BatchBuilder::new(22).base_offset(22).leader_epoch(0);
    one.append_at(22, Some(&[2]), Some(b"value 22"), &[]);
    for (answer, left) in [
        (vec![one.build(), batch(8)], vec![22]),
        (vec![batch(8)], vec![]),
    ] {
        let (memory, mut log, mut repair) = begun(7, compacted.clone());
        repair.take(&answer).expect("fits");
        assert_eq!(repair.wanted(), None);
        let repaired = repair.finish().expect("is whole");
        log.install_repaired(repaired)
            .expect("installs")
            .expect("is the same")
            .remove()
            .expect("removes");
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        for log in [log, open(&disk, compacted.clone()).expect("opens").0] {
            let found: Vec<i64> = read_all(&log)
                .iter()
                .map(|b| b.header.base_offset)
                .collect();
            let there = (0..BATCHES)
                .filter(|n| *n != 7)
                .map(|n| 3 * n)
                .chain(left.clone());
            let mut there: Vec<i64> = there.collect();
            there.sort_unstable();
            assert_eq!(found, there);
        }
    }
}

#[test]
fn a_missing_end_of_a_segment_is_put_back() {
    let memory = MemoryDisk::new();
    prepare(&memory);
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let log = filled(&disk, config());
    let (path, position) = place(&log, BATCHES - 2);
    drop(log);
    let file = disk.open(&path).expect("opens");
    file.truncate(position as u64 + 10)
        .and_then(|()| file.sync_data())
        .expect("cuts");
    memory.kill();
    let (mut log, recovery) = open(&disk, config()).expect("opens");
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(repair(&*disk, &mut log, other_replica).expect("repairs"), 1);
    check_whole(&log);
}
