//! Opening a log: interrupted work is finished or undone, what was not durable is checked batch by batch and cut at the
//! first that is not whole, and the producers and epochs are rebuilt from snapshot, checkpoint and batches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::Log;
use super::flush::FlushState;
use crate::cache::{CacheBudget, LogCache};
use crate::config::LogConfig;
use crate::disk::{Disk, Entry, read_file, remove_if_there};
use crate::producers::{self, ProducerEntry, ProducerTable};
use crate::segment::scan::{Found, Scanner};
use crate::segment::{EXTENSIONS, FileSizes, INDEX, LOG, SNAPSHOT, Segment, TIMEINDEX, file_path};
use crate::{Error, Poison, Space, checkpoint, compaction};

/// What is known of a log before it is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenState {
    /// Whether the broker stopped in order: then nothing is checked.
    pub clean: bool,
    /// From `recovery-point-offset-checkpoint`: all below was synced.
    pub recovery_point: i64,
    /// From `log-start-offset-checkpoint`.
    pub log_start: i64,
    /// Unix time.
    pub now_ms: u64,
    /// The flag of the log directory.
    pub poison: Poison,
    /// The free space of the log directory.
    pub space: Space,
}

/// What opening found.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The tail that was not whole, if there was one.
    pub cut: Option<Cut>,
    pub epochs: Vec<(i32, i64)>,
    pub producers: Vec<ProducerEntry>,
    pub next_offset: i64,
}

/// Bytes removed from the end of a log because they were not whole batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the log ends now.
    pub offset: i64,
    pub bytes: u64,
    pub reason: String,
}

impl Log {
    /// Opens the log in `dir`, which is created if it is not there.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: LogConfig,
        budget: Arc<CacheBudget>,
        start: OpenState,
    ) -> Result<(Log, Recovery), Error> {
        if !disk.exists(dir) {
            create_dir(&*disk, dir)?;
        }
        compaction::finish_swaps(&*disk, dir)?;
        let mut opening = Opening {
            disk,
            dir: dir.to_path_buf(),
            files: BTreeMap::new(),
            snapshots: Vec::new(),
            config,
            start,
            cut: None,
        };
        opening.list()?;
        let (segments, next_offset, scanned_from) = opening.segments()?;
        let cut = opening.cut.clone();
        let mut log = opening.log(segments, next_offset, budget)?;
        if log.log_start > log.next_offset {
            log.truncate_fully_and_start_at(log.log_start)?;
        }
        log.restore_state(&opening, scanned_from)?;
        let recovery = Recovery {
            cut,
            epochs: log.epochs.clone(),
            producers: log.producers(),
            next_offset: log.next_offset,
        };
        Ok((log, recovery))
    }

    /// Epochs from their checkpoint and producers from the newest snapshot that can be trusted, then the batches after.
    fn restore_state(&mut self, opening: &Opening, scanned_from: Option<i64>) -> Result<(), Error> {
        let trusted = scanned_from.unwrap_or(self.next_offset);
        let path = self.dir.join(checkpoint::LEADER_EPOCH_FILE);
        let epochs = checkpoint::read_epochs(&*self.disk, &path);
        let known = epochs.as_ref().is_ok_and(|epochs| !epochs.is_empty());
        self.epochs = epochs.unwrap_or_default();
        self.epochs.retain(|(_, start)| *start < trusted);
        let (snapshot, entries) = self.newest_snapshot(opening, trusted)?;
        self.producers = ProducerTable::from_entries(entries);
        let first = self.segments[0].base_offset;
        let epochs_from = if known { trusted } else { first };
        self.replay(snapshot.unwrap_or(first), epochs_from)?;
        self.trim_epochs();
        self.prune_snapshots(&opening.snapshots)
    }

    fn newest_snapshot(
        &self,
        opening: &Opening,
        trusted: i64,
    ) -> Result<(Option<i64>, Vec<ProducerEntry>), Error> {
        for offset in opening.snapshots.iter().rev() {
            let path = file_path(&self.dir, *offset, SNAPSHOT);
            let content = match *offset <= trusted {
                true => read_file(&*self.disk, &path)?,
                false => None,
            };
            match content.and_then(producers::decode) {
                Some(entries) => return Ok((Some(*offset), entries)),
                None => remove_if_there(&*self.disk, &path)?,
            }
        }
        Ok((None, Vec::new()))
    }

    /// Reads the headers from the lower of both offsets on.
    pub(super) fn replay(&mut self, producers_from: i64, epochs_from: i64) -> Result<(), Error> {
        let from = producers_from.min(epochs_from);
        if from >= self.next_offset {
            return Ok(());
        }
        for i in self.segment_of(from)..self.segments.len() {
            let segment = &self.segments[i];
            let file = segment.file(&*self.disk)?;
            let path = segment.path().to_path_buf();
            let mut scanner = Scanner::sequential(&*file, segment.size);
            let mut position = 0;
            loop {
                let found = scanner.header(position);
                let header = match found.map_err(|e| Error::io("read", &path, e))? {
                    Found::Batch(header) => header,
                    Found::End => break,
                    Found::Broken(why) => return Err(Error::corrupt(&path, why.to_string())),
                };
                position += header.size_bytes() as u64;
                if header.base_offset >= producers_from {
                    self.producers.apply(&header);
                }
                if header.base_offset >= epochs_from {
                    self.assign_epoch(header.partition_leader_epoch, header.base_offset);
                }
            }
        }
        Ok(())
    }
}

fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let created = disk.create_dir_all(dir);
    let synced = created.and_then(|()| dir.parent().map_or(Ok(()), |parent| disk.sync_dir(parent)));
    synced.map_err(|e| Error::io("create", dir, e))
}

