//! Puts what another replica has in the place of what the disk has changed.
//!
//! A damaged segment is written anew beside the old one: what is sound of it, and where it is not, the other replica's
//! batches, each of which is checked. Then it takes the old one's place as a compacted segment does. It is repaired whole
//! or not at all.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use wire::batch::Batch;

use super::scrub::contradiction;
use super::{DeletedSegments, Log};
use crate::config::LogConfig;
use crate::disk::{Disk, File, remove_if_there};
use crate::segment::Segment;
use crate::segment::walk::{Damage, Step, Walk};
use crate::swap::{REPAIRED, Replaced, paths};
use crate::{Error, Poison, disk};

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// The repair of one segment; runs without the log's lock. Dropped before its end, it leaves everything as it was.
pub struct Repair {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: LogConfig,
    poison: Poison,
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    base: i64,
    end: i64,
    generation: u64,
    now_ms: u64,
    epochs: Vec<(i32, i64)>,
    log_start: i64,
    /// What has not been replaced yet, in order.
    damage: VecDeque<Damage>,
    /// The first of it is replaced up to here.
    next: i64,
    /// How much of the old file has been dealt with.
    copied: u64,
    new: Option<Segment>,
    /// Whether there are files to be removed, should it not come to an end.
    is_begun: bool,
}

/// A segment that is whole again, durable but not part of the log yet.
pub struct Repaired {
    repair: Repair,
    segment: Segment,
}

impl Log {
    /// Closes the active segment if it is damaged, so that it can be repaired. The caller flushes the log then.
    pub fn close_damaged(&mut self, now_ms: u64) -> Result<(), Error> {
        let start = self.log_start;
        match self.active().damage.iter().any(|d| d.to > start) {
            true => self.roll(None, now_ms),
            false => Ok(()),
        }
    }

    /// Readies the repair of the first damaged segment from `from` on that is closed and ends below `below`: the high
    /// watermark, and the recovery point that the next start would find, as for [`Log::clean_plan`]. `None` if there is none.
    pub fn repair(&self, from: i64, below: i64, now_ms: u64) -> Result<Option<Repair>, Error> {
        self.check_writable()?;
        let below = below.min(self.recovery_point);
        let is_damaged = |i: &usize| {
            let mut damage = self.segments[*i].damage.iter();
            self.segments[*i].base_offset >= from
                && self.segment_end(*i) <= below
                && damage.any(|d| d.to > self.log_start)
        };
        let Some(i) = (0..self.segments.len() - 1).find(is_damaged) else {
            return Ok(None);
        };
        let segment = &self.segments[i];
        let end = self.segment_end(i);
        let within = segment.damage.iter().map(|d| d.until(end));
        let damage: VecDeque<Damage> = within.collect();
        let pairs = damage.iter().zip(damage.iter().skip(1));
        if let Some((one, other)) = { pairs }.find(|(a, b)| a.to > b.from || a.end() > b.position())
        {
            let reason = format!(
                "offsets {}..{} and {}..{} overlap",
                one.from, one.to, other.from, other.to
            );
            return Err(Error::corrupt(segment.path(), reason));
        }
        Ok(Some(Repair {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            config: self.config.clone(),
            poison: self.poison.clone(),
            path: segment.path().to_path_buf(),
            file: segment.file(&*self.disk)?,
            size: segment.size,
            base: segment.base_offset,
            end,
            generation: self.generation(),
            now_ms,
            epochs: self.epochs.clone(),
            log_start: self.log_start,
            next: damage.front().map_or(end, |d| d.from),
            damage,
            copied: 0,
            new: None,
            is_begun: false,
        }))
    }

    /// Puts the repaired segment in its place, unless it was replaced, cut or deleted meanwhile; then it gives nothing. The
    /// caller removes the old files without the log's lock.
    pub fn install_repaired(
        &mut self,
        repaired: Repaired,
    ) -> Result<Option<DeletedSegments>, Error> {
        self.poison.check()?;
        let Repaired {
            mut repair,
            segment,
        } = repaired;
        let now = self.segment_at(repair.base);
        let same = now.filter(|i| self.is_same(*i, &repair.file, repair.generation));
        let Some(first) = same else {
            return Ok(None);
        };
        let mut deleted = DeletedSegments::on(self.disk.clone());
        let replaced = Replaced {
            first,
            bases: &[repair.base],
            suffix: REPAIRED,
        };
        let poison = self.poison.clone();
        self.swap(&replaced, segment, &mut deleted)
            .map_err(|e| poison.by_unfinished(e))?;
        repair.is_begun = false;
        self.reread_producers();
        Ok(Some(deleted))
    }
}

impl Repair {
    /// Where the segment begins.
    pub fn base_offset(&self) -> i64 {
        self.base
    }

    /// The offsets that are wanted next, from the first to the one after the last; `None` when nothing is missing.
    pub fn wanted(&self) -> Option<(i64, i64)> {
        let damage = self.damage.iter();
        let mut wanted = damage.map(|d| (self.next.max(d.from).max(self.log_start), d.to));
        wanted.find(|(from, to)| from < to)
    }

    /// Takes batches that another replica has from what is [`Repair::wanted`] on. Blocks. [`Error::Unfit`] if they are not
    /// what this log had: then none of them is taken, and another replica may be asked.
    pub fn take(&mut self, batches: &[Batch]) -> Result<(), Error> {
        let Some((from, to)) = self.wanted() else {
            return Ok(());
        };
        self.begin_range()?;
        let (mut next, mut fitting) = (from, Vec::new());
        for batch in batches {
            let header = &batch.header;
            let is_behind = header.base_offset >= to;
            self.check(batch, next, to, is_behind)?;
            if is_behind {
                next = to;
                break;
            }
            fitting.push(batch.stored_bytes());
            next = header.next_offset();
        }
        self.write(&fitting)?;
        self.next = next;
        Ok(())
    }

