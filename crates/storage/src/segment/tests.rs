//! When a segment is full, and what it remembers of its batches.

use wire::record::BatchBuilder;

use super::*;
use crate::disk::memory::{Fault, MemoryDisk, Operation};

const OPENED_MS: u64 = 1_000;
const NEVER: u64 = 1 << 60;

fn batch(offset: i64, timestamp: i64) -> Batch {
    let mut builder = BatchBuilder::new(timestamp)
        .base_offset(offset)
        .leader_epoch(0);
    builder.append(Some(b"key"), Some(b"value"));
    builder.build()
}

/// Every batch but the first has an entry in the index, and nothing fills a segment.
fn config() -> LogConfig {
    LogConfig {
        segment_bytes: NEVER,
        segment_ms: NEVER,
        segment_index_bytes: NEVER,
        index_interval_bytes: 0,
        ..LogConfig::default()
    }
}

struct Made {
    disk: MemoryDisk,
    segment: Segment,
}

impl Made {
    fn empty(base: i64) -> Made {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/log"));
        disk.create_dir_all(dir).expect("a directory");
        let segment = Segment::create(&disk, dir, base, OPENED_MS).expect("creates");
        Made { disk, segment }
    }

    /// From offset 0 on, one record each.
    fn with(timestamps: &[i64], config: &LogConfig) -> Made {
        let mut made = Made::empty(0);
        for (offset, timestamp) in (0..).zip(timestamps) {
            made.append(offset, *timestamp, config);
        }
        made
    }

    fn append(&mut self, offset: i64, timestamp: i64, config: &LogConfig) {
        let (batches, poison) = ([batch(offset, timestamp)], Poison::new());
        let appended = self.segment.append(&self.disk, &batches, config, &poison);
        appended.expect("appends");
    }

    /// Keeps the batches below an offset.
    fn cut(&mut self, offset: i64) {
        let position = offset as u64 * batch(0, 0).header.size_bytes() as u64;
        let cut = self.segment.truncate(&self.disk, position, offset);
        cut.expect("truncates");
    }

    fn is_full(&self, timestamp: i64, config: &LogConfig, now_ms: u64) -> bool {
        let next = batch(self.segment.base_offset + 10, timestamp).header;
        self.segment.is_full(&next, config, now_ms)
    }

    fn largest(&self) -> Option<(i64, i64)> {
        let largest = self.segment.largest(&self.disk).expect("it can be read");
        largest.map(|largest| (largest.timestamp, largest.offset))
    }

    /// How many entries the time index has, and what the last one says.
    fn times(&self) -> (usize, Option<(i64, i64)>) {
        let index = &self.segment.time_index;
        let last = index.last(&self.disk).expect("it can be read");
        (index.len(), last.map(|last| (last.timestamp, last.offset)))
    }
}

#[test]
fn a_segment_is_full_before_it_exceeds_its_bytes() {
    let made = Made::with(&[0, 0], &config());
    let size = made.segment.size * 3 / 2;
    let full_at = |segment_bytes| {
        let config = LogConfig {
            segment_bytes,
            ..config()
        };
        made.is_full(0, &config, OPENED_MS)
    };
    assert!(!full_at(size));
    assert!(full_at(size - 1));
    // A batch that is larger than any segment has one for itself.
    let tiny = LogConfig {
        segment_bytes: 1,
        ..config()
    };
    assert!(!Made::empty(0).is_full(0, &tiny, OPENED_MS));
}

#[test]
fn a_segment_is_full_where_its_indexes_could_not_tell_an_offset() {
    let base = 7;
    let made = Made::empty(base);
    let full_at = |offset| {
        let header = batch(offset, 0).header;
        made.segment.is_full(&header, &config(), OPENED_MS)
    };
    assert!(!full_at(base + i64::from(i32::MAX)));
    assert!(full_at(base + i64::from(i32::MAX) + 1));
}

#[test]
fn a_segment_is_full_when_it_is_too_old_by_its_records_own_time() {
    let config = LogConfig {
        segment_ms: 50,
        ..config()
    };
    let long_after = OPENED_MS + 1_000;
    for first in [0, 100] {
        let made = Made::with(&[first, first + 40], &config);
        assert!(!made.is_full(first + 50, &config, long_after));
        assert!(made.is_full(first + 51, &config, OPENED_MS));
        assert!(!made.is_full(first - first / 2, &config, long_after));
    }
}

