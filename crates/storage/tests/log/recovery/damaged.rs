//! Every byte of the end of a log is cut off or changed, and what is found then is what can be found: all that was
//! durable but for the batch that was hit, and of the rest all before it.

use std::path::{Path, PathBuf};

use storage::memory::MemoryDisk;
use storage::{Disk, Error, Log, LogConfig, Recovery};
use wire::batch::Batch;
use wire::record::BatchBuilder;

use super::image::Image;
use super::life::{DIR, HOME, checkpoint, open, prepare};

/// What is damaged, byte for byte.
const TAIL_BYTES: usize = 64 << 10;
const BATCHES: i64 = 30;
/// Batches up to here were durable when the machine stopped.
const DURABLE: i64 = 25;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 70 << 10,
        ..LogConfig::default()
    }
}

/// A log of three segments, the last one with all of the tail, as a power loss leaves it when nothing is torn.
pub struct Prepared {
    pub image: Image,
    pub batches: Vec<Batch>,
    /// The last segment, and where each of its batches begins.
    pub path: PathBuf,
    pub first: usize,
    pub positions: Vec<usize>,
}

pub fn prepared() -> Prepared {
    let disk = MemoryDisk::new();
    prepare(&disk);
    let on: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk.clone());
    let (mut log, _) = open(&on, config()).expect("opens");
    let mut batches = Vec::new();
    for offset in 0..BATCHES {
        let epoch = (offset / 7) as i32;
        let mut builder = BatchBuilder::new(offset)
            .base_offset(offset)
            .leader_epoch(epoch);
        builder = builder.producer(offset % 2, 0, offset as i32);
        let value: Vec<u8> = (0..6500u32)
            .map(|i| (i * 7 + offset as u32) as u8)
            .collect();
        builder.append_at(offset, Some(b"key"), Some(&value), &[]);
        batches.push(builder.build());
        log.append(&batches[offset as usize..], 0).expect("appends");
        if offset + 1 == DURABLE {
            let flushed = log.flush_plan().run().expect("syncs");
            log.on_flushed(&flushed);
            checkpoint(&*on, &log).expect("writes");
        }
    }
    log.write_indexes().expect("writes");
    let first = log.active_base_offset() as usize;
    let sizes = batches[first..].iter().map(|b| b.bytes.len());
    let positions = sizes.scan(0, |at, size| Some(std::mem::replace(at, *at + size)));
    Prepared {
        image: Image::of(&disk, Path::new(HOME)),
        path: Path::new(DIR).join(format!("{first:020}.log")),
        positions: positions.collect(),
        first,
        batches,
    }
}

impl Prepared {
    fn size(&self) -> usize {
        self.image.0[&self.path].len()
    }

    /// The batch that has the byte, and where in it that is.
    fn batch_at(&self, byte: usize) -> (usize, usize) {
        let i = self.positions.partition_point(|p| *p <= byte) - 1;
        (self.first + i, byte - self.positions[i])
    }

    /// Whether the epoch that a batch has now could have been its own, given those of the batches around.
    fn is_plausible_epoch(&self, image: &mut Image, batch: usize) -> bool {
        let at = self.positions[batch - self.first] + 12;
        let epoch = image.file(&self.path)[at..at + 4]
            .try_into()
            .expect("four bytes");
        let of = |batch: usize| self.batches[batch].header.partition_leader_epoch;
        (of(batch - 1)..=of(batch + 1)).contains(&i32::from_be_bytes(epoch))
    }

    fn tail(&self) -> std::ops::Range<usize> {
        assert!(self.size() >= TAIL_BYTES, "{} bytes", self.size());
        self.size() - TAIL_BYTES..self.size()
    }
}

fn reopen(image: &Image) -> (Log, Recovery) {
    open(&image.disk(), config()).expect("opens")
}

/// Every batch below the log end but `hit` can be read and is what was written; `hit` is refused.
fn check(log: &Log, written: &[Batch], hit: std::ops::Range<i64>) {
    for offset in hit.clone() {
        let refused = log
            .read(offset, i64::MAX, 1, true)
            .and_then(|plan| plan.run());
        assert!(
            matches!(refused, Err(Error::Damaged { .. })),
            "{offset} is served"
        );
    }
    let mut offset = 0;
    while offset < log.next_offset() {
        if hit.contains(&offset) {
            offset = hit.end;
            continue;
        }
        let read = log
            .read(offset, i64::MAX, 1 << 20, true)
            .and_then(|plan| plan.run());
        let bytes = read.unwrap_or_else(|e| panic!("{offset}: {e}")).to_bytes();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let expected = &written[offset as usize].bytes;
            assert!(
                rest.starts_with(expected),
                "{offset} is not what was written"
            );
            rest = &rest[expected.len()..];
            offset += 1;
        }
    }
}

