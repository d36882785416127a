//! Cutting the log at its end (a follower that diverged) and at its start (retention, DeleteRecords).

use super::Log;
use super::retention::DeletedSegments;
use super::truncation::NewStart;
use crate::Error;
use crate::disk::remove_if_there;
use crate::segment::{EXTENSIONS, SNAPSHOT, Segment, file_path};

impl Log {
    /// Removes all batches that end at `offset` or later. The log then ends at `offset`, or where a removed batch began
    /// that reached over it. Durable when it returns: what was cut off must not come back behind what is appended next.
    pub fn truncate_to(&mut self, offset: i64) -> Result<(), Error> {
        self.truncate_committed_to(offset, i64::MIN)
    }

    /// The same where checkpoints may say that the log is committed up to `high_watermark`, and the cut may be below: what an
    /// unclean election has lost.
    pub fn truncate_committed_to(&mut self, offset: i64, high_watermark: i64) -> Result<(), Error> {
        self.poison.check()?;
        if offset >= self.next_offset {
            return Ok(());
        }
        if offset <= self.segments[0].base_offset {
            return self.truncate_fully_and_start_at(offset);
        }
        // Before anything is touched: a read that fails leaves everything as it was.
        let last = self.segments.partition_point(|s| s.base_offset < offset) - 1;
        let cut = self.cut_position(last, offset)?;
        let poison = self.poison.clone();
        let told = self.claimed_recovery_point.max(high_watermark);
        self.cut_end(offset, cut, told)
            .map_err(|e| poison.by_unfinished(e))
    }

    /// Cuts the last segment that is left at `cut`, if there is something to be cut; `told` is the most that a checkpoint says.
    fn cut_end(&mut self, offset: i64, cut: Option<(u64, i64)>, told: i64) -> Result<(), Error> {
        self.begin_truncation(offset);
        let disk = self.disk.clone();
        // A batch that reaches over the offset goes too.
        let end = cut.map_or(offset, |(_, begin)| begin.min(offset));
        self.note_cut(end);
        self.truncation.begin(&*disk, &self.dir, end, None, told)?;
        // From the end, so that an interruption leaves no hole. The first begins before the offset.
        let segments = self.segments.len();
        while self.active().base_offset >= offset {
            if let Some(segment) = self.segments.pop() {
                self.remove_files(segment.base_offset)?;
            }
        }
        if self.segments.len() < segments {
            // Before the cut: a segment that a crash brought back would stand behind a hole.
            self.sync_dir()?;
        }
        self.next_offset = end;
        match cut {
            Some((position, _)) => self.active_mut().truncate(&*disk, position, offset)?,
            // A segment that was closed is whole, and is appended to again.
            None => self.active_mut().note_tail(&*disk)?,
        }
        if self.next_offset < self.log_start {
            // The batch that went held the log start.
            return self.start_over(self.log_start);
        }
        self.recovery_point = self.recovery_point.min(end);
        self.epochs.retain(|(_, start)| *start < end);
        let gone = self.snapshots()?.into_iter().filter(|s| *s > end);
        for snapshot in gone {
            remove_if_there(&*disk, &file_path(&self.dir, snapshot, SNAPSHOT))?;
        }
        self.rebuild_producers()?;
        self.sync_dir()
    }

    /// Where the first of what must go is in a segment, and the offset that it begins with.
    fn cut_position(&self, segment: usize, offset: i64) -> Result<Option<(u64, i64)>, Error> {
        let segment = &self.segments[segment];
        let damage = segment.damage.iter().find(|d| d.to > offset);
        if let Some(damage) = damage.filter(|d| d.from <= offset) {
            return Ok(Some((damage.position(), damage.from)));
        }
        let found = segment.find(&*self.disk, offset)?;
        Ok(found.map(|(position, header)| (position, header.base_offset)))
    }

    /// Removes everything; the log is empty and begins at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: i64) -> Result<(), Error> {
        self.poison.check()?;
        let poison = self.poison.clone();
        self.start_over(offset).map_err(|e| poison.by_unfinished(e))
    }

    fn start_over(&mut self, offset: i64) -> Result<(), Error> {
        self.begin_truncation(i64::MIN);
        self.note_cut(0);
        let disk = self.disk.clone();
        // The least that the log has ever held: whatever is found at its beginning was on its way out.
        let least = self.segments[0].base_offset.min(offset);
        let start = (offset < self.log_start).then_some(NewStart {
            from: self.log_start,
            to: offset,
        });
        // Whoever dies amid it leaves less than any checkpoint says, the high watermark's too.
        self.truncation
            .begin(&*disk, &self.dir, least, start, i64::MAX)?;
        let now_ms = self.active().opened_ms;
        let bases: Vec<i64> = self.segments.iter().map(|s| s.base_offset).collect();
        for base in bases.iter().rev() {
            self.remove_files(*base)?;
        }
        for snapshot in self.snapshots()? {
            remove_if_there(&*self.disk, &file_path(&self.dir, snapshot, SNAPSHOT))?;
        }
        self.segments = vec![Segment::create(&*self.disk, &self.dir, offset, now_ms)?];
        (self.log_start, self.next_offset) = (offset, offset);
        self.recovery_point = offset;
        self.epochs.clear();
        self.producers = Default::default();
        self.sync_dir()
    }

    /// Where the log was cut and checkpoints may speak of what was there: its generation, for
    /// [`Log::checkpoints_written`].
    pub fn stale_checkpoints(&self) -> Option<u64> {
        self.truncation.is_there().then(|| self.generation())
    }

    /// What a checkpoint from before a cut has told, as far as it still holds.
    pub fn still_promised(&self, told: i64) -> i64 {
        self.truncation.limit(told)
    }

    /// Since the log was of this generation all checkpoints of it have been written.
    pub fn checkpoints_written(&mut self, generation: u64) -> Result<(), Error> {
        self.poison.check()?;
        if self.stale_checkpoints() == Some(generation) {
            let ended = self.truncation.end(&*self.disk, &self.dir);
            ended.map_err(|e| self.poison.by(e))?;
            self.claimed_recovery_point = self.recovery_point;
        }
        Ok(())
    }

    fn begin_truncation(&mut self, offset: i64) {
        self.cache.truncate_to(offset);
        self.flush.truncated();
        self.flush.epochs_changed();
        self.flush.directory_changed();
    }

    fn remove_files(&self, base: i64) -> Result<(), Error> {
        EXTENSIONS.iter().try_for_each(|extension| {
            remove_if_there(&*self.disk, &file_path(&self.dir, base, extension))
        })
    }

    pub(crate) fn sync_dir(&self) -> Result<(), Error> {
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|e| Error::io("sync", &self.dir, e))
    }

    /// Moves the log start, as DeleteRecords and a leader's newer start ask for. Whole segments below go; the caller
    /// removes their files without the log's lock.
    pub fn advance_log_start(&mut self, offset: i64) -> Result<DeletedSegments, Error> {
        if offset > self.next_offset {
            return Err(self.out_of_range(offset));
        }
        if offset <= self.log_start {
            return Ok(DeletedSegments::default());
        }
        self.poison.check()?;
        self.log_start = offset;
        self.drop_segments_below_start()
    }
}
