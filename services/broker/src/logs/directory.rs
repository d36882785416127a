//! One log directory: locked, known to be ours, with its checkpoints and the mark of the last stop.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use storage::checkpoint::{self, CleanShutdown, MetaProperties, Offsets};
use storage::{Disk, Error, Poison, Space, disk};
use tracing::warn;
use wire::Uuid;

use super::OpenError;

const LOCK_FILE: &str = ".lock";
/// Kafka's name for the metadata log, which the quorum keeps.
const METADATA_DIRECTORY: &str = "__cluster_metadata-0";
const DELETED_SUFFIX: &str = "-delete";
const STRAY_SUFFIX: &str = "-stray";
/// The longest file name that common file systems take.
const NAME_MAX: usize = 255;

/// A directory of `log.dirs`.
pub(super) struct Directory {
    pub path: PathBuf,
    pub poison: Poison,
    pub space: Space,
    /// The broker epoch of an orderly stop; `None` after a crash.
    pub clean: Option<CleanShutdown>,
    pub meta: Mutex<Option<MetaProperties>>,
    pub saved: Mutex<Saved>,
    /// What the files hold; taken after `saved` where both are.
    pub written: Mutex<Saved>,
    /// Held while a checkpoint is written: each goes through a temporary file of one name.
    pub writing: Mutex<()>,
    /// Whether it has been told that the directory is out of service.
    pub offline: AtomicBool,
    /// As it was last looked at; `u64::MAX` before.
    pub free_bytes: AtomicU64,
    _lock: Box<dyn Send + Sync>,
}

/// What the offset checkpoints hold.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Saved {
    pub recovery_points: Offsets,
    pub log_starts: Offsets,
    pub high_watermarks: Offsets,
    pub cleaned: Offsets,
    /// Unix time in milliseconds.
    pub scrubbed: Offsets,
}

impl Directory {
    /// Takes the directory into use. Blocks.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        node_id: i32,
        poison: Poison,
    ) -> Result<Directory, OpenError> {
        if !disk.exists(path) {
            let created = disk.create_dir_all(path);
            let synced = created.and_then(|()| path.parent().map_or(Ok(()), |p| disk.sync_dir(p)));
            synced.map_err(|e| Error::io("create", path, e))?;
        }
        let lock_path = path.join(LOCK_FILE);
        let lock = disk.lock(&lock_path).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked(path.to_path_buf()),
            _ => Error::io("lock", &lock_path, e).into(),
        })?;
        let meta =
            checkpoint::read_meta_properties(disk, &path.join(checkpoint::META_PROPERTIES_FILE))?;
        if let Some(meta) = &meta
            && meta.node_id != node_id
        {
            let path = path.to_path_buf();
            return Err(OpenError::OtherNode {
                path,
                found: meta.node_id,
                node_id,
            });
        }
        // Gone before the first change, so that a crash from now on is seen as one.
        let mark = path.join(checkpoint::CLEAN_SHUTDOWN_FILE);
        let clean = checkpoint::read_clean_shutdown(disk, &mark)?;
        disk::remove_if_there(disk, &mark)?;
        disk.sync_dir(path)
            .map_err(|e| Error::io("sync", path, e))?;
        let saved = Saved::read(disk, path)?;
        Ok(Directory {
            path: path.to_path_buf(),
            poison,
            space: Space::default(),
            clean,
            meta: Mutex::new(meta),
            written: Mutex::new(saved.clone()),
            saved: Mutex::new(saved),
            writing: Mutex::new(()),
            offline: AtomicBool::new(false),
            free_bytes: AtomicU64::new(u64::MAX),
            _lock: lock,
        })
    }

    /// The partitions that have a directory here. What was deleted before the last stop goes now.
    pub fn partitions(&self, disk: &dyn Disk) -> Result<BTreeSet<(String, i32)>, Error> {
        let entries = disk
            .list(&self.path)
            .map_err(|e| Error::io("list", &self.path, e))?;
        let mut partitions = BTreeSet::new();
        for entry in entries
            .iter()
            .filter(|e| e.is_dir && e.name != METADATA_DIRECTORY)
        {
            if entry.name.ends_with(DELETED_SUFFIX) {
                let path = self.path.join(&entry.name);
                disk.remove_dir_all(&path)
                    .map_err(|e| Error::io("remove", &path, e))?;
            } else if !entry.name.ends_with(STRAY_SUFFIX) {
                partitions.extend(parse_name(&entry.name));
            }
        }
        Ok(partitions)
    }

    /// Says whose the directory is, once the cluster is known.
    pub fn claim(&self, disk: &dyn Disk, meta: MetaProperties) -> Result<(), Error> {
        let path = self.path.join(checkpoint::META_PROPERTIES_FILE);
        checkpoint::write_meta_properties(disk, &path, &meta)?;
        *self.meta.lock() = Some(meta);
        Ok(())
    }

    /// The cluster that the directory belongs to, if it has been used.
    pub fn cluster_id(&self) -> Option<String> {
        self.meta
            .lock()
            .as_ref()
            .map(|meta| meta.cluster_id.clone())
    }

    pub fn partition_path(&self, topic: &str, index: i32) -> PathBuf {
        self.path.join(format!("{topic}-{index}"))
    }

    /// Renames a partition's directory, durably, to one that is removed later; gives the new path.
    pub fn mark_deleted(
        &self,
        disk: &dyn Disk,
        topic: &str,
        index: i32,
        unique: Uuid,
    ) -> Result<PathBuf, Error> {
        self.set_aside(disk, topic, index, unique, DELETED_SUFFIX)
    }

    /// Renames the directory of a partition that the cluster does not know, durably.
    pub fn mark_stray(
        &self,
        disk: &dyn Disk,
        topic: &str,
        index: i32,
        unique: Uuid,
    ) -> Result<PathBuf, Error> {
        self.set_aside(disk, topic, index, unique, STRAY_SUFFIX)
    }

    fn set_aside(
        &self,
        disk: &dyn Disk,
        topic: &str,
        index: i32,
        unique: Uuid,
        suffix: &str,
    ) -> Result<PathBuf, Error> {
        let from = self.partition_path(topic, index);
        let tail = format!(".{:032x}{suffix}", u128::from(unique));
        let mut name = format!("{topic}-{index}");
        // Topic names are ASCII.
        name.truncate(NAME_MAX - tail.len());
        let to = self.path.join(name + &tail);
        let renamed = disk
            .rename(&from, &to)
            .and_then(|()| disk.sync_dir(&self.path));
        renamed.map_err(|e| Error::io("rename", &from, e))?;
        Ok(to)
    }
}