    /// Whether a batch can be the next one. One that `is_behind` the range tells that nothing is before it.
    fn check(&self, batch: &Batch, next: i64, to: i64, is_behind: bool) -> Result<(), Error> {
        let header = &batch.header;
        let (base, epoch) = (header.base_offset, header.partition_leader_epoch);
        let unfit = |reason: String| Error::Unfit {
            offset: next,
            reason,
        };
        // Where the log start is in the middle of a batch, what is before it comes along.
        let earliest = match next == self.log_start {
            true => self.damage.front().map_or(next, |d| d.from),
            false => next,
        };
        if base < earliest || (base > next && !self.config.compact) {
            return Err(unfit(format!("a batch begins at {base}")));
        }
        if is_behind {
            return Ok(());
        }
        if header.last_offset() >= to {
            return Err(unfit(format!(
                "a batch reaches over {to}, where this log goes on"
            )));
        }
        batch.verify_crc().map_err(|e| unfit(e.to_string()))?;
        match contradiction(&self.epochs, base, epoch) {
            Some(wrong) => Err(unfit(wrong)),
            None => Ok(()),
        }
    }

    /// Copies what is before the next range that is wanted, and leaves out what is damaged.
    fn begin_range(&mut self) -> Result<(), Error> {
        let wanted = self.wanted().map_or(i64::MAX, |(_, to)| to);
        while let Some(damage) = self.damage.front() {
            let (position, end) = (damage.position(), damage.end());
            self.copy(position)?;
            self.copied = self.copied.max(end);
            if self.damage[0].to >= wanted {
                break;
            }
            self.damage.pop_front();
        }
        Ok(())
    }

    fn copy(&mut self, to: u64) -> Result<(), Error> {
        while self.copied < to {
            let len = (to - self.copied).min(COPY_BYTES as u64) as usize;
            let bytes = disk::read(&*self.file, self.copied, len)
                .map_err(|e| Error::io("read", &self.path, e))?;
            if bytes.len() < len {
                return Err(Error::corrupt(&self.path, "the file has become shorter"));
            }
            self.write(&[bytes])?;
            self.copied += len as u64;
        }
        Ok(())
    }

    fn write(&mut self, chunks: &[Bytes]) -> Result<(), Error> {
        let disk = self.disk.clone();
        let file = self.new_segment()?.file(&*disk)?;
        let mut slices: Vec<_> = chunks.iter().map(|c| IoSlice::new(c)).collect();
        let written = file.append(&mut slices);
        written.map_err(|e| self.poison.by(Error::io("write", &self.path, e)))
    }

    /// The segment that is being written, made at its first use.
    fn new_segment(&mut self) -> Result<&mut Segment, Error> {
        self.poison.check()?;
        if self.new.is_none() {
            self.is_begun = true;
            let (disk, dir) = (&*self.disk, &self.dir);
            let made = Segment::create_as(disk, dir, self.base, Some(REPAIRED), self.now_ms);
            self.new = Some(made.map_err(|e| self.poison.by(e))?);
        }
        Ok(self.new.as_mut().expect("it has just been made"))
    }

    /// Copies the rest, and reads all of it again. Blocks. [`Error::Corrupt`] if it is not whole: more is damaged than was
    /// known.
    pub fn finish(mut self) -> Result<Repaired, Error> {
        if let Some((offset, _)) = self.wanted() {
            let reason = "it has not been taken yet".to_string();
            return Err(Error::Unfit { offset, reason });
        }
        self.begin_range()?;
        self.copy(self.size)?;
        self.new_segment()?;
        let mut segment = self.new.take().expect("it has just been made");
        self.read_again(&mut segment)?;
        let (disk, poison) = (&*self.disk, &self.poison);
        segment.seal(disk).map_err(|e| poison.by(e))?;
        segment.sync(disk).map_err(|e| poison.by(e))?;
        Ok(Repaired {
            repair: self,
            segment,
        })
    }

    /// Checks every batch of the new segment, and makes its indexes.
    fn read_again(&self, segment: &mut Segment) -> Result<(), Error> {
        let disk = &*self.disk;
        let io = |e| Error::io("read", &self.path, e);
        let file = segment.file(disk)?;
        let size = file.len().map_err(io)?;
        if size > i32::MAX as u64 {
            return Err(Error::corrupt(&self.path, "it would be too large"));
        }
        let mut walk = Walk::new(&*file, size, self.base, self.end);
        loop {
            match walk.step().map_err(io)? {
                Step::Batch(position, header) => {
                    let noted = segment.note(disk, &header, position, &self.config);
                    noted.map_err(|e| self.poison.by(e))?;
                }
                Step::Bad(bad) => {
                    let reason = format!("offset {} is damaged too: {}", bad.from, bad.reason);
                    return Err(Error::corrupt(&self.path, reason));
                }
                Step::End => break,
            }
        }
        segment.size = size;
        Ok(())
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        // Of a deleted log, the name may be another's by now. What cannot be removed goes when the log is opened.
        if self.is_begun && !self.poison.is_retired() {
            for path in paths(&self.dir, self.base, REPAIRED) {
                let _ = remove_if_there(&*self.disk, &path);
            }
        }
    }
}