#[test]
fn without_the_records_time_a_segments_own_counts() {
    let config = LogConfig {
        segment_ms: 50,
        ..config()
    };
    for (first, next) in [(-1, -1), (-1, 100), (100, -1)] {
        let made = Made::with(&[first], &config);
        assert!(!made.is_full(next, &config, OPENED_MS + 50));
        assert!(made.is_full(next, &config, OPENED_MS + 51));
    }
}

#[test]
fn a_segment_that_gets_nothing_more_is_closed_in_time_and_an_empty_one_is_not() {
    let config = LogConfig {
        segment_ms: 50,
        ..config()
    };
    let made = Made::with(&[100], &config);
    assert!(!made.segment.is_due(&config, 150));
    assert!(made.segment.is_due(&config, 151));
    assert!(!Made::empty(0).segment.is_due(&config, OPENED_MS + 1_000));
}

#[test]
fn a_segment_is_full_before_an_index_is() {
    let full_at = |made: &Made, segment_index_bytes| {
        let config = LogConfig {
            segment_index_bytes,
            ..config()
        };
        made.is_full(0, &config, OPENED_MS)
    };
    // Five entries of 8 bytes, and one of 12.
    let made = Made::with(&[0; 6], &config());
    assert_eq!((made.segment.index.len(), made.times().0), (5, 1));
    assert!(!full_at(&made, 48));
    assert!(full_at(&made, 47));
    // Three, and one: the time index gets one more when the segment is closed.
    let made = Made::with(&[0; 4], &config());
    assert_eq!((made.segment.index.len(), made.times().0), (3, 1));
    assert!(!full_at(&made, 36));
    assert!(full_at(&made, 35));
}

#[test]
fn the_first_of_the_largest_timestamps_is_remembered() {
    assert_eq!(Made::with(&[-1, -1], &config()).largest(), None);
    assert_eq!(Made::with(&[-1, 0, 0], &config()).largest(), Some((0, 1)));
    let made = Made::with(&[10, 20, 20, 15], &config());
    assert_eq!(made.largest(), Some((20, 1)));
}

#[test]
fn the_time_index_has_an_entry_for_each_timestamp_that_is_larger() {
    assert_eq!(Made::with(&[-1, -1, -1], &config()).times(), (0, None));
    assert_eq!(Made::with(&[0, 0], &config()).times(), (1, Some((0, 0))));
    let made = Made::with(&[10, 20, 20, 30, 30, 5], &config());
    assert_eq!(made.times(), (2, Some((30, 3))));
}

#[test]
fn an_index_entry_is_due_after_more_bytes_than_its_interval() {
    let size = batch(0, 0).header.size_bytes() as u64;
    let entries = |index_interval_bytes, batches: usize| {
        let config = LogConfig {
            index_interval_bytes,
            ..config()
        };
        let made = Made::with(&vec![0; batches], &config);
        made.segment.index.len()
    };
    assert_eq!([1, 2, 3].map(|batches| entries(0, batches)), [0, 1, 2]);
    assert_eq!(
        [2, 3, 4, 5].map(|batches| entries(size, batches)),
        [0, 1, 1, 2]
    );
}

#[test]
fn the_largest_timestamp_is_what_the_batches_say_whatever_is_remembered() {
    let again = |made: &Made| {
        let found = made.segment.largest_again(&made.disk);
        let found = found.expect("it can be read");
        found.map(|found| (found.timestamp, found.offset))
    };
    let sparse = LogConfig {
        index_interval_bytes: NEVER,
        ..config()
    };
    for config in [config(), sparse] {
        let again = |timestamps| again(&Made::with(timestamps, &config));
        assert_eq!(again(&[-1]), None);
        assert_eq!(again(&[0]), Some((0, 0)));
        assert_eq!(again(&[10, 20, 30, 30]), Some((30, 2)));
        assert_eq!(again(&[10, 30, 20]), Some((30, 1)));
    }
    let mut made = Made::with(&[10, 20, 15], &config());
    // Neither the memory nor an entry of the time index that fits no batch.
    let wrong = TimeEntry {
        timestamp: 99,
        offset: 1,
    };
    made.segment.largest = OnceLock::from(wrong);
    assert_eq!(made.largest(), Some((99, 1)));
    assert_eq!(again(&made), Some((20, 1)));
    let pushed = made.segment.time_index.push(&made.disk, wrong);
    pushed.expect("it waits in memory");
    assert_eq!(again(&made), Some((20, 1)));
}

