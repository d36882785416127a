//! One segment: a `.log` file that batches are appended to, and its two indexes.

pub(crate) mod index;
pub(crate) mod scan;
#[cfg(test)]
mod tests;
pub(crate) mod view;
pub(crate) mod walk;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wire::batch::{Batch, BatchHeader};

use crate::config::LogConfig;
use crate::disk::{Disk, File};
use crate::{Error, Poison};
use index::{Entry, Floor, Index, OffsetEntry, TimeEntry, open_once};
use scan::{Found, Scanner};
use view::{Distrust, View, behind};
use walk::Damage;

pub(crate) const LOG: &str = "log";
pub(crate) const INDEX: &str = "index";
pub(crate) const TIMEINDEX: &str = "timeindex";
pub(crate) const TXNINDEX: &str = "txnindex";
pub(crate) const SNAPSHOT: &str = "snapshot";
/// Of the files that belong to a segment.
pub(crate) const EXTENSIONS: [&str; 5] = [LOG, INDEX, TIMEINDEX, TXNINDEX, SNAPSHOT];

/// `<dir>/<20 digits>.<extension>`.
pub(crate) fn file_path(dir: &Path, offset: i64, extension: &str) -> PathBuf {
    dir.join(format!("{offset:020}.{extension}"))
}

pub(crate) struct Segment {
    pub base_offset: i64,
    pub size: u64,
    pub index: Index<OffsetEntry>,
    pub time_index: Index<TimeEntry>,
    /// The largest timestamp and its batch's last offset; of a sealed segment read from the time index when asked for.
    pub largest: OnceLock<TimeEntry>,
    /// Max timestamp of the first batch: what `segment.ms` counts from.
    pub first_timestamp: Option<i64>,
    /// When this process made or opened the segment.
    pub opened_ms: u64,
    /// Whether bytes were appended since the last fsync.
    pub dirty: bool,
    /// What cannot be read of it, as far as is known, in the order of offsets.
    pub damage: Arc<[Damage]>,
    distrust: Distrust,
    path: PathBuf,
    file: OnceLock<Arc<dyn File>>,
    since_index_entry: u64,
}

impl Segment {
    pub fn create(disk: &dyn Disk, dir: &Path, base: i64, now_ms: u64) -> Result<Segment, Error> {
        Segment::create_as(disk, dir, base, None, now_ms)
    }

    /// Creates the files with a suffix behind their names.
    pub fn create_as(
        disk: &dyn Disk,
        dir: &Path,
        base: i64,
        suffix: Option<&str>,
        now_ms: u64,
    ) -> Result<Segment, Error> {
        let name = |extension: &str| match suffix {
            Some(suffix) => file_path(dir, base, &format!("{extension}.{suffix}")),
            None => file_path(dir, base, extension),
        };
        let path = name(LOG);
        let file = disk
            .create(&path)
            .map_err(|e| Error::io("create", &path, e))?;
        Ok(Segment {
            base_offset: base,
            size: 0,
            index: Index::create(disk, name(INDEX), base)?,
            time_index: Index::create(disk, name(TIMEINDEX), base)?,
            largest: OnceLock::new(),
            first_timestamp: None,
            opened_ms: now_ms,
            dirty: true,
            damage: Arc::new([]),
            distrust: Distrust::default(),
            path,
            file: OnceLock::from(file),
            since_index_entry: 0,
        })
    }

    /// Makes all three files durable.
    pub fn sync(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        for file in [
            self.file(disk)?,
            self.index.file(disk)?,
            self.time_index.file(disk)?,
        ] {
            file.sync_data()
                .map_err(|e| Error::io("sync", &self.path, e))?;
        }
        self.dirty = false;
        Ok(())
    }

    /// The files have got their ordinary names.
    pub fn moved_to(&mut self, dir: &Path) {
        self.path = file_path(dir, self.base_offset, LOG);
        self.index.moved_to(file_path(dir, self.base_offset, INDEX));
        self.time_index
            .moved_to(file_path(dir, self.base_offset, TIMEINDEX));
    }

