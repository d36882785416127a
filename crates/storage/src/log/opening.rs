//! The files of a log while it is being opened: which segments there are, and which of their batches are whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use super::Log;
use super::flush::FlushState;
use super::open::{Cut, OpenState};
use super::truncation::Truncation;
use crate::Error;
use crate::cache::{CacheBudget, LogCache};
use crate::config::LogConfig;
use crate::disk::{Disk, Entry, remove_if_there};
use crate::producers::ProducerTable;
use crate::segment::scan::{Found, Scanner};
use crate::segment::walk::{Bad, Damage, Step, Walk};
use crate::segment::{EXTENSIONS, FileSizes, INDEX, LOG, SNAPSHOT, Segment, TIMEINDEX, file_path};

/// A log while it is being opened.
pub(super) struct Opening {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    /// Base offset → sizes of the segment's files.
    pub files: BTreeMap<i64, FileSizes>,
    /// Offsets of the producer snapshots, sorted.
    pub snapshots: Vec<i64>,
    pub config: LogConfig,
    pub start: OpenState,
    pub cut: Option<Cut>,
    pub truncation: Truncation,
    /// Base offset → an index of a segment that was to be trusted, and that had to be made anew.
    pub remade: BTreeMap<i64, PathBuf>,
}

/// A segment as it was read.
struct Read {
    segment: Segment,
    damage: Vec<Damage>,
    /// The offset after the last batch.
    next: i64,
    /// The first place above what was durable that is not whole.
    broken: Option<Bad>,
}

impl Opening {
    /// Sorts the directory's files, and removes what an interrupted deletion or write left.
    pub fn list(&mut self) -> Result<(), Error> {
        let entries = self.disk.list(&self.dir);
        for entry in entries.map_err(|e| Error::io("list", &self.dir, e))? {
            if entry.name.ends_with(".deleted") || entry.name.ends_with(".tmp") {
                remove_if_there(&*self.disk, &self.dir.join(&entry.name))?;
            } else {
                self.sort_in(&entry);
            }
        }
        // An index without its log is of no use; the segment's own files are made anew over it.
        self.files.retain(|_, sizes| sizes.log != u64::MAX);
        Ok(())
    }

    fn sort_in(&mut self, entry: &Entry) {
        let Some((name, extension)) = entry.name.split_once('.') else {
            return;
        };
        let Ok(offset) = name.parse::<i64>() else {
            return;
        };
        let absent = FileSizes {
            log: u64::MAX,
            ..FileSizes::default()
        };
        match extension {
            LOG => self.files.entry(offset).or_insert(absent).log = entry.len,
            INDEX => self.files.entry(offset).or_insert(absent).index = Some(entry.len),
            TIMEINDEX => self.files.entry(offset).or_insert(absent).time_index = Some(entry.len),
            SNAPSHOT => self.snapshots.push(offset),
            _ => {}
        }
    }

    /// The segments, the log end, and from which segment on they were checked.
    pub fn segments(&mut self) -> Result<(Vec<Segment>, i64, Option<i64>), Error> {
        let bases: Vec<i64> = self.files.keys().copied().collect();
        if bases.is_empty() {
            let base = self.truncation.log_start(self.start.log_start);
            let segment = Segment::create(&*self.disk, &self.dir, base, self.start.now_ms)?;
            return Ok((vec![segment], base, Some(base)));
        }
        if self.start.clean
            && let Some((segments, next)) = self.trusted(&bases)?
        {
            return Ok((segments, next, None));
        }
        // The segment that ends at the recovery point is checked too: its indexes may not be synced.
        let point = self.start.recovery_point;
        let checked = bases.partition_point(|base| *base < point).max(1) - 1;
        let mut segments = Vec::with_capacity(bases.len());
        for (base, following) in bases[..checked].iter().zip(&bases[1..]) {
            segments.push(self.open_or_index(*base, Some(*following))?);
        }
        let mut next = bases[checked];
        for (i, base) in bases.iter().enumerate().skip(checked) {
            if let Some(reason) = self.misplaced(*base, next, i == checked) {
                self.cut_from(&bases[i..], next, (0, false), reason)?;
                break;
            }
            let (segment, end) = self.check(*base, bases.get(i + 1).copied())?;
            segments.push(segment);
            next = end;
            if self.cut.is_some() {
                self.cut_from(&bases[i + 1..], next, (0, false), String::new())?;
                break;
            }
        }
        if let Some(last) = segments.last()
            && last.damage.last().is_some_and(|d| d.to >= next)
        {
            // What is appended must not stand behind bytes that nobody understands.
            segments.push(Segment::create(
                &*self.disk,
                &self.dir,
                next,
                self.start.now_ms,
            )?);
        }
        Ok((segments, next, Some(bases[checked])))
    }

