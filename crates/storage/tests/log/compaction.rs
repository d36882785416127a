//! Compaction against a model: the newest record of each key stays at its offset, whatever interrupts.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use storage::compression::{compress, decompress};
use storage::memory::{Fault, MemoryDisk, Operation};
use storage::{Disk, Log, LogConfig, OpenState};
use wire::batch::{Batch, Compression};
use wire::record::{self, BatchBuilder};

use crate::house::{DIR, config, flush, open_with, read_all, unclean};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn compacted() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        delete_retention_ms: 1000,
        ..config()
    }
}

fn open(disk: &MemoryDisk, recovery_point: i64) -> Log {
    open_with(disk, unclean(recovery_point), compacted(), 0).0
}

/// A batch of (key, value) records; an empty value is a tombstone.
fn keyed(base: i64, records: &[(u8, u8)]) -> Batch {
    let codec = CODECS[base as usize % CODECS.len()];
    let mut builder = BatchBuilder::new(base);
    for (i, (key, value)) in records.iter().enumerate() {
        let value = [*value; 60];
        let value = (value[0] > 0).then_some(&value[..]);
        builder.append_at(base + i as i64, Some(&[*key]), value, &[]);
    }
    let batch = builder.build_compressed(codec, |plain| compress(codec, plain).unwrap());
    batch.with_assigned(base, 0)
}

/// Offset → (key, value, time) of every record that is left.
fn records(log: &Log) -> BTreeMap<i64, (u8, Option<u8>, i64)> {
    let mut all = BTreeMap::new();
    for batch in read_all(log) {
        let header = batch.header;
        let payload = decompress(header.compression(), &batch.payload(), 1 << 20).unwrap();
        for record in record::iter(payload, header.record_count) {
            let record = record.unwrap();
            let value = record.value.map(|value| value[0]);
            let offset = header.base_offset + i64::from(record.offset_delta);
            let time = header.base_timestamp + record.timestamp_delta;
            all.insert(offset, (record.key.unwrap()[0], value, time));
        }
    }
    all
}

fn newest(records: &BTreeMap<i64, (u8, Option<u8>, i64)>) -> BTreeMap<u8, (i64, Option<u8>)> {
    records
        .iter()
        .map(|(offset, (key, value, _))| (*key, (*offset, *value)))
        .collect()
}

fn fill(log: &mut Log, batches: &[Vec<(u8, u8)>]) {
    for records in batches {
        let batch = keyed(log.next_offset(), records);
        log.append(&[batch], 0).unwrap();
    }
    flush(log);
}

/// Cleans once; gives how far.
fn clean(log: &mut Log, first_dirty: i64, now_ms: u64, dedupe_bytes: usize) -> i64 {
    let Some(plan) = log.clean_plan(first_dirty, i64::MAX, now_ms).unwrap() else {
        return first_dirty;
    };
    let cleaned = plan.run(dedupe_bytes).unwrap();
    let to = cleaned.cleaned_to;
    let old = log.install_cleaned(cleaned).unwrap();
    old.expect("nobody has cut the log").remove().unwrap();
    to
}

fn batches() -> impl Strategy<Value = Vec<Vec<(u8, u8)>>> {
    let record = (0..12u8, 0..4u8);
    prop::collection::vec(prop::collection::vec(record, 1..6), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_record_of_each_key_stays(batches in batches(), dedupe in prop_oneof![Just(200usize), Just(1 << 20)]) {
        let disk = MemoryDisk::new();
        let mut log = open(&disk, 0);
        fill(&mut log, &batches);
        let before = records(&log);
        let end = log.next_offset();
        let mut cleaned_to = 0;
        loop {
            let to = clean(&mut log, cleaned_to, 10, dedupe);
            if to == cleaned_to {
                break;
            }
            cleaned_to = to;
        }
        let after = records(&log);
        prop_assert_eq!(log.next_offset(), end);
        prop_assert_eq!(newest(&after), newest(&before));
        for (offset, record) in &after {
            prop_assert_eq!(before.get(offset), Some(record), "what stays is what it was");
        }
        let kept_below = after.range(..log.active_base_offset()).count();
        prop_assert!(kept_below <= 12, "of each key one record at most: {}", kept_below);

        disk.kill();
        let log = open(&disk, log.recovery_point());
        prop_assert_eq!(records(&log), after);
    }

    #[test]
    fn an_interrupted_swap_is_finished_or_undone(
        batches in batches(), fail_after in 0..40u32, seed in any::<u64>(),
    ) {
        let disk = MemoryDisk::new();
        let mut log = open(&disk, 0);
        fill(&mut log, &batches);
        let before = records(&log);
        let recovery_point = log.recovery_point();
        disk.inject(Fault { after: fail_after, ..Fault::always(Operation::Write, "/logs") });
        if let Ok(Some(plan)) = log.clean_plan(0, i64::MAX, 10)
            && let Ok(cleaned) = plan.run(1 << 20)
        {
            let _ = log.install_cleaned(cleaned);
        }
        disk.crash(seed);
        let log = open(&disk, recovery_point);
        let after = records(&log);
        prop_assert_eq!(newest(&after), newest(&before));
        prop_assert_eq!(log.next_offset(), before.keys().next_back().map_or(0, |last| last + 1));
        let left = disk.list(log.dir()).unwrap();
        prop_assert!(!left.iter().any(|e| e.name.ends_with(".swap") || e.name.ends_with(".cleaned")));
    }
}

#[test]
fn a_tombstone_goes_after_its_retention() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk, 0);
    let mut batches = vec![vec![(1, 1), (2, 1)], vec![(1, 0)]];
    batches.extend((0..30).map(|i| vec![(100 + i, 1)]));
    fill(&mut log, &batches);
    let has_key = |log: &Log, key| newest(&records(log)).contains_key(&key);
    let to = clean(&mut log, 0, 5000, 1 << 20);
    assert!(has_key(&log, 1), "consumers have to see the tombstone");
    assert_eq!(
        records(&log)[&2].2,
        2,
        "a delete horizon changes no timestamp"
    );
    fill(
        &mut log,
        &(0..30).map(|i| vec![(100 + i, 2)]).collect::<Vec<_>>(),
    );
    let to = clean(&mut log, to, 5999, 1 << 20);
    assert!(has_key(&log, 1));
    fill(
        &mut log,
        &(0..30).map(|i| vec![(100 + i, 3)]).collect::<Vec<_>>(),
    );
    clean(&mut log, to, 6000, 1 << 20);
    assert!(!has_key(&log, 1) && has_key(&log, 2));
}

