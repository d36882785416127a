//! The log directories: opened and recovered at the start, kept while the broker runs (fsyncs, checkpoints, retention,
//! compaction, scrub and repair, free space), and closed so that the next start need not check anything.

mod checkpoints;
mod cleaner;
mod close;
mod directory;
mod doubt;
mod losses;
mod memory;
mod recover;
mod refill;
mod repair;
mod scrub;
mod source;
#[cfg(test)]
mod tests;
pub mod untrusted;
mod upkeep;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::ids::BrokerEpoch;
use engine::metadata::Memory;
use futures::future::join_all;
use parking_lot::Mutex;
use storage::checkpoint::MetaProperties;
use storage::{CacheBudget, Disk, Log, Poison};
use telemetry::metrics::Histogram;
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::Str;

use crate::config::Config;
use crate::env::{Env, Pool};
use directory::Directory;
use doubt::Doubt;
use losses::Losses;
pub use upkeep::Upkeep;
use watch::{InFlight, WatchedDisk};

/// (topic, partition), as directories and checkpoints name it.
type Name = (String, i32);

/// Why the log directories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    #[error("{} belongs to node {found}, this is node.id={node_id}", path.display())]
    OtherNode {
        path: PathBuf,
        found: i32,
        node_id: i32,
    },
    #[error("{} belongs to cluster {found}, not to {expected}", path.display())]
    OtherCluster {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The logs of this broker.
pub struct Logs {
    env: Env,
    config: Arc<Config>,
    disk: Arc<dyn Disk>,
    budget: Arc<CacheBudget>,
    in_flight: Arc<InFlight>,
    directories: Vec<Arc<Directory>>,
    state: Mutex<State>,
    /// The name of the memory that is written into before it is flushed: see [`memory`].
    memory: Option<Memory>,
    /// Whether that is to be relied upon.
    doubt: Arc<Doubt>,
    /// Whether the logs have all that an earlier process has written, as far as this one can tell.
    is_whole: bool,
    losses: Arc<Losses>,
    /// Woken when a directory goes out of service.
    failed: Notify,
    /// Taken alone by who takes an unclaimed log away, and together by all who open logs: replicas come back.
    claims: tokio::sync::RwLock<()>,
}

/// A log directory as metrics show it.
pub struct DirectoryStatus {
    pub path: PathBuf,
    pub free_bytes: Option<u64>,
    pub online: bool,
}

#[derive(Default)]
struct State {
    /// Recovered and not yet asked for.
    recovered: BTreeMap<Name, Log>,
    /// Which directory a partition is in.
    places: BTreeMap<Name, usize>,
    /// Directories to be removed, and when.
    doomed: Vec<(Instant, PathBuf)>,
}

impl Logs {
    /// Locks the directories and recovers every log in them, several at a time.
    pub async fn open(env: Env, config: Arc<Config>) -> Result<Arc<Logs>, OpenError> {
        let in_flight = InFlight::new(env.clone());
        let disk: Arc<dyn Disk> = Arc::new(WatchedDisk {
            inner: env.disk(),
            in_flight: in_flight.clone(),
        });
        let doubt = Doubt::new();
        let open = config.log.dirs.iter().map(|path| {
            let (disk, path, node_id) = (disk.clone(), path.clone(), config.node_id);
            let doubt = doubt.clone();
            let poison = Poison::witnessed(move || doubt.raise());
            let open = move || Directory::open(&*disk, &path, node_id, poison);
            env.blocking(Pool::Read, open)
        });
        let mut directories = Vec::new();
        for directory in join_all(open).await {
            directories.push(Arc::new(directory?));
        }
        let mut logs = Logs {
            memory: None,
            doubt,
            is_whole: true,
            losses: Losses::new(),
            budget: CacheBudget::new(config.log.cache_bytes as u64),
            state: Mutex::default(),
            failed: Notify::new(),
            claims: tokio::sync::RwLock::default(),
            env,
            config,
            disk,
            in_flight,
            directories,
        };
        logs.check_cluster(logs.config.cluster_id.as_deref())?;
        logs.recover().await?;
        logs.is_whole = logs.has_all_written().await;
        let paths = logs.config.log.dirs.clone();
        let named = memory::named(&logs.env, &logs.disk, paths, logs.is_whole).await;
        logs.memory = named.map(|(memory, _)| memory);
        let is_kept = named.is_some_and(|(_, is_kept)| is_kept);
        logs.losses.settle(is_kept || logs.clean_epoch().is_some());
        Ok(Arc::new(logs))
    }

    /// The cluster that the directories belong to, if they have been used.
    pub fn cluster_id(&self) -> Option<Str> {
        let known = self
            .directories
            .iter()
            .find_map(|directory| directory.cluster_id());
        known.map(Str::from)
    }

    /// The broker epoch of the last stop; `None` unless every directory was closed in order then, and has what it had, and
    /// none of those that the broker had is missing.
    pub fn clean_epoch(&self) -> Option<BrokerEpoch> {
        let marks = self.directories.iter().filter_map(|d| d.clean);
        let had = marks.filter_map(|clean| clean.directories).max();
        if had.is_some_and(|had| had > self.directories.len()) {
            return None;
        }
        let epochs = self
            .directories
            .iter()
            .map(|d| d.clean.map(|clean| clean.broker_epoch));
        let lowest = epochs.min().flatten();
        let lowest = lowest.filter(|epoch| *epoch >= 0 && self.is_whole);
        lowest.map(BrokerEpoch)
    }

    /// The age of the oldest append, read or fsync that has not ended. A directory that is full or out of service counts
    /// as one that hangs, so that others lead what it holds.
    pub fn stall(&self) -> Duration {
        let unfit = |d: &Arc<Directory>| d.space.is_low() || d.poison.reason().is_some();
        if self.directories.iter().any(unfit) {
            return 2 * self.config.quorum.stall_timeout;
        }
        self.in_flight.oldest()
    }

    /// Says in each new directory that it is this node's in this cluster.
    pub async fn claim(&self, cluster_id: &str) -> Result<(), OpenError> {
        self.check_cluster(Some(cluster_id))?;
        for directory in self.directories.iter().filter(|d| d.cluster_id().is_none()) {
            let meta = MetaProperties {
                cluster_id: cluster_id.to_string(),
                node_id: self.config.node_id,
                directory_id: self.env.random_uuid(),
            };
            let (disk, directory) = (self.disk.clone(), directory.clone());
            self.env
                .blocking(Pool::Sync, move || directory.claim(&*disk, meta))
                .await?;
        }
        Ok(())
    }

    fn check_cluster(&self, expected: Option<&str>) -> Result<(), OpenError> {
        let Some(expected) = expected else {
            return Ok(());
        };
        for directory in &self.directories {
            if let Some(found) = directory.cluster_id()
                && found != expected
            {
                let (path, expected) = (directory.path.clone(), expected.to_string());
                return Err(OpenError::OtherCluster {
                    path,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Waits until no directory is in service any more; tells why. The broker cannot go on then.
    pub async fn failed(&self) -> String {
        loop {
            let failed = self.failed.notified();
            let reasons: Vec<_> = self
                .directories
                .iter()
                .filter_map(|d| d.poison.reason())
                .collect();
            if reasons.len() == self.directories.len() {
                return reasons.join("; ");
            }
            failed.await;
        }
    }

    /// How long fsyncs of partition logs took.
    pub fn fsyncs(&self) -> Histogram {
        self.in_flight.fsyncs.clone()
    }

    /// The budget of recent batches in memory.
    pub fn cache(&self) -> &CacheBudget {
        &self.budget
    }

    /// The directories as they were last looked at.
    pub fn directories(&self) -> Vec<DirectoryStatus> {
        let status = |directory: &Arc<Directory>| {
            let free = directory.free_bytes.load(Ordering::Relaxed);
            DirectoryStatus {
                path: directory.path.clone(),
                free_bytes: Some(free).filter(|free| *free != u64::MAX),
                online: directory.poison.reason().is_none(),
            }
        };
        self.directories.iter().map(status).collect()
    }

    /// Adds something of partitions' logs, their sizes for example, up by directory.
    pub fn sums<'a>(&self, logs: impl Iterator<Item = (&'a str, i32, u64)>) -> Vec<u64> {
        let state = self.state.lock();
        let mut sums = vec![0; self.directories.len()];
        for (topic, index, value) in logs {
            if let Some(place) = state.places.get(&(topic.to_string(), index)) {
                sums[*place] += value;
            }
        }
        sums
    }

    /// Which of the directories a partition is in.
    pub fn place_of(&self, name: &(String, i32)) -> Option<usize> {
        self.state.lock().places.get(name).copied()
    }

    /// The directory that a partition is in.
    fn directory_of(&self, name: &Name) -> Option<&Arc<Directory>> {
        self.directories.get(self.place_of(name)?)
    }
}
