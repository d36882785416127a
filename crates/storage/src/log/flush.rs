//! Making the log durable: a plan collects what must be synced, runs without the log's lock, and is reported back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Log;
use crate::disk::{Disk, File, remove_if_there};
use crate::segment::{SNAPSHOT, file_path};
use crate::{Error, Poison, checkpoint};

/// What changed since the last flush, besides the bytes of segments.
#[derive(Default)]
pub(super) struct FlushState {
    directory_changes: u64,
    directory_synced: u64,
    epoch_changes: u64,
    epochs_synced: u64,
    /// Which change the epochs' file holds: plans never write an older one. Held while a plan runs.
    epochs_written: Arc<Mutex<u64>>,
    /// Written but not synced, each with the count of directory changes then.
    snapshots: Vec<(u64, PathBuf)>,
    /// Counts truncations: a flush from before one says nothing about what was written after it.
    generation: u64,
}

impl FlushState {
    pub fn directory_changed(&mut self) {
        self.directory_changes += 1;
    }

    pub fn epochs_changed(&mut self) {
        self.epoch_changes += 1;
    }

    pub fn snapshot_written(&mut self, path: PathBuf) {
        self.directory_changes += 1;
        self.snapshots.push((self.directory_changes, path));
    }

    /// Counts truncations.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn truncated(&mut self) {
        self.generation += 1;
    }
}

/// The fsyncs that make the log durable up to the offset where it ended when the plan was made.
pub struct FlushPlan {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    poison: Poison,
    files: Vec<(PathBuf, Arc<dyn File>)>,
    snapshots: Vec<PathBuf>,
    epochs: Option<Vec<(i32, i64)>>,
    epochs_written: Arc<Mutex<u64>>,
    sync_directory: bool,
    failed: Option<Error>,
    flushed: Flushed,
}

/// What a finished plan reports to [`Log::on_flushed`].
#[derive(Clone, Debug)]
pub struct Flushed {
    /// All below is durable.
    pub offset: i64,
    generation: u64,
    directory_changes: u64,
    epoch_changes: u64,
}

impl FlushPlan {
    /// Blocks. A failure poisons the log's directory, unless the disk is merely full.
    pub fn run(self) -> Result<Flushed, Error> {
        // One plan of a log at a time: the kernel tells a failed fsync to one of those who wait for the same pages, and
        // to the other that all is well.
        let turn = self.epochs_written.clone();
        let mut epochs_written = turn.lock();
        self.poison.check()?;
        if let Some(failed) = self.failed {
            return Err(self.poison.by(failed));
        }
        for (path, file) in &self.files {
            self.synced(path, file.sync_data())?;
        }
        for path in &self.snapshots {
            match self.disk.open(path) {
                Ok(file) => self.synced(path, file.sync_data())?,
                // Retention or truncation has removed it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(self.poison.by(Error::io("open", path, e))),
            }
        }
        if let Some(epochs) = &self.epochs {
            self.write_epochs(epochs, &mut epochs_written)?;
        }
        if self.sync_directory {
            self.synced(&self.dir, self.disk.sync_dir(&self.dir))?;
        }
        Ok(self.flushed)
    }

    fn write_epochs(&self, epochs: &[(i32, i64)], written: &mut u64) -> Result<(), Error> {
        // Deleted meanwhile: the name may be another's.
        self.poison.check()?;
        if *written < self.flushed.epoch_changes {
            let path = self.dir.join(checkpoint::LEADER_EPOCH_FILE);
            checkpoint::write_epochs(&*self.disk, &path, epochs).map_err(|e| self.poison.by(e))?;
            *written = self.flushed.epoch_changes;
        }
        Ok(())
    }

    /// Unlike a failed write, a failed fsync is final even when the disk is full: what it was for may be lost.
    fn synced(&self, path: &std::path::Path, result: io::Result<()>) -> Result<(), Error> {
        result.map_err(|source| {
            let gone = source.kind() == io::ErrorKind::NotFound;
            let error = Error::Io {
                action: "sync",
                path: path.to_path_buf(),
                source,
            };
            // A topic that is being deleted takes its directory away.
            if !gone && !self.poison.is_retired() {
                self.poison.set(error.to_string());
            }
            error
        })
    }
}