#[test]
fn a_producers_last_sequence_outlives_its_records() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk, 0);
    let mut builder = BatchBuilder::new(1).producer(7, 3, 40);
    builder.append(Some(&[1]), Some(&[1; 60]));
    log.append(&[builder.build().with_assigned(0, 0)], 0)
        .unwrap();
    fill(&mut log, &(0..40).map(|_| vec![(1, 2)]).collect::<Vec<_>>());
    clean(&mut log, 0, 10, 1 << 20);
    let first = read_all(&log)[0].header;
    assert_eq!(
        (first.record_count, first.producer_id, first.last_sequence()),
        (0, 7, 40)
    );
    assert!(!records(&log).contains_key(&0));
}

#[test]
fn retention_passes_a_segment_that_compaction_has_emptied() {
    let disk = MemoryDisk::new();
    let config = LogConfig {
        delete: true,
        retention_ms: Some(1000),
        ..compacted()
    };
    let (mut log, _) = open_with(&disk, unclean(0), config, 0);
    // Two segments of the same key; the second makes the first one empty.
    fill(&mut log, &(0..14).map(|_| vec![(1, 2)]).collect::<Vec<_>>());
    let second = log.active_base_offset();
    assert!(second > 0);
    fill(&mut log, &(0..14).map(|_| vec![(1, 2)]).collect::<Vec<_>>());
    clean(&mut log, 0, 10, 1 << 20);
    let deleted = log.retention(1_000_000, i64::MAX).unwrap();
    assert!(!deleted.is_empty());
    assert_eq!(log.log_start(), log.next_offset(), "all of it is old");
}

#[test]
fn a_follower_of_a_log_that_ends_with_expired_tombstones_gets_to_its_end() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk, 0);
    fill(&mut log, &[vec![(1, 1)], vec![(1, 0)]]);
    let day_ms = 24 * 60 * 60 * 1000;
    assert!(log.roll_if_due(8 * day_ms).unwrap(), "idle for long");
    flush(&mut log);
    let to = clean(&mut log, 0, 8 * day_ms, 1 << 20);
    clean(&mut log, to.min(1), 9 * day_ms, 1 << 20);
    assert!(records(&log).is_empty(), "the tombstone has expired");
    let end = read_all(&log)
        .last()
        .map(|batch| batch.header.next_offset());
    assert_eq!(end, Some(log.next_offset()));
}

#[test]
fn what_was_cleaned_of_records_that_were_cut_meanwhile_does_not_come_back() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk, 0);
    let filled = |value: u8| vec![vec![(1, value), (2, value)]; 30];
    fill(&mut log, &filled(1));
    let plan = log.clean_plan(0, i64::MAX, 10).unwrap();
    let cleaned = plan.expect("there is something").run(1 << 20).unwrap();
    log.take_cut();
    log.truncate_fully_and_start_at(0).unwrap();
    fill(&mut log, &filled(2));
    assert_eq!(log.take_cut(), Some(0));

    assert!(log.install_cleaned(cleaned).unwrap().is_none());
    let values = records(&log).into_values().map(|(_, value, _)| value);
    assert!(values.into_iter().all(|value| value == Some(2)));
    let left = disk.list(Path::new(DIR)).unwrap();
    assert!(!left.iter().any(|entry| entry.name.ends_with(".cleaned")));
}

#[test]
fn gaps_that_compaction_has_left_are_no_loss_where_a_checkpoint_is() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk, 0);
    fill(&mut log, &vec![vec![(1, 1), (2, 2)]; 30]);
    let cleaned = clean(&mut log, 0, 10, 1 << 20);
    let (end, before) = (log.next_offset(), records(&log));
    drop(log);
    disk.kill();
    let start = OpenState {
        cleaned,
        ..unclean(0)
    };
    let (log, recovery) = open_with(&disk, start, compacted(), 0);
    assert_eq!(recovery.cut, None);
    assert_eq!((log.next_offset(), records(&log)), (end, before));
}
