//! The producers of a log, read off its snapshots and batches.
//!
//! Where the disk has changed some of the batches, what they tell is lacking: a producer that has written there would be
//! called out of order for what it writes next, or what it repeats would be taken once more. So they are read again when the
//! batches are there again, and until then no snapshot is written, which would hide from the next start that they lack.

use tracing::warn;

use super::Log;
use crate::producers::{self, ProducerEntry, ProducerTable};
use crate::segment::{SNAPSHOT, file_path};
use crate::{Error, disk};

impl Log {
    /// A producer has sent something, whatever has become of it.
    pub fn heard_of_producer(&mut self, producer_id: i64) {
        self.producers.heard_of(producer_id);
    }

    /// Forgets producers that have been silent for `producer.id.expiration.ms`, and gives their ids. `uptime_ms` is a clock
    /// that does not jump.
    pub fn expire_producers(&mut self, wall_ms: u64, uptime_ms: u64) -> Vec<i64> {
        let expiration_ms = self.config.producer_expiration_ms;
        self.producers.expire(wall_ms, uptime_ms, expiration_ms)
    }

    /// Offsets of the producer snapshots in the directory.
    pub(super) fn snapshots(&self) -> Result<Vec<i64>, Error> {
        let entries = self.disk.list(&self.dir);
        let entries = entries.map_err(|e| Error::io("list", &self.dir, e))?;
        let offset = |name: &str| name.strip_suffix(".snapshot")?.parse().ok();
        Ok(entries.iter().filter_map(|e| offset(&e.name)).collect())
    }

    /// The producers as the batches that are left have them, from the newest snapshot on; and where that lacks something, as
    /// they are remembered.
    pub(super) fn rebuild_producers(&mut self) -> Result<(), Error> {
        let before = std::mem::take(&mut self.producers);
        let (start, end) = (self.segments[0].base_offset, self.next_offset);
        let read = self.read_producers();
        if read.is_err() {
            self.producers = ProducerTable::default();
            self.producers.note_unread([(start, end)].into_iter());
        }
        self.producers.recall(&before, end);
        // What could not be read need not be, where all of it is remembered.
        match self.producers.unread() {
            Some(_) => read,
            None => Ok(()),
        }
    }

    fn read_producers(&mut self) -> Result<(), Error> {
        let first = self.segments[0].base_offset;
        let snapshot = self.read_snapshot(&self.snapshots()?)?;
        let (from, entries) = snapshot.unwrap_or((first, Vec::new()));
        self.producers = ProducerTable::from_entries(entries);
        self.replay(from, self.next_offset)
    }

    /// The newest of these snapshots, offsets ascending, that is whole, and where it stands. What is not whole goes: with
    /// one line, however many there are.
    pub(super) fn read_snapshot(
        &self,
        offsets: &[i64],
    ) -> Result<Option<(i64, Vec<ProducerEntry>)>, Error> {
        // Between an older one and the first segment there was more, of which it does not tell: who has written then would be
        // called out of order for ever.
        let first = self.segments[0].base_offset;
        let (mut found, mut unfit) = (None, Vec::new());
        for offset in offsets.iter().rev().filter(|s| **s >= first) {
            let path = file_path(&self.dir, *offset, SNAPSHOT);
            let read = || disk::read_file(&*self.disk, &path).map(|c| c.map(producers::decode));
            let mut content = read()?;
            if let Some(None) = content {
                // A disk may give once what is not on it; what is removed is gone.
                let file = self.disk.open(&path);
                let opened = file.and_then(|file| Ok((file.len()?, file)));
                let (len, file) = opened.map_err(|e| Error::io("open", &path, e))?;
                file.forget_cached(0, len);
                content = read()?;
            }
            match content {
                Some(Some(entries)) => {
                    found = Some((*offset, entries));
                    break;
                }
                Some(None) => unfit.push(path),
                None => {}
            }
        }
        if let Some(newest) = unfit.first() {
            let snapshots = unfit.len();
            warn!(
                snapshot = %newest.display(), snapshots,
                "a snapshot of producers is not whole: who has written is read off an older one and the batches"
            );
        }
        for path in &unfit {
            disk::remove_if_there(&*self.disk, path)?;
        }
        Ok(found)
    }

    /// What was damaged may be whole now.
    pub(super) fn reread_producers(&mut self) {
        if self.producers.unread().is_none() {
            return;
        }
        let unread = self.producers.unread();
        self.producers_reread = true;
        if let Err(error) = self.rebuild_producers() {
            self.producers.note_unread(unread.into_iter());
            warn!(dir = %self.dir.display(), %error, "cannot read again who has written to a log that was damaged");
        }
    }

    /// What was damaged may be gone, with its segment.
    pub(super) fn give_up_unread_producers(&mut self) {
        let first = self.segments[0].base_offset;
        if self.producers.unread().is_some_and(|(_, to)| to <= first) {
            self.producers.give_up_unread();
            self.producers_reread = true;
        }
    }

    /// Whether the producers are others than those that were told and have been appended since; says so once.
    pub fn take_producers_reread(&mut self) -> bool {
        std::mem::take(&mut self.producers_reread)
    }
}