/// A log while it is being opened.
struct Opening {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Base offset → sizes of the segment's files.
    files: BTreeMap<i64, FileSizes>,
    /// Offsets of the producer snapshots, sorted.
    snapshots: Vec<i64>,
    config: LogConfig,
    start: OpenState,
    cut: Option<Cut>,
}

impl Opening {
    /// Sorts the directory's files, and removes what an interrupted deletion or write left.
    fn list(&mut self) -> Result<(), Error> {
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
    fn segments(&mut self) -> Result<(Vec<Segment>, i64, Option<i64>), Error> {
        let bases: Vec<i64> = self.files.keys().copied().collect();
        if bases.is_empty() {
            let base = self.start.log_start;
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
        for base in &bases[..checked] {
            segments.push(self.open_or_index(*base)?);
        }
        let mut next = bases[checked];
        for (i, base) in bases.iter().enumerate().skip(checked) {
            if let Some(reason) = self.misplaced(*base, next, i == checked) {
                self.cut_from(&bases[i..], next, 0, reason)?;
                break;
            }
            let (segment, end) = self.check(*base)?;
            segments.push(segment);
            next = end;
            if self.cut.is_some() {
                self.cut_from(&bases[i + 1..], next, 0, String::new())?;
                break;
            }
        }
        Ok((segments, next, Some(bases[checked])))
    }

    /// Why a segment cannot follow what ends at `next`.
    fn misplaced(&self, base: i64, next: i64, first: bool) -> Option<String> {
        // Compaction leaves gaps, but only below the recovery point.
        let gap = base > next && base > self.start.recovery_point;
        let wrong = !first && (base < next || gap);
        wrong.then(|| format!("the next segment begins at {base}, not at {next}"))
    }

    /// All segments as they are, and the log end; `None` if the end is not as a clean shutdown leaves it.
    fn trusted(&mut self, bases: &[i64]) -> Result<Option<(Vec<Segment>, i64)>, Error> {
        let mut segments = Vec::with_capacity(bases.len());
        for base in bases {
            segments.push(self.open_or_index(*base)?);
        }
        let Some(last) = segments.last_mut() else {
            return Ok(None);
        };
        last.note_tail(&*self.disk)?;
        let start = last.index.last(&*self.disk)?;
        let mut position = start.map_or(0, |entry| u64::from(entry.position));
        let mut next = last.base_offset;
        let file = last.file(&*self.disk)?;
        let mut scanner = Scanner::sparse(&*file, last.size);
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
    fn open_or_index(&mut self, base: i64) -> Result<Segment, Error> {
        let sizes = self.files[&base];
        match Segment::existing(&self.dir, base, sizes, self.start.now_ms) {
            Some(segment) => Ok(segment),
            None => self.check(base).map(|(segment, _)| segment),
        }
    }

    /// Reads a whole segment, makes its indexes anew, and cuts it where it is not whole.
    fn check(&mut self, base: i64) -> Result<(Segment, i64), Error> {
        let (disk, dir) = (&*self.disk, &self.dir);
        let size = self.files[&base].log;
        let mut segment = Segment::unindexed(disk, dir, base, size, self.start.now_ms)?;
        let file = segment.file(disk)?;
        let io = |e| Error::io("read", &file_path(dir, base, LOG), e);
        let mut scanner = Scanner::sequential(&*file, size);
        let (mut position, mut next) = (0, base);
        let broken = loop {
            let header = match scanner.header(position).map_err(io)? {
                Found::Batch(header) => header,
                Found::End => break None,
                Found::Broken(why) => break Some(why.to_string()),
            };
            if header.base_offset < next || header.last_offset() - base > i64::from(i32::MAX) {
                break Some(format!("offset {} after {next}", header.base_offset));
            }
            if !scanner.crc_matches(position, &header).map_err(io)? {
                break Some("the CRC does not match".to_string());
            }
            segment.note(disk, &header, position, &self.config)?;
            position += header.size_bytes() as u64;
            next = header.next_offset();
        };
        if let Some(reason) = broken {
            let truncated = file.truncate(position);
            truncated.map_err(|e| Error::io("truncate", segment.path(), e))?;
            segment.size = position;
            self.cut_from(&[], next, size - position, reason)?;
        }
        segment.seal(&*self.disk)?;
        Ok((segment, next))
    }

    /// Notes the cut at `offset` and removes the segments after it.
    fn cut_from(
        &mut self,
        later: &[i64],
        offset: i64,
        bytes: u64,
        reason: String,
    ) -> Result<(), Error> {
        let cut = self.cut.get_or_insert(Cut {
            offset,
            bytes: 0,
            reason,
        });
        cut.bytes += bytes;
        for base in later {
            cut.bytes += self.files[base].log;
        }
        // From the end, so that an interruption leaves no hole.
        for base in later.iter().rev() {
            for extension in EXTENSIONS {
                remove_if_there(&*self.disk, &file_path(&self.dir, *base, extension))?;
            }
        }
        self.snapshots.retain(|snapshot| !later.contains(snapshot));
        Ok(())
    }

    fn log(
        &self,
        segments: Vec<Segment>,
        next: i64,
        budget: Arc<CacheBudget>,
    ) -> Result<Log, Error> {
        let first = segments.first().map_or(0, |s| s.base_offset);
        let point = self.start.recovery_point.min(next);
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
            poison: self.start.poison.clone(),
            space: self.start.space.clone(),
            cache: LogCache::new(budget),
            segments,
            log_start: self.start.log_start.max(first),
            next_offset: next,
            recovery_point,
            claimed_recovery_point: self.start.recovery_point.max(recovery_point),
            producers: ProducerTable::default(),
            epochs: Vec::new(),
            flush,
        })
    }
}
