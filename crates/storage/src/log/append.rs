//! Appending: batches go to the active segment as they are, a new segment begins when that one is full.

use wire::batch::{Batch, BatchHeader};

use super::Log;
use crate::segment::Segment;
use crate::{Error, disk};

impl Log {
    /// Appends batches whose offsets and leader epochs are assigned, all of them or none. `Error::NoSpace` leaves the
    /// log as it was; another failed write poisons it.
    pub fn append(&mut self, batches: &[Batch], now_ms: u64) -> Result<(), Error> {
        self.check_writable()?;
        self.check_order(batches)?;
        let before = self.next_offset;
        let result = self.append_runs(batches, now_ms);
        if let Err(Error::NoSpace { .. }) = &result
            && self.next_offset > before
        {
            self.truncate_to(before)?;
        }
        result
    }

    /// Whether anything can be appended at all: the directory is in service and has room.
    pub fn check_writable(&self) -> Result<(), Error> {
        self.poison.check()?;
        if self.space.is_low() {
            return Err(Error::NoSpace {
                path: self.dir.clone(),
            });
        }
        Ok(())
    }

    fn check_order(&self, batches: &[Batch]) -> Result<(), Error> {
        let mut next = self.next_offset;
        for batch in batches {
            if batch.header.base_offset < next {
                return Err(Error::NotNext {
                    base_offset: batch.header.base_offset,
                    log_end: next,
                });
            }
            next = batch.header.next_offset();
        }
        Ok(())
    }

    /// Each run of batches that fits into one segment is one write.
    fn append_runs(&mut self, mut batches: &[Batch], now_ms: u64) -> Result<(), Error> {
        while let Some(first) = batches.first() {
            if self.active().is_full(&first.header, &self.config, now_ms) {
                self.roll(Some(&first.header), now_ms)?;
            }
            let run = self.run_length(batches);
            let (now, later) = batches.split_at(run);
            let (disk, config, poison) = (&*self.disk, &self.config, &self.poison);
            let active = self.segments.last_mut();
            let active = active.expect("a log always has a segment");
            active.append(disk, now, config, poison)?;
            for batch in now {
                self.on_appended(batch);
            }
            batches = later;
        }
        Ok(())
    }

    /// How many of the batches, at least one, go to the active segment without exceeding its size.
    fn run_length(&self, batches: &[Batch]) -> usize {
        let limit = self.config.segment_bytes.min(i32::MAX as u64);
        let base = self.active().base_offset;
        let mut size = self.active().size;
        let fits = |batch: &&Batch| {
            size += batch.header.size_bytes() as u64;
            let reach = batch.header.last_offset() - base;
            size <= limit && reach <= i64::from(i32::MAX)
        };
        batches.iter().take_while(fits).count().max(1)
    }

    fn on_appended(&mut self, batch: &Batch) {
        self.note_batch(&batch.header);
        self.cache.push(batch);
        self.next_offset = batch.header.next_offset();
    }

    /// What the log remembers of a batch besides its bytes: its producer and its epoch.
    pub(super) fn note_batch(&mut self, header: &BatchHeader) {
        self.producers.apply(header);
        self.assign_epoch(header.partition_leader_epoch, header.base_offset);
    }

    /// Notes that `epoch` begins at `offset`, unless the epoch is known or older than the last. Appending does this
    /// by itself; a new leader may do it before its first batch.
    pub fn assign_epoch(&mut self, epoch: i32, offset: i64) {
        let last = self.epochs.last().copied();
        if epoch >= 0 && last.is_none_or(|(last, _)| epoch > last) {
            // An epoch in which nothing was written gives way, as in Kafka.
            self.epochs.retain(|(_, start)| *start < offset);
            self.epochs.push((epoch, offset));
            self.flush.epochs_changed();
        }
    }

    /// Closes the active segment and begins a new one, which will begin with `first` if that is known.
    pub(super) fn roll(&mut self, first: Option<&BatchHeader>, now_ms: u64) -> Result<(), Error> {
        self.poison.check()?;
        let reach = first.map_or(0, |h| h.last_offset() - self.next_offset);
        // A follower of a compacted log can see a gap that no relative offset spans.
        let base = match first {
            Some(header) if reach > i64::from(i32::MAX) => header.base_offset,
            _ => self.next_offset,
        };
        let (disk, poison) = (self.disk.clone(), self.poison.clone());
        self.active_mut().seal(&*disk).map_err(|e| poison.by(e))?;
        if self.recovery_point < self.claimed_recovery_point {
            // A recovery would trust a closed segment below the claimed point, so it must deserve it.
            let flushed = self.plan(true).run()?;
            self.on_flushed(&flushed);
        }
        let next = Segment::create(&*disk, &self.dir, base, now_ms).map_err(|e| {
            self.remove_segment_files(base);
            poison.by(e)
        })?;
        self.segments.push(next);
        self.flush.directory_changed();
        match self.write_producer_snapshot(base) {
            Err(Error::NoSpace { .. }) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn remove_segment_files(&self, base: i64) {
        for extension in crate::segment::EXTENSIONS {
            let path = crate::segment::file_path(&self.dir, base, extension);
            // What cannot be removed now is an empty segment, which the next recovery removes.
            let _ = disk::remove_if_there(&*self.disk, &path);
        }
    }

    /// Writes the state of the producers at the log end as the snapshot for `offset`, unless it lacks something. The next
    /// flush makes it durable.
    pub fn write_producer_snapshot(&mut self, offset: i64) -> Result<(), Error> {
        if self.producers.unread().is_some() {
            return Ok(());
        }
        let path = crate::segment::file_path(&self.dir, offset, crate::segment::SNAPSHOT);
        let content = crate::producers::encode(self.producers.entries());
        disk::write_replacing(&*self.disk, &path, &content).map_err(|e| self.poison.by(e))?;
        self.flush.snapshot_written(path);
        Ok(())
    }
}