/// The log goes on behind what was found, and the next start finds the same.
fn check_goes_on(image: &Image, written: &[Batch], hit: std::ops::Range<i64>) {
    let disk = image.disk();
    let (mut log, _) = open(&disk, config()).expect("opens");
    let end = log.next_offset();
    let mut builder = BatchBuilder::new(end).base_offset(end).leader_epoch(99);
    builder.append_at(end, None, Some(b"more"), &[]);
    let more = builder.build();
    log.append(std::slice::from_ref(&more), 0).expect("appends");
    let flushed = log.flush_plan().run().expect("syncs");
    log.on_flushed(&flushed);
    checkpoint(&*disk, &log).expect("writes");
    let mut written = written[..end as usize].to_vec();
    written.push(more);
    check(&log, &written, hit.clone());
    let (log, recovery) = open(&disk, config()).expect("opens again");
    assert_eq!((recovery.cut, log.next_offset()), (None, end + 1));
    check(&log, &written, hit.clone());

    // A follower cuts the log at the damage, and gets the rest anew.
    let (mut log, _) = open(&disk, config()).expect("opens again");
    log.truncate_to(hit.start).expect("cuts");
    assert_eq!(log.next_offset(), hit.start.min(end + 1));
    log.append(&written[hit.start.min(end + 1) as usize..], 0)
        .expect("appends");
    check(&log, &written, 0..0);
}

fn cut_everywhere(prepared: &Prepared, step: usize) {
    for byte in prepared.tail().step_by(step) {
        let (batch, _) = prepared.batch_at(byte);
        let mut image = prepared.image.clone();
        image.file(&prepared.path).truncate(byte);
        let (log, recovery) = reopen(&image);
        let found = batch as i64;
        assert_eq!(log.next_offset(), found.max(DURABLE), "cut at {byte}");
        let lost = found..DURABLE.max(found);
        check(&log, &prepared.batches, lost.clone());
        let is_durable = found < DURABLE;
        assert_eq!(
            recovery.damage.len(),
            usize::from(is_durable),
            "cut at {byte}"
        );
        let is_torn = prepared.positions.binary_search(&byte).is_err();
        assert_eq!(
            recovery.cut.is_some(),
            !is_durable && is_torn,
            "cut at {byte}"
        );
        if byte % 997 == 0 {
            check_goes_on(&image, &prepared.batches, lost);
        }
    }
}

fn garble_everywhere(prepared: &Prepared, step: usize) {
    for byte in prepared.tail().step_by(step) {
        let (batch, at) = prepared.batch_at(byte);
        let behind = prepared.batches.len() - batch - 1;
        if (behind == 0 && at < 16) || (behind == 1 && (12..16).contains(&at)) {
            // No CRC covers offset and epoch, and there is not enough behind to tell.
            continue;
        }
        let mut image = prepared.image.clone();
        image.file(&prepared.path)[byte] ^= [1, 0x80, 0xff][byte % 3];
        if (12..16).contains(&at) && prepared.is_plausible_epoch(&mut image, batch) {
            continue;
        }
        let (log, recovery) = reopen(&image);
        let hit = batch as i64..batch as i64 + 1;
        if hit.start < DURABLE {
            assert_eq!(log.next_offset(), BATCHES, "byte {byte}");
            check(&log, &prepared.batches, hit.clone());
            assert_eq!(
                (recovery.damage.len(), recovery.cut),
                (1, None),
                "byte {byte}"
            );
        } else {
            assert_eq!(log.next_offset(), hit.start, "byte {byte}");
            check(&log, &prepared.batches, 0..0);
            assert!(
                recovery.cut.is_some() && recovery.damage.is_empty(),
                "byte {byte}"
            );
        }
        if byte % 997 == 0 {
            let hit = if hit.start < DURABLE {
                hit
            } else {
                hit.start..hit.start
            };
            check_goes_on(&image, &prepared.batches, hit);
        }
    }
}

#[test]
fn a_log_that_is_cut_anywhere_in_its_tail_keeps_what_is_left_and_gives_no_offset_twice() {
    cut_everywhere(&prepared(), 1);
}

#[test]
fn a_log_with_a_changed_byte_anywhere_in_its_tail_loses_the_batch_that_has_it() {
    garble_everywhere(&prepared(), 1);
}

/// What the disk in memory shows is true of the machine's own, too.
#[test]
fn the_same_on_real_files() {
    let prepared = prepared();
    let home = tempfile::tempdir().expect("makes one");
    for (batch, at) in [
        (20, 5),
        (20, 100),
        (24, 61),
        (26, 300),
        (28, 16),
        (29, 6000),
    ] {
        let mut image = prepared.image.clone();
        let byte = prepared.positions[batch - prepared.first] + at;
        image.file(&prepared.path)[byte] ^= 0x10;
        let opened = open(&image.real_disk(home.path()), config());
        let (log, _) = opened.expect("opens");
        let batch = batch as i64;
        let (end, hit) = match batch < DURABLE {
            true => (BATCHES, batch..batch + 1),
            false => (batch, 0..0),
        };
        assert_eq!(log.next_offset(), end);
        check(&log, &prepared.batches, hit);
    }
}
