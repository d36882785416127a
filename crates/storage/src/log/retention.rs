//! What is too old or too much goes, a whole segment at a time from the start.

use std::path::PathBuf;
use std::sync::Arc;

use super::Log;
use crate::Error;
use crate::disk::{Disk, remove_if_there};
use crate::segment::index::TimeEntry;
use crate::segment::{EXTENSIONS, SNAPSHOT, Segment, file_path};

/// Files of segments that are out of the log already; [`DeletedSegments::remove`] frees their space.
#[derive(Default)]
pub struct DeletedSegments {
    pub segments: usize,
    pub bytes: u64,
    files: Vec<PathBuf>,
    disk: Option<Arc<dyn Disk>>,
}

impl DeletedSegments {
    pub(crate) fn on(disk: Arc<dyn Disk>) -> DeletedSegments {
        DeletedSegments {
            disk: Some(disk),
            ..DeletedSegments::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.segments == 0
    }

    /// Blocks; needs no lock. What is left behind by a crash is removed when the log is opened.
    pub fn remove(self) -> Result<(), Error> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        self.files
            .iter()
            .try_for_each(|file| remove_if_there(&**disk, file))
    }
}

impl Log {
    /// Takes segments out of the log that retention by time or size no longer keeps, none above the high watermark.
    /// The caller removes their files without the log's lock.
    pub fn retention(
        &mut self,
        now_ms: u64,
        high_watermark: i64,
    ) -> Result<DeletedSegments, Error> {
        self.poison.check()?;
        if !self.config.delete {
            return Ok(DeletedSegments::default());
        }
        let mut excess = self.excess_bytes();
        let mut gone = 0;
        while gone < self.segments.len() {
            let segment = &self.segments[gone];
            let end = self.segment_end(gone);
            let by_size = excess > 0 && segment.size <= excess && gone + 1 < self.segments.len();
            // Compaction may leave a segment empty; only the last one has nothing to delete for that.
            let is_filled = segment.size > 0 || gone + 1 < self.segments.len();
            let deletable = is_filled && end <= high_watermark;
            if !deletable || !(by_size || self.is_expired(segment, now_ms)?) {
                break;
            }
            excess = excess.saturating_sub(segment.size);
            gone += 1;
        }
        if gone == 0 {
            return Ok(DeletedSegments::default());
        }
        let start = self.segment_end(gone - 1);
        if gone == self.segments.len() {
            self.roll(None, now_ms)?;
        }
        self.log_start = self.log_start.max(start);
        self.drop_segments_below_start()
    }

    /// Begins a new segment if the active one is older than `segment.ms`, so that an idle log can be cleaned and expire.
    pub fn roll_if_due(&mut self, now_ms: u64) -> Result<bool, Error> {
        let due = self.active().is_due(&self.config, now_ms);
        if due {
            self.roll(None, now_ms)?;
        }
        Ok(due)
    }

    fn excess_bytes(&self) -> u64 {
        let limit = self.config.retention_bytes;
        limit.map_or(0, |limit| self.size_bytes().saturating_sub(limit))
    }

    fn is_expired(&self, segment: &Segment, now_ms: u64) -> Result<bool, Error> {
        let Some(retention_ms) = self.config.retention_ms else {
            return Ok(false);
        };
        let is_old = |largest| {
            let newest_ms = self.newest_ms(segment, largest)?;
            Ok(now_ms.saturating_sub(newest_ms) > retention_ms)
        };
        // What is deleted is gone: it is looked at once more.
        Ok(is_old(segment.largest(&*self.disk)?)? && is_old(segment.largest_again(&*self.disk)?)?)
    }

    /// When the newest record of a segment was written, given the largest timestamp that was found.
    fn newest_ms(&self, segment: &Segment, largest: Option<TimeEntry>) -> Result<u64, Error> {
        let largest = largest.and_then(|largest| u64::try_from(largest.timestamp).ok());
        match largest {
            Some(largest) if segment.damage.is_empty() => Ok(largest),
            // Records without a time: the file's own, as in Kafka. What is damaged may be newer than what can be read, and
            // is to be fetched again.
            largest => {
                let modified = self.disk.modified_ms(segment.path());
                let modified = modified.map_err(|e| Error::io("stat", segment.path(), e))?;
                Ok(modified.max(largest.unwrap_or(0)))
            }
        }
    }

    /// The offset after the last that can be in segment `i`.
    pub(crate) fn segment_end(&self, i: usize) -> i64 {
        let next = self.segments.get(i + 1);
        next.map_or(self.next_offset, |next| next.base_offset)
    }

    /// Takes the segments out that end at or below the log start, never the last one.
    pub(super) fn drop_segments_below_start(&mut self) -> Result<DeletedSegments, Error> {
        let start = self.log_start;
        self.cache.drop_below(start);
        let below = (1..self.segments.len())
            .take_while(|i| self.segments[*i].base_offset <= start)
            .count();
        self.trim_epochs();
        if below == 0 {
            return Ok(DeletedSegments::default());
        }
        let gone: Vec<Segment> = self.segments.drain(..below).collect();
        let mut deleted = DeletedSegments {
            segments: gone.len(),
            bytes: gone.iter().map(|s| s.size).sum(),
            files: Vec::new(),
            disk: Some(self.disk.clone()),
        };
        for segment in &gone {
            self.mark_deleted(segment.base_offset, &mut deleted.files)?;
        }
        self.give_up_unread_producers();
        self.flush.directory_changed();
        Ok(deleted)
    }

    /// Renames a segment's files, which is quick, so that they are removed later or at the next start.
    fn mark_deleted(&self, base: i64, files: &mut Vec<PathBuf>) -> Result<(), Error> {
        EXTENSIONS
            .iter()
            .try_for_each(|extension| self.mark_file(base, extension, files))
    }

    /// The same for a segment that a cleaned one replaces; the snapshot at its base offset may stay valid.
    pub(crate) fn mark_replaced(
        &self,
        base: i64,
        keep_snapshot: bool,
        deleted: &mut DeletedSegments,
    ) -> Result<(), Error> {
        deleted.segments += 1;
        let marked = |extension: &&&str| **extension != SNAPSHOT || !keep_snapshot;
        EXTENSIONS
            .iter()
            .filter(marked)
            .try_for_each(|extension| self.mark_file(base, extension, &mut deleted.files))
    }

    fn mark_file(&self, base: i64, extension: &str, files: &mut Vec<PathBuf>) -> Result<(), Error> {
        let path = file_path(&self.dir, base, extension);
        let marked = path.with_extension(format!("{extension}.deleted"));
        match self.disk.rename(&path, &marked) {
            Ok(()) => files.push(marked),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("rename", &path, e)),
        }
        Ok(())
    }

    /// Epochs that end below the log start go; the one that the start is in begins there from now on.
    pub(super) fn trim_epochs(&mut self) {
        let start = self.log_start;
        let ended = self.epochs.partition_point(|(_, begin)| *begin <= start);
        if ended > 1 || (ended == 1 && self.epochs[0].1 < start) {
            self.epochs.drain(..ended - 1);
            self.epochs[0].1 = start;
            self.flush.epochs_changed();
        }
    }
}