impl Log {
    /// What must be synced to make everything durable that is in the log now.
    pub fn flush_plan(&mut self) -> FlushPlan {
        // The indexes of the active segment are rebuilt in a recovery anyway.
        self.plan(false)
    }

    /// As [`Log::flush_plan`], on request with the indexes of the active segment.
    pub(super) fn plan(&mut self, active_indexes: bool) -> FlushPlan {
        let disk = self.disk.clone();
        let mut failed = None;
        let mut files = Vec::new();
        let last = self.segments.len() - 1;
        for (i, segment) in self.segments.iter_mut().enumerate() {
            let wanted = segment.dirty || (active_indexes && i == last);
            if !wanted {
                continue;
            }
            let log = segment
                .file(&*disk)
                .map(|f| (segment.path().to_path_buf(), f));
            let collect = || -> Result<(), Error> {
                files.push(log?);
                if i < last || active_indexes {
                    segment.write_indexes(&*disk)?;
                    if segment.lacks_index_entries() {
                        return Err(Error::NoSpace {
                            path: segment.path().to_path_buf(),
                        });
                    }
                    files.push((
                        segment.index.path().to_path_buf(),
                        segment.index.file(&*disk)?,
                    ));
                    let time = &segment.time_index;
                    files.push((time.path().to_path_buf(), time.file(&*disk)?));
                }
                Ok(())
            };
            failed = failed.or(collect().err());
        }
        let state = &self.flush;
        let epochs_dirty = state.epoch_changes != state.epochs_synced;
        FlushPlan {
            disk,
            dir: self.dir.clone(),
            poison: self.poison.clone(),
            files,
            snapshots: state
                .snapshots
                .iter()
                .map(|(_, path)| path.clone())
                .collect(),
            epochs: epochs_dirty.then(|| self.epochs.clone()),
            epochs_written: state.epochs_written.clone(),
            sync_directory: state.directory_changes != state.directory_synced,
            failed,
            flushed: Flushed {
                offset: self.next_offset,
                generation: state.generation,
                directory_changes: state.directory_changes,
                epoch_changes: state.epoch_changes,
            },
        }
    }

    /// Takes note of a plan that has run. One from before a truncation is ignored.
    pub fn on_flushed(&mut self, flushed: &Flushed) {
        let state = &mut self.flush;
        if flushed.generation != state.generation {
            return;
        }
        state.directory_synced = state.directory_synced.max(flushed.directory_changes);
        state.epochs_synced = state.epochs_synced.max(flushed.epoch_changes);
        state
            .snapshots
            .retain(|(change, _)| *change > flushed.directory_changes);
        self.recovery_point = self.recovery_point.max(flushed.offset);
        self.claimed_recovery_point = self.claimed_recovery_point.max(self.recovery_point);
        for i in 0..self.segments.len() {
            // A segment that ends at the offset may have been the active one, whose indexes the plan left out.
            let durable = match self.segments.get(i + 1) {
                Some(next) => next.base_offset < flushed.offset,
                None => self.next_offset <= flushed.offset,
            };
            if durable {
                self.segments[i].dirty = false;
            }
        }
    }

    /// Writes the index entries of the active segment that have gathered, for whoever looks at the files.
    pub fn write_indexes(&mut self) -> Result<(), Error> {
        self.poison.check()?;
        let disk = self.disk.clone();
        self.active_mut()
            .write_indexes(&*disk)
            .map_err(|e| self.poison.by(e))
    }

    /// Readies the log for a clean shutdown: snapshot and indexes are written, the plan makes all durable.
    pub fn close_plan(&mut self) -> Result<FlushPlan, Error> {
        self.poison.check()?;
        self.write_producer_snapshot(self.next_offset)?;
        Ok(self.plan(true))
    }

    /// Removes producer snapshots that no segment begins at, but for the newest.
    pub(super) fn prune_snapshots(&self, snapshots: &[i64]) -> Result<(), Error> {
        let newest = snapshots.iter().max();
        for offset in snapshots {
            let wanted = self.segments.iter().any(|s| s.base_offset == *offset);
            if !wanted && Some(offset) != newest {
                let path = file_path(&self.dir, *offset, SNAPSHOT);
                remove_if_there(&*self.disk, &path)?;
            }
        }
        Ok(())
    }
}