    /// All below was durable once: what is not whole there has been changed by the disk.
    fn durable(&self) -> i64 {
        self.truncation.limit(self.start.recovery_point)
    }

    /// Why a segment cannot follow what ends at `next`.
    fn misplaced(&self, base: i64, next: i64, first: bool) -> Option<String> {
        // Compaction leaves gaps, but only below the recovery point that it has found.
        // Its own checkpoint is another file: one may be lost, and the other not.
        let compacted = self.start.recovery_point.max(self.start.cleaned);
        let gap = base > next && base > compacted;
        let wrong = !first && (base < next || gap);
        wrong.then(|| format!("the next segment begins at {base}, not at {next}"))
    }

    /// All segments as they are, and the log end; `None` if the end is not as a clean shutdown leaves it.
    fn trusted(&mut self, bases: &[i64]) -> Result<Option<(Vec<Segment>, i64)>, Error> {
        let mut segments = Vec::with_capacity(bases.len());
        for (i, base) in bases.iter().enumerate() {
            segments.push(self.open_or_index(*base, bases.get(i + 1).copied())?);
        }
        let Some(last) = segments.last_mut() else {
            return Ok(None);
        };
        last.note_tail(&*self.disk)?;
        let view = last.view(&*self.disk)?;
        let mut scanner = Scanner::sparse(&*view.file, last.size);
        let start = last.index.last(&*self.disk)?;
        let start = view.start(&mut scanner, start);
        let mut position = start.map_err(|e| Error::io("read", last.path(), e))?;
        let mut next = last.base_offset;
        loop {
            match scanner.header(position) {
                Ok(Found::Batch(header)) => {
                    next = header.next_offset();
                    position += header.size_bytes() as u64;
                }
                Ok(Found::End) => return Ok(Some((segments, next))),
                Ok(Found::Broken(why)) => {
                    warn!(dir = %self.dir.display(), %why, "checking a log that was shut down cleanly");
                    return Ok(None);
                }
                Err(e) => return Err(Error::io("read", last.path(), e)),
            }
        }
    }

    /// A segment that is trusted; an index that is missing is made anew.
    fn open_or_index(&mut self, base: i64, following: Option<i64>) -> Result<Segment, Error> {
        let sizes = self.files[&base];
        match Segment::existing(&self.dir, base, sizes, self.start.now_ms) {
            Ok(segment) => Ok(segment),
            Err(index) => {
                self.remade.insert(base, index);
                self.check(base, following).map(|(segment, _)| segment)
            }
        }
    }

    /// One line, however many there were.
    pub fn tell_remade(&self) {
        if let Some(first) = self.remade.values().next() {
            let segments = self.remade.len();
            warn!(
                index = %first.display(), segments,
                "an index was missing or not whole: those of its segment were made anew from the batches"
            );
        }
    }

    /// Where what was durable of a segment ends, before the one that follows.
    fn lost_to(&self, following: Option<i64>) -> i64 {
        following.unwrap_or(i64::MAX).min(self.durable())
    }

    /// Reads a segment to its end, or to where it is not whole and need not be, and makes its indexes anew.
    fn read(&self, base: i64, following: Option<i64>) -> Result<Read, Error> {
        let (disk, dir) = (&*self.disk, &self.dir);
        let size = self.files[&base].log;
        let mut segment = Segment::unindexed(disk, dir, base, size, self.start.now_ms)?;
        let file = segment.file(disk)?;
        let io = |e| Error::io("read", &file_path(dir, base, LOG), e);
        let (durable, lost_to) = (self.durable(), self.lost_to(following));
        let mut walk = Walk::new(&*file, size, base, following.unwrap_or(i64::MAX));
        let mut damage = Vec::new();
        let broken = loop {
            match walk.step().map_err(io)? {
                Step::Batch(position, header) => {
                    segment.note(disk, &header, position, &self.config)?;
                }
                Step::Bad(bad) if bad.from < durable => damage.push(bad.damage(lost_to)),
                Step::Bad(bad) => break Some(bad),
                Step::End => break None,
            }
        };
        Ok(Read {
            next: walk.next(),
            segment,
            damage,
            broken,
        })
    }