#[test]
fn an_index_that_lags_behind_is_not_called_wrong_and_one_that_is_wrong_is() {
    let sparse = LogConfig {
        index_interval_bytes: batch(0, 0).header.size_bytes() as u64,
        ..config()
    };
    let is_told = |made: &Made, segment: &Segment| {
        let found = segment.largest_again(&made.disk);
        found.expect("it can be read");
        segment.distrust.is_told()
    };
    let sealed = |made: &mut Made| {
        made.segment.seal(&made.disk).expect("writes");
        let sizes = FileSizes {
            log: made.segment.size,
            index: Some(made.segment.index.size_bytes()),
            time_index: Some(made.segment.time_index.size_bytes()),
        };
        Segment::existing(Path::new("/log"), 0, sizes, OPENED_MS).expect("indexes")
    };
    // Nothing in the time index yet, and then an entry that is not the largest.
    for timestamps in [&[10, 20][..], &[10, 20, 30, 40]] {
        let mut made = Made::with(timestamps, &sparse);
        assert!(!is_told(&made, &made.segment));
        let sealed = sealed(&mut made);
        assert!(!is_told(&made, &sealed));
    }
    let mut made = Made::with(&[-1, -1], &config());
    let without_time = sealed(&mut made);
    assert!(!is_told(&made, &without_time));

    for wrong in [(99, 1), (30, 1)] {
        let mut made = Made::with(&[10, 20, 30, 40], &sparse);
        let (timestamp, offset) = wrong;
        made.segment.time_index =
            Index::create(&made.disk, "/log/other".into(), 0).expect("creates");
        let pushed = made
            .segment
            .time_index
            .push(&made.disk, TimeEntry { timestamp, offset });
        pushed.expect("it waits in memory");
        assert!(is_told(&made, &made.segment), "{wrong:?}");
    }
    // Of a segment that is finished even what is missing is wrong.
    let mut made = Made::with(&[10, 20, 30, 40], &sparse);
    let mut lacking = sealed(&mut made);
    let gone = lacking
        .time_index
        .truncate(&made.disk, |entry| entry.timestamp == 40);
    gone.expect("truncates");
    assert!(is_told(&made, &lacking));
}

#[test]
fn an_index_that_a_full_disk_did_not_take_is_not_finished() {
    for name in [".index", ".timeindex"] {
        let mut made = Made::with(&[10, 20, 30], &config());
        made.disk.inject(Fault {
            kind: std::io::ErrorKind::StorageFull,
            ..Fault::once(Operation::Write, name)
        });
        made.segment.write_indexes(&made.disk).expect("it waits");
        assert!(made.segment.lacks_index_entries(), "{name}");
        made.segment.write_indexes(&made.disk).expect("writes");
        assert!(!made.segment.lacks_index_entries(), "{name}");
    }
}

#[test]
fn a_segment_that_is_cut_is_as_if_what_is_gone_had_never_been_there() {
    let mut made = Made::with(&[10, 20, 20, 15, 40], &config());
    made.cut(4);
    assert_eq!(
        (made.segment.index.len(), made.largest()),
        (3, Some((20, 1)))
    );
    assert_eq!(made.times(), (1, Some((20, 1))));
    made.cut(1);
    assert_eq!((made.segment.index.len(), made.times()), (0, (0, None)));
    assert_eq!(made.segment.first_timestamp, Some(10));
    assert_eq!(made.largest(), Some((10, 0)));
    made.cut(0);
    assert_eq!((made.segment.first_timestamp, made.largest()), (None, None));

    let mut made = Made::with(&[0, 0], &config());
    made.cut(1);
    assert_eq!(made.largest(), Some((0, 0)));

    // Where no index tells of the batches.
    let sparse = LogConfig {
        index_interval_bytes: NEVER,
        ..config()
    };
    for same in [0, 10] {
        let mut made = Made::with(&[same, same, same], &sparse);
        made.cut(2);
        made.append(2, same, &sparse);
        assert_eq!(made.largest(), Some((same, 0)));
    }
}

