//! After a failed write or fsync nobody knows what the page cache holds and what the disk (fsyncgate), so the next process
//! must not rely on the memory, although the machine has kept it: it has to register as one that has lost it.
//!
//! That has to be remembered where the next process does not overlook it: on a disk, which may be the one that has failed,
//! and in the cluster's metadata. Either is enough. Both are tried, from the moment of the failure until it is known that it
//! is remembered, and the process does not end by itself before.

use std::sync::Arc;
use std::time::Duration;

use engine::metadata::Memory;
use futures::future::{Either, select};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::{Logs, memory};
use crate::env::{Plane, Pool, watch};
use crate::partition::Partitions;
use crate::quorum::{MemoryProbe, Quorum};

/// How long a failed disk may take to be told.
pub(super) const FORGETTING: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// How long all logs may take to be flushed.
const FLUSHING: Duration = Duration::from_secs(10);

/// Whether the memory of this process is in doubt.
pub(super) struct Doubt {
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Trusted,
    Doubted,
    /// The next process cannot overlook it.
    Remembered,
}

impl Doubt {
    pub fn new() -> Arc<Doubt> {
        Arc::new(Doubt {
            stage: watch::Sender::new(Stage::Trusted),
        })
    }

    /// A write or an fsync has failed. Does not block.
    pub fn raise(&self) {
        self.reach(Stage::Doubted);
    }

    fn is_raised(&self) -> bool {
        self.stage.subscribe().latest() >= Stage::Doubted
    }

    fn reach(&self, next: Stage) {
        self.stage.send_if_modified(|stage| {
            let is_later = *stage < next;
            *stage = if is_later { next } else { *stage };
            is_later
        });
    }

    async fn reached(&self, wanted: Stage) {
        let mut stages = self.stage.subscribe();
        // The sender is this one's own.
        let _ = stages.wait_for(|stage| *stage >= wanted).await;
    }
}

impl Logs {
    /// Names the memory in which this machine keeps what is written and not flushed; none once that is in doubt.
    pub fn memory(&self) -> Option<Memory> {
        self.memory.filter(|_| !self.doubt.is_raised())
    }

    /// The cluster has registered this broker with its memory and disks.
    pub async fn registered(&self) {
        let (disk, directories) = (self.disk.clone(), self.config.log.dirs.clone());
        let confirm = move || memory::confirm(&*disk, &directories);
        // A disk that hangs goes on with what it said: that is the safe side.
        let _ = timeout(FORGETTING, self.env.blocking(Pool::Read, confirm)).await;
        // What was removed or forgotten meanwhile may have been written over.
        if self.losses.is_late() {
            for place in 0..self.directories.len() {
                self.lose_memory(place).await;
            }
        }
        if self.doubt.is_raised() {
            self.forget_memory().await;
        }
    }

    /// For whoever registers this broker.
    pub fn memory_probe(self: &Arc<Self>) -> MemoryProbe {
        let logs = self.clone();
        Arc::new(move || logs.memory())
    }

    /// Has the failure of a disk remembered on the disks, as soon as there is one.
    pub(super) async fn run_forgetting(self: Arc<Self>) {
        self.doubt.reached(Stage::Doubted).await;
        // A disk that hangs does not keep the others waiting.
        while !timeout(FORGETTING, self.forget_memory())
            .await
            .unwrap_or(false)
        {
            sleep(RETRY).await;
        }
    }

    /// The next process must not rely on what this one has left in the memory; says whether it knows.
    pub(super) async fn forget_memory(&self) -> bool {
        let (disk, directories) = (self.disk.clone(), self.config.log.dirs.clone());
        let forget = move || memory::forget(&*disk, &directories);
        let is_known = self.env.blocking(Pool::Read, forget).await;
        if is_known {
            self.doubt.reach(Stage::Remembered);
        }
        is_known
    }

    /// Has the failure of a disk remembered in the metadata, as soon as there is one.
    pub async fn confess(self: Arc<Self>, quorum: Arc<Quorum>) {
        self.doubt.reached(Stage::Doubted).await;
        quorum.forget_memory().await;
        info!("the cluster knows that this broker's memory is not to be relied upon");
        self.doubt.reach(Stage::Remembered);
    }

    /// Waits until nothing is in doubt that the next process would rely on. Only a signal ends the wait: of a process
    /// that is there, but out of service, nobody believes that it has kept what it had.
    pub async fn remembered(&self) {
        if !self.doubt.is_raised() {
            return;
        }
        let reached = std::pin::pin!(self.doubt.reached(Stage::Remembered));
        if let Either::Right((_, reached)) = select(reached, Box::pin(sleep(RETRY))).await {
            error!(
                "neither a disk nor the cluster can be told that what this broker has not flushed may be lost: waiting. \
                 Before ending this process by force, remove .memory from a log directory"
            );
            reached.await;
        }
    }

    /// What shares a disk with the metadata log may fail with it: the next process relies only on what can be flushed now.
    pub async fn prove(self: &Arc<Self>, partitions: &Arc<Partitions>) {
        let (logs, partitions) = (self.clone(), partitions.clone());
        let flush_all = async move {
            let flushes = partitions.all().into_iter().map(|partition| {
                let env = logs.env.clone();
                async move { partition.flush(&env).await.is_ok() }
            });
            // One that fails raises the doubt by itself.
            futures::future::join_all(flushes).await
        };
        // Not here: a hanging disk may hold a partition's lock.
        let flushed = self.env.spawn(Plane::Data, "log-proof", flush_all);
        if !matches!(timeout(FLUSHING, flushed).await, Ok(Ok(_))) {
            self.doubt.raise();
        }
    }
}