    /// Reads a whole segment and makes its indexes anew. Where it is not whole, it is cut, unless what is there was
    /// durable once: then what is behind it stays.
    fn check(&mut self, base: i64, following: Option<i64>) -> Result<(Segment, i64), Error> {
        let size = self.files[&base].log;
        let mut read = self.read(base, following)?;
        if read.broken.is_some() {
            // A disk may give once what is not on it; what is cut is gone.
            read.segment.file(&*self.disk)?.forget_cached(0, size);
            read = self.read(base, following)?;
        }
        let Read {
            mut segment,
            mut damage,
            mut next,
            broken,
        } = read;
        let lost_to = self.lost_to(following);
        if let Some(bad) = broken {
            let is_torn = bad.is_torn && following.is_none();
            self.start.before_cut.tell(is_torn)?;
            let file = segment.file(&*self.disk)?;
            // Durable at once: what was cut must not come back behind what is appended next.
            let truncated = file.truncate(bad.position).and_then(|()| file.sync_data());
            truncated.map_err(|e| Error::io("truncate", segment.path(), e))?;
            segment.size = bad.position;
            next = bad.from;
            let bytes = size - bad.position;
            self.cut_from(&[], next, (bytes, is_torn), bad.reason)?;
        } else if next < lost_to && following.is_none() {
            // Where the file still has something there, that is damaged already.
            if damage.last().is_none_or(|d: &Damage| d.to < lost_to) {
                damage.push(Damage::lost(next, lost_to, size));
            }
            next = lost_to;
        }
        segment.note_damage(damage);
        segment.seal(&*self.disk)?;
        Ok((segment, next))
    }

    /// Notes the cut at `offset` and removes the segments after it.
    fn cut_from(
        &mut self,
        later: &[i64],
        offset: i64,
        (bytes, is_torn): (u64, bool),
        reason: String,
    ) -> Result<(), Error> {
        let cut = self.cut.get_or_insert(Cut {
            offset,
            bytes: 0,
            reason,
            is_torn,
        });
        cut.bytes += bytes;
        cut.is_torn &= later.is_empty();
        for base in later {
            cut.bytes += self.files[base].log;
        }
        if !later.is_empty() {
            self.start.before_cut.tell(false)?;
        }
        // From the end, so that an interruption leaves no hole.
        for base in later.iter().rev() {
            for extension in EXTENSIONS {
                remove_if_there(&*self.disk, &file_path(&self.dir, *base, extension))?;
            }
        }
        self.snapshots.retain(|snapshot| !later.contains(snapshot));
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|e| Error::io("sync", &self.dir, e))
    }

    pub fn log(
        &mut self,
        segments: Vec<Segment>,
        next: i64,
        budget: Arc<CacheBudget>,
    ) -> Result<Log, Error> {
        let first = segments.first().map_or(0, |s| s.base_offset);
        let point = self.durable().min(next);
        let recovery_point = if self.start.clean && self.cut.is_none() {
            next
        } else {
            point
        };
        let mut flush = FlushState::default();
        flush.directory_changed();
        flush.epochs_changed();
        Ok(Log {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            config: self.config.clone(),
            poison: self.start.poison.of_log(),
            space: self.start.space.clone(),
            cache: LogCache::new(budget),
            segments,
            log_start: self.truncation.log_start(self.start.log_start).max(first),
            next_offset: next,
            recovery_point,
            claimed_recovery_point: self
                .start
                .recovery_point
                .max(self.start.cleaned)
                .max(recovery_point),
            cut_to: Some(self.truncation.limit(next)),
            truncation: std::mem::take(&mut self.truncation),
            producers: ProducerTable::default(),
            producers_reread: false,
            epochs: Vec::new(),
            flush,
        })
    }
}