    /// A segment that is there. If an index is missing or cannot be one, gives its path: then it must be rebuilt.
    pub fn existing(
        dir: &Path,
        base: i64,
        sizes: FileSizes,
        now_ms: u64,
    ) -> Result<Segment, PathBuf> {
        let index = Index::existing(file_path(dir, base, INDEX), base, sizes.index)?;
        let time = Index::existing(file_path(dir, base, TIMEINDEX), base, sizes.time_index)?;
        Ok(Segment {
            base_offset: base,
            size: sizes.log,
            index,
            time_index: time,
            largest: OnceLock::new(),
            first_timestamp: None,
            opened_ms: now_ms,
            dirty: false,
            damage: Arc::new([]),
            distrust: Distrust::default(),
            path: file_path(dir, base, LOG),
            file: OnceLock::new(),
            since_index_entry: 0,
        })
    }

    /// The same segment with empty indexes, to be filled by a scan.
    pub fn unindexed(
        disk: &dyn Disk,
        dir: &Path,
        base: i64,
        log_bytes: u64,
        now_ms: u64,
    ) -> Result<Segment, Error> {
        Ok(Segment {
            base_offset: base,
            size: log_bytes,
            index: Index::create(disk, file_path(dir, base, INDEX), base)?,
            time_index: Index::create(disk, file_path(dir, base, TIMEINDEX), base)?,
            largest: OnceLock::new(),
            first_timestamp: None,
            opened_ms: now_ms,
            dirty: true,
            damage: Arc::new([]),
            distrust: Distrust::default(),
            path: file_path(dir, base, LOG),
            file: OnceLock::new(),
            since_index_entry: 0,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, disk: &dyn Disk) -> Result<Arc<dyn File>, Error> {
        open_once(&self.file, disk, &self.path)
    }

    /// Whether a batch must go to a new segment instead.
    pub fn is_full(&self, batch: &BatchHeader, config: &LogConfig, now_ms: u64) -> bool {
        let reach = batch.last_offset() - self.base_offset;
        // Positions and relative offsets are 32 bits wide in the indexes.
        let limit = config.segment_bytes.min(i32::MAX as u64);
        if reach > i64::from(i32::MAX) {
            return true;
        }
        self.size > 0
            && (self.size + batch.size_bytes() as u64 > limit
                || self.age_ms(batch.max_timestamp, now_ms) > config.roll_ms(self.base_offset)
                || self.indexes_full(config))
    }

    pub fn is_due(&self, config: &LogConfig, now_ms: u64) -> bool {
        self.size > 0 && self.age_ms(now_ms as i64, now_ms) > config.roll_ms(self.base_offset)
    }

    fn indexes_full(&self, config: &LogConfig) -> bool {
        let limit = config.segment_index_bytes;
        self.index.size_bytes() + OffsetEntry::SIZE as u64 > limit
            || self.time_index.size_bytes() + 2 * TimeEntry::SIZE as u64 > limit
    }

    /// By the records' own time where they have one, as Kafka: a replica that catches up rolls as the leader did.
    fn age_ms(&self, timestamp: i64, now_ms: u64) -> u64 {
        match self.first_timestamp {
            Some(first) if first >= 0 && timestamp >= 0 => {
                timestamp.saturating_sub(first).max(0) as u64
            }
            _ => now_ms.saturating_sub(self.opened_ms),
        }
    }

    /// Writes batches at the end, header prefix patched, payload uncopied. After an error nothing of them is there, or
    /// the log is poisoned.
    pub fn append(
        &mut self,
        disk: &dyn Disk,
        batches: &[Batch],
        config: &LogConfig,
        poison: &Poison,
    ) -> Result<(), Error> {
        let file = self.file(disk)?;
        let prefixes: Vec<[u8; 16]> = batches.iter().map(Batch::patched_prefix).collect();
        let mut slices = Vec::with_capacity(batches.len() * 2);
        for (batch, prefix) in batches.iter().zip(&prefixes) {
            slices.push(IoSlice::new(prefix));
            slices.push(IoSlice::new(&batch.bytes[prefix.len()..]));
        }
        if let Err(e) = file.append(&mut slices) {
            let error = poison.by(Error::io("write", &self.path, e));
            if poison.reason().is_none() {
                let trimmed = file.truncate(self.size);
                trimmed.map_err(|e| poison.by(Error::io("truncate", &self.path, e)))?;
            }
            return Err(error);
        }
        self.dirty = true;
        for batch in batches {
            self.note(disk, &batch.header, self.size, config)
                .map_err(|e| poison.by(e))?;
            self.size += batch.header.size_bytes() as u64;
        }
        Ok(())
    }

    /// Takes note of the batch at `position`: timestamps, and an index entry if one is due.
    pub fn note(
        &mut self,
        disk: &dyn Disk,
        header: &BatchHeader,
        position: u64,
        config: &LogConfig,
    ) -> Result<(), Error> {
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let largest = self.largest.get().map_or(-1, |l| l.timestamp);
        if header.max_timestamp > largest {
            self.largest = OnceLock::from(TimeEntry::of(header));
        }
        if self.since_index_entry > config.index_interval_bytes {
            let entry = OffsetEntry {
                offset: header.last_offset(),
                position: position as u32,
            };
            self.index.push(disk, entry)?;
            self.push_time(disk)?;
            self.since_index_entry = 0;
        }
        self.since_index_entry += header.size_bytes() as u64;
        Ok(())
    }

    /// Adds the largest timestamp to the time index, if it is beyond the last entry's.
    fn push_time(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let Some(largest) = self.largest.get().filter(|l| l.timestamp >= 0).copied() else {
            return Ok(());
        };
        let last = self.time_index.last(disk)?;
        if last.is_none_or(|last| largest.timestamp > last.timestamp) {
            self.time_index.push(disk, largest)?;
        }
        Ok(())
    }

    /// Finishes the indexes of a segment that gets no more batches.
    pub fn seal(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        // Its bytes may be durable, its indexes are not.
        self.dirty = true;
        self.push_time(disk)?;
        self.write_indexes(disk)
    }

    pub fn write_indexes(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        self.index.write(disk)?;
        self.time_index.write(disk)
    }

    /// Whether the disk was too full for some index entries: then the files must not count as finished.
    pub fn lacks_index_entries(&self) -> bool {
        self.index.is_waiting() || self.time_index.is_waiting()
    }

    /// The largest timestamp; `None` if no record has one.
    pub fn largest(&self, disk: &dyn Disk) -> Result<Option<TimeEntry>, Error> {
        let largest = match self.largest.get() {
            Some(largest) => *largest,
            None => {
                let found = self.look_for_largest(disk)?;
                *self.largest.get_or_init(|| found)
            }
        };
        Ok(Some(largest).filter(|largest| largest.timestamp >= 0))
    }

    /// The same read from the disk once more, whatever is remembered: a disk may give once what is not on it.
    pub fn largest_again(&self, disk: &dyn Disk) -> Result<Option<TimeEntry>, Error> {
        self.file(disk)?.forget_cached(0, self.size);
        let found = self.look_for_largest(disk)?;
        Ok(Some(found).filter(|found| found.timestamp >= 0))
    }

    /// What the last entry of the time index says, where the batches do not say otherwise: no checksum covers an index,
    /// and what is deleted for a wrong time is gone.
    fn look_for_largest(&self, disk: &dyn Disk) -> Result<TimeEntry, Error> {
        let view = self.view(disk)?;
        let none = TimeEntry {
            timestamp: -1,
            offset: self.base_offset,
        };
        let last = self.time_index.last(disk)?;
        let named = match last {
            Some(last) => match self.find(disk, last.offset) {
                Err(Error::Corrupt { .. }) => None,
                found => found?,
            },
            None => None,
        };
        let named = named.filter(|(_, header)| last == Some(TimeEntry::of(header)));
        let mut largest = last.filter(|_| named.is_some()).unwrap_or(none);
        let from = named.map_or(0, |(position, _)| position);
        view.each(from, |header| {
            if header.max_timestamp > largest.timestamp {
                largest = TimeEntry::of(header);
            }
        })?;
        // Of a segment that is appended to the index lags behind the batches; what it has must be right there too.
        let lags = self.first_timestamp.is_some() && (last.is_none() || named.is_some());
        if Some(largest) != last && largest != none && !lags {
            view.distrust();
        }
        Ok(largest)
    }

    /// Adds what has been found to be damaged.
    pub fn note_damage(&mut self, found: Vec<Damage>) {
        let known = |new: &Damage| self.damage.iter().any(|d| d.covers(new));
        let new: Vec<Damage> = found.into_iter().filter(|new| !known(new)).collect();
        if new.is_empty() {
            return;
        }
        let kept = self
            .damage
            .iter()
            .filter(|old| !new.iter().any(|n| n.covers(old)));
        let mut all: Vec<Damage> = kept.cloned().chain(new.iter().cloned()).collect();
        all.sort_by_key(|d| d.from);
        self.damage = all.into();
    }

    /// What is damaged of the first `size` bytes is what has been found there.
    pub fn replace_damage(&mut self, found: &[Damage], size: u64) {
        // What lies behind, or is missing from the file, no reading of these bytes tells of.
        let is_unseen = |d: &&Damage| d.position() >= size || d.end() == d.position();
        let unseen: Vec<&Damage> = self.damage.iter().filter(is_unseen).collect();
        let apart = found.iter().map(|f| {
            let behind = unseen.iter().find(|u| f.from < u.from && u.from < f.to);
            behind.map_or(f.clone(), |u| f.until(u.from))
        });
        let mut all: Vec<Damage> = apart.collect();
        all.extend(unseen.into_iter().cloned());
        all.sort_by_key(|d| d.from);
        self.damage = all.into();
    }

    /// The segment as it is now.
    pub fn view(&self, disk: &dyn Disk) -> Result<View, Error> {
        Ok(View {
            path: self.path.clone(),
            file: self.file(disk)?,
            size: self.size,
            damage: self.damage.clone(),
            distrust: self.distrust.clone(),
        })
    }

    pub fn start_of(&self, disk: &dyn Disk, offset: i64) -> Result<Floor<OffsetEntry>, Error> {
        self.index.floor(disk, offset)
    }

    /// The first batch that ends at `offset` or later: its position and header.
    pub fn find(&self, disk: &dyn Disk, offset: i64) -> Result<Option<(u64, BatchHeader)>, Error> {
        let start = self.start_of(disk, offset)?.find(offset)?;
        self.view(disk)?.find(start, |h| h.last_offset() >= offset)
    }

    /// Cuts the segment at `position`, before all batches that end at `offset` or later, durably.
    pub fn truncate(&mut self, disk: &dyn Disk, position: u64, offset: i64) -> Result<(), Error> {
        self.dirty = true;
        self.index.truncate(disk, |e| e.offset >= offset)?;
        self.time_index.truncate(disk, |e| e.offset >= offset)?;
        let file = self.file(disk)?;
        file.truncate(position)
            .and_then(|()| file.sync_data())
            .map_err(|e| Error::io("truncate", &self.path, e))?;
        self.size = position;
        self.largest = OnceLock::new();
        if position == 0 {
            self.first_timestamp = None;
        }
        self.since_index_entry = 0;
        // What is missing from the end of the file has no place there: its offsets tell.
        let is_kept = |d: &&Damage| d.end() <= position && d.to <= offset;
        let kept = self.damage.iter().filter(is_kept);
        self.damage = kept.cloned().collect();
        self.note_tail(disk)
    }

    /// Notes timestamps of what follows the last index entry: what a segment must know before it is appended to.
    pub fn note_tail(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let view = self.view(disk)?;
        let mut scanner = Scanner::sparse(&*view.file, self.size);
        let io = |e| Error::io("read", &view.path, e);
        let start = view
            .start(&mut scanner, self.index.last(disk)?)
            .map_err(io)?;
        if let Some(last) = self.time_index.last(disk)? {
            self.largest = OnceLock::from(last);
        }
        if let Found::Batch(first) = scanner.header(0).map_err(io)? {
            self.first_timestamp = Some(first.max_timestamp);
        }
        let mut position = start;
        self.since_index_entry = self.size - start.min(self.size);
        while let Found::Batch(header) =
            scanner.header(behind(&self.damage, position)).map_err(io)?
        {
            position = behind(&self.damage, position);
            if header.max_timestamp > self.largest.get().map_or(-1, |l| l.timestamp) {
                self.largest = OnceLock::from(TimeEntry::of(&header));
            }
            position += header.size_bytes() as u64;
        }
        Ok(())
    }
}

/// Sizes of a segment's files as the directory lists them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FileSizes {
    pub log: u64,
    pub index: Option<u64>,
    pub time_index: Option<u64>,
}
