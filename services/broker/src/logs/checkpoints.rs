//! Writes the offset checkpoints, each only when something in it has changed.

use std::sync::Arc;

use storage::checkpoint::{
    CLEANER_OFFSET_FILE, HIGH_WATERMARK_FILE, LOG_START_FILE, Offsets, RECOVERY_POINT_FILE,
    SCRUB_TIME_FILE, write_offsets,
};
use storage::{Disk, Error};
use tracing::{debug, warn};

use super::directory::{Directory, Saved};
use super::{Logs, Name};
use crate::env::Pool;
use crate::partition::{Partition, Partitions};

/// One of the five files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkpoint {
    RecoveryPoint,
    LogStart,
    HighWatermark,
    Cleaned,
    Scrubbed,
}

impl Checkpoint {
    pub(super) const ALL: [Checkpoint; 5] = [
        Checkpoint::RecoveryPoint,
        Checkpoint::LogStart,
        Checkpoint::HighWatermark,
        Checkpoint::Cleaned,
        Checkpoint::Scrubbed,
    ];

    /// Those that say where a partition's log is, in the order in which they are written.
    pub(super) const POSITIONS: [Checkpoint; 3] = [
        Checkpoint::HighWatermark,
        Checkpoint::LogStart,
        Checkpoint::RecoveryPoint,
    ];

    pub(super) fn file(self) -> &'static str {
        match self {
            Checkpoint::RecoveryPoint => RECOVERY_POINT_FILE,
            Checkpoint::LogStart => LOG_START_FILE,
            Checkpoint::HighWatermark => HIGH_WATERMARK_FILE,
            Checkpoint::Cleaned => CLEANER_OFFSET_FILE,
            Checkpoint::Scrubbed => SCRUB_TIME_FILE,
        }
    }

    pub(super) fn of(self, saved: &mut Saved) -> &mut Offsets {
        match self {
            Checkpoint::RecoveryPoint => &mut saved.recovery_points,
            Checkpoint::LogStart => &mut saved.log_starts,
            Checkpoint::HighWatermark => &mut saved.high_watermarks,
            Checkpoint::Cleaned => &mut saved.cleaned,
            Checkpoint::Scrubbed => &mut saved.scrubbed,
        }
    }

    /// The partition's position; `None` for the one that the partition does not know, and of one that is deleted:
    /// another may have its name by now.
    pub(super) fn position(self, partition: &Partition) -> Option<i64> {
        partition.with_log(|log, high_watermark| match self {
            _ if log.is_retired() => None,
            Checkpoint::RecoveryPoint => Some(log.recovery_point()),
            Checkpoint::LogStart => Some(log.log_start()),
            Checkpoint::HighWatermark => Some(high_watermark.0),
            Checkpoint::Cleaned | Checkpoint::Scrubbed => None,
        })
    }
}

impl Logs {
    /// Writes the file in every directory where a partition's position has changed. A failure is told; the next round
    /// tries again.
    pub(super) async fn write_checkpoint(&self, which: Checkpoint, partitions: &Partitions) {
        let held = self.by_directory(partitions);
        for (directory, held) in self.directories.iter().zip(held) {
            let changed = {
                let mut saved = directory.saved.lock();
                let offsets = which.of(&mut saved);
                for (name, partition) in held {
                    if let Some(position) = which.position(&partition) {
                        offsets.insert(name, position);
                    }
                }
                offsets != which.of(&mut directory.written.lock())
            };
            if changed && directory.poison.reason().is_none() {
                self.save(directory, which).await;
            }
        }
    }

    /// Has the checkpoints of logs that were cut say what is there now, so that the marks of the cuts can go.
    pub(super) async fn settle_cuts(&self, partitions: &Partitions) {
        let held = self.by_directory(partitions).into_iter().flatten();
        let cut = held.filter_map(|(name, partition)| {
            let generation = partition.with_log(|log, _| log.stale_checkpoints())?;
            Some((name, partition, generation))
        });
        let cut: Vec<_> = cut.collect();
        if cut.is_empty() {
            return;
        }
        for which in Checkpoint::POSITIONS {
            self.write_checkpoint(which, partitions).await;
        }
        self.forget_cut(partitions).await;
        for (name, partition, generation) in cut {
            if !self.is_written(&name) {
                continue;
            }
            let settle = move || partition.with_log(|log, _| log.checkpoints_written(generation));
            if let Err(error) = self.env.blocking(Pool::Sync, settle).await {
                debug!(topic = name.0, partition = name.1, %error, "the mark of a cut stays");
            }
        }
    }

    /// Whether all that is known of a partition's positions is on the disk.
    fn is_written(&self, name: &Name) -> bool {
        self.directory_of(name).is_some_and(|directory| {
            let mut saved = directory.saved.lock();
            let mut written = directory.written.lock();
            Checkpoint::ALL
                .iter()
                .filter(|which| **which != Checkpoint::Scrubbed)
                .all(|which| which.of(&mut saved).get(name) == which.of(&mut written).get(name))
        })
    }

    /// Writes the file of one directory as it is known.
    pub(super) async fn save(&self, directory: &Arc<Directory>, which: Checkpoint) {
        if let Err(error) = self.write(directory, which).await {
            warn!(file = which.file(), %error, "cannot write a checkpoint");
        }
    }

    pub(super) async fn write(
        &self,
        directory: &Arc<Directory>,
        which: Checkpoint,
    ) -> Result<(), Error> {
        let (disk, dir) = (self.disk.clone(), directory.clone());
        let write = move || write(&*disk, &dir, which);
        self.env.blocking(Pool::Sync, write).await
    }

    /// The partitions of each directory.
    pub(super) fn by_directory(&self, partitions: &Partitions) -> Vec<Vec<(Name, Arc<Partition>)>> {
        let mut held: Vec<Vec<_>> = self.directories.iter().map(|_| Vec::new()).collect();
        let places = &self.state.lock().places;
        for partition in partitions.all() {
            let name = (partition.topic().to_string(), partition.id().index);
            if let Some(place) = places.get(&name) {
                held[*place].push((name, partition));
            }
        }
        held
    }
}

fn write(disk: &dyn Disk, directory: &Directory, which: Checkpoint) -> Result<(), Error> {
    let _turn = directory.writing.lock();
    let path = directory.path.join(which.file());
    let offsets = which.of(&mut directory.saved.lock()).clone();
    write_offsets(disk, &path, &offsets)?;
    *which.of(&mut directory.written.lock()) = offsets;
    Ok(())
}