#[test]
fn what_is_damaged_is_passed_over_to_what_follows_on_all_of_it() {
    let header = batch(0, 0).header;
    let size = header.size_bytes() as u64;
    let damaged = |position| Damage::of_batch(position, &header, "a flipped bit".to_string());
    let damage = [damaged(10), damaged(10 + size), Damage::lost(2, 5, 500)];
    let found = [9, 10, 10 + size, 500].map(|position| view::behind(&damage, position));
    assert_eq!(found, [9, 10 + 2 * size, 10 + 2 * size, 500]);
}

#[test]
fn an_index_entry_of_another_batch_is_not_believed() {
    let made = Made::with(&[0, 0, 0], &config());
    let view = made.segment.view(&made.disk).expect("it can be read");
    let size = batch(0, 0).header.size_bytes() as u32;
    let found = |offset, position| {
        let entry = OffsetEntry { offset, position };
        let found = view.find(Some(entry), |_| true).expect("it can be read");
        found.map(|(_, header)| header.base_offset)
    };
    assert_eq!(found(2, 2 * size), Some(2));
    assert!(!made.segment.distrust.is_told());
    assert_eq!(found(0, 2 * size), Some(0));
    assert!(made.segment.distrust.is_told());
}

#[test]
fn after_a_cut_the_next_index_entry_is_as_far_from_the_last_as_without() {
    let size = batch(0, 0).header.size_bytes() as u64;
    let config = LogConfig {
        index_interval_bytes: 3 * size,
        ..config()
    };
    let mut made = Made::with(&[0; 7], &config);
    made.cut(6);
    let mut entries = Vec::new();
    for offset in 6..10 {
        made.append(offset, 0, &config);
        entries.push(made.segment.index.len());
    }
    assert_eq!(entries, [1, 1, 2, 2]);
}

/// Damage of the batches of these offsets, each of which takes ten bytes in the file.
fn damaged(from: i64, to: i64) -> Damage {
    let mut header = batch(from, 0).header;
    header.last_offset_delta = (to - from - 1) as i32;
    let position = from as u64 * 10;
    Damage::of_batch(position, &header, String::new())
}

fn spans(damage: &[Damage]) -> Vec<(i64, i64)> {
    damage.iter().map(|d| (d.from, d.to)).collect()
}

#[test]
fn damage_that_is_known_is_noted_once_and_what_covers_it_takes_its_place() {
    let mut segment = Made::empty(0).segment;
    let mut note = |found: &[(i64, i64)]| {
        segment.note_damage(found.iter().map(|(from, to)| damaged(*from, *to)).collect());
        spans(&segment.damage)
    };
    assert_eq!(note(&[(4, 6)]), [(4, 6)]);
    assert_eq!(note(&[(4, 6), (5, 6)]), [(4, 6)]);
    assert_eq!(note(&[(0, 2)]), [(0, 2), (4, 6)]);
    assert_eq!(note(&[(3, 7), (8, 9)]), [(0, 2), (3, 7), (8, 9)]);
}

#[test]
fn damage_that_a_reading_could_not_see_stays() {
    let mut segment = Made::empty(0).segment;
    let size = 100;
    let missing = Damage::lost(6, 8, 60);
    segment.note_damage(vec![damaged(1, 2), missing, damaged(10, 12)]);
    // What is found may reach to where it is known what is missing, and no further.
    segment.replace_damage(&[damaged(3, 4), damaged(5, 7), damaged(8, 9)], size);
    let all = [(3, 4), (5, 6), (6, 8), (8, 9), (10, 12)];
    assert_eq!(spans(&segment.damage), all);
    // Even where both begin at once, for it is a place in the file.
    segment.replace_damage(&[damaged(6, 7)], size);
    assert_eq!(spans(&segment.damage), [(6, 7), (6, 8), (10, 12)]);
}