impl Saved {
    fn read(disk: &dyn Disk, dir: &Path) -> Result<Saved, Error> {
        let read = |file: &str| match checkpoint::read_offsets(disk, &dir.join(file)) {
            // Without it more is checked, replicated or compacted again, and nothing is lost.
            Err(error @ Error::Corrupt { .. }) => {
                warn!(%error, "going on without a checkpoint");
                Ok(Offsets::new())
            }
            read => read,
        };
        Ok(Saved {
            recovery_points: read(checkpoint::RECOVERY_POINT_FILE)?,
            log_starts: read(checkpoint::LOG_START_FILE)?,
            high_watermarks: read(checkpoint::HIGH_WATERMARK_FILE)?,
            cleaned: read(checkpoint::CLEANER_OFFSET_FILE)?,
            scrubbed: read(checkpoint::SCRUB_TIME_FILE)?,
        })
    }

    /// Whatever is remembered of others is of partitions that were deleted when the process ended, and their names may be
    /// given again.
    pub fn keep_only(&mut self, partitions: &BTreeSet<(String, i32)>) {
        for offsets in [
            &mut self.recovery_points,
            &mut self.log_starts,
            &mut self.high_watermarks,
            &mut self.cleaned,
            &mut self.scrubbed,
        ] {
            offsets.retain(|partition, _| partitions.contains(partition));
        }
    }

    pub fn forget(&mut self, partition: &(String, i32)) {
        self.recovery_points.remove(partition);
        self.log_starts.remove(partition);
        self.high_watermarks.remove(partition);
        self.cleaned.remove(partition);
        self.scrubbed.remove(partition);
    }
}

/// `<topic>-<partition>`; topics may have dashes too.
fn parse_name(name: &str) -> Option<(String, i32)> {
    let (topic, index) = name.rsplit_once('-')?;
    let index = index.parse().ok().filter(|index| *index >= 0)?;
    (!topic.is_empty()).then(|| (topic.to_string(), index))
}
