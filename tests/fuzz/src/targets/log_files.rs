//! The files of a partition, garbled: segments, indexes, producer snapshots, leader epochs, the mark of a cut, and what an
//! interrupted compaction or deletion leaves. Opening repairs or refuses; nothing panics; what was checked is whole.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Log, LogConfig, OpenState};
use wire::batch::split;
use wire::record::BatchBuilder;

use super::take::Take;
use crate::memory;

const DIR: &str = "/logs/topic-0";
/// A scan's window and the files themselves, several times.
const FLOOR: usize = 4 << 20;
const PER_BYTE: usize = 64;
const NOW_MS: u64 = 1_700_000_000_000;
/// Rounds of reading that a log of few bytes can need.
const READS_MAX: usize = 10_000;
pub const EXTENSIONS: [&str; 10] = [
    "log",
    "index",
    "timeindex",
    "snapshot",
    "txnindex",
    "log.swap",
    "log.cleaned",
    "log.deleted",
    "index.swap",
    "timeindex.swap",
];
/// Beside the segments, one for all of them.
pub const BESIDE: [&str; 2] = [storage::checkpoint::LEADER_EPOCH_FILE, "truncation-offset"];

/// How it was left (a byte), the recovery point, the log start, then files: kind, base offset, length (2 bytes), bytes.
pub fn log_files(input: &[u8]) {
    let mut take = Take(input);
    let start = OpenState {
        clean: take.byte() & 1 == 1,
        recovery_point: i64::from(take.byte()),
        log_start: i64::from(take.byte()),
        now_ms: NOW_MS,
        ..OpenState::default()
    };
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new(DIR)).expect("creates");
    while !take.is_empty() {
        write_file(&disk, &mut take);
    }
    memory::within(FLOOR + PER_BYTE * input.len(), "a log", || {
        let checked = !start.clean && start.recovery_point == 0;
        let Some(mut log) = open(&disk, start) else {
            return;
        };
        assert!(log.log_start() <= log.next_offset());
        read_all(&log, checked);
        look_up(&log);
        // Nobody but whoever named the file gives a log such offsets: where batches come from, they are refused.
        if log.next_offset() > i64::MAX - 10 {
            return;
        }
        if checked {
            goes_on(&disk, log);
        } else {
            // Nothing is promised of files that were believed; but nothing panics.
            let _ = append(&mut log).and_then(|()| log.retention(NOW_MS, i64::MAX).map(drop));
        }
    });
}

fn write_file(disk: &MemoryDisk, take: &mut Take) {
    let (kind, base) = (usize::from(take.byte()), base_offset(take.byte()));
    let length = take.u16();
    let content = take.bytes(usize::from(length));
    let kind = kind % (EXTENSIONS.len() + BESIDE.len());
    let name = match EXTENSIONS.get(kind) {
        Some(extension) => format!("{base:020}.{extension}"),
        None => BESIDE[kind - EXTENSIONS.len()].to_owned(),
    };
    let path = Path::new(DIR).join(name);
    let file = disk.create(&path).expect("the directory is there");
    file.append(&mut [IoSlice::new(content)]).expect("writes");
}

fn base_offset(selector: u8) -> i64 {
    match selector {
        255 => i64::MAX,
        254 => i64::MAX - i64::from(i32::MAX),
        253 => 1 << 40,
        small => i64::from(small),
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 4096,
        index_interval_bytes: 64,
        compact: true,
        min_cleanable_dirty_ratio: 0.0,
        decompressed_bytes_max: 1 << 20,
        ..LogConfig::default()
    }
}

fn open(disk: &MemoryDisk, start: OpenState) -> Option<Log> {
    let budget = CacheBudget::new(0);
    let opened = Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        config(),
        budget,
        start,
    );
    opened.ok().map(|(log, _)| log)
}

/// Reads from the start to the end as a consumer would. `checked`: every batch must be whole.
fn read_all(log: &Log, checked: bool) {
    let mut from = log.log_start();
    for _ in 0..READS_MAX {
        let read = log
            .read(from, i64::MAX, 1, true)
            .and_then(|plan| plan.run());
        let Ok(records) = read else {
            assert!(!checked, "a log that was checked can be read");
            return;
        };
        let before = from;
        for batch in split(records.to_bytes()) {
            let Ok(batch) = batch else {
                assert!(!checked, "a log that was checked has whole batches");
                return;
            };
            if checked {
                assert_eq!(batch.verify_crc(), Ok(()));
                assert!(batch.header.next_offset() > from);
                assert!(batch.header.next_offset() <= log.next_offset());
            }
            from = batch.header.next_offset();
        }
        if from <= before {
            return;
        }
    }
    panic!("reading does not come to an end");
}

fn look_up(log: &Log) {
    for timestamp in [i64::MIN, 0, NOW_MS as i64, i64::MAX] {
        let _ = log
            .offset_for_timestamp(timestamp)
            .and_then(|lookup| lookup.run());
    }
    let _ = log.max_timestamp().and_then(|lookup| lookup.run());
}

fn append(log: &mut Log) -> Result<(), storage::Error> {
    let epoch = log.epochs().last().map_or(0, |(epoch, _)| *epoch);
    let mut builder = BatchBuilder::new(NOW_MS as i64)
        .base_offset(log.next_offset())
        .leader_epoch(epoch);
    builder.append(Some(b"key"), Some(b"what was acknowledged"));
    log.append(&[builder.build()], NOW_MS)
}

/// What is appended and flushed now outlives the process, and the cleaner.
fn goes_on(disk: &MemoryDisk, mut log: Log) {
    let at = log.next_offset();
    append(&mut log).expect("a repaired log takes records");
    let flushed = log.flush_plan().run().expect("syncs");
    log.on_flushed(&flushed);
    let clean = log.clean_plan(log.log_start(), log.next_offset(), NOW_MS);
    let _ = clean.map(|plan| plan.is_some());
    let log_start = log.log_start();
    drop(log);
    disk.crash(1);
    let start = OpenState {
        log_start,
        now_ms: NOW_MS,
        ..OpenState::default()
    };
    let again = open(disk, start).expect("a log that was repaired opens");
    assert_eq!(again.next_offset(), at + 1, "what was flushed is there");
    read_all(&again, true);
}
