//! The end: everything durable, checkpoints written, and the mark that spares the next start a recovery.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::ids::BrokerEpoch;
use futures::future::join_all;
use storage::Error;
use storage::checkpoint::{CLEAN_SHUTDOWN_FILE, CleanShutdown, write_clean_shutdown};
use tokio::time::timeout;
use tracing::{error, info};

use super::checkpoints::Checkpoint;
use super::doubt::FORGETTING;
use super::{Directory, Logs, Name};
use crate::env::Pool;
use crate::partition::{Partition, Partitions};

impl Logs {
    /// Closes all logs. Nothing may be appended any more; the loops of [`Logs::keep`] have ended.
    pub async fn close(&self, partitions: &Partitions, broker_epoch: Option<BrokerEpoch>) {
        let held = self.by_directory(partitions);
        let unopened = self.unopened(&held);
        let closed = join_all(held.iter().map(|held| async {
            let results = join_all(held.iter().map(|(_, p)| self.close_log(p))).await;
            results.into_iter().all(|closed| closed)
        }))
        .await;
        let unclaimed = self.close_unclaimed().await;
        for which in Checkpoint::POSITIONS {
            self.write_checkpoint(which, partitions).await;
        }
        self.settle_cuts(partitions).await;
        let mark = CleanShutdown {
            broker_epoch: broker_epoch.map_or(-1, |epoch| epoch.0),
            directories: Some(self.directories.len()),
        };
        if self.directories.iter().any(|d| d.poison.reason().is_some()) {
            // A disk that hangs does not keep the stop waiting.
            let _ = timeout(FORGETTING, self.forget_memory()).await;
        }
        for (place, (directory, closed)) in self.directories.iter().zip(closed).enumerate() {
            let whole = closed && unclaimed && !unopened.contains(&place);
            if whole && directory.poison.reason().is_none() {
                self.mark_clean(directory, mark).await;
            }
        }
    }

    /// The directories that have a log which nobody could open. It has not been recovered, so the next start must not
    /// trust it.
    fn unopened(&self, held: &[Vec<(Name, Arc<Partition>)>]) -> BTreeSet<usize> {
        let open: BTreeSet<&Name> = held.iter().flatten().map(|(name, _)| name).collect();
        let state = self.state.lock();
        let is_open = |name: &Name| open.contains(name) || state.recovered.contains_key(name);
        let places = state.places.iter();
        places
            .filter(|(name, _)| !is_open(name))
            .map(|(_, place)| *place)
            .collect()
    }

    async fn close_log(&self, partition: &Arc<Partition>) -> bool {
        let result = match partition.with_log(|log, _| log.close_plan()) {
            Ok(plan) => self.env.blocking(Pool::Sync, move || plan.run()).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(flushed) => {
                partition.with_log(|log, _| log.on_flushed(&flushed));
                true
            }
            Err(error) => {
                let (topic, index) = (partition.topic(), partition.id().index);
                error!(%topic, partition = index, %error, "cannot close a log in order");
                false
            }
        }
    }

    /// Logs that were recovered, but that no partition has asked for: the metadata never came, for example.
    async fn close_unclaimed(&self) -> bool {
        let recovered = std::mem::take(&mut self.state.lock().recovered);
        let mut all = true;
        for (name, mut log) in recovered {
            let closed: Result<(), Error> = self
                .env
                .blocking(Pool::Sync, move || log.close_plan()?.run().map(|_| ()))
                .await;
            if let Err(error) = closed {
                error!(topic = name.0, partition = name.1, %error, "cannot close a log in order");
                all = false;
            }
        }
        all
    }

    async fn mark_clean(&self, directory: &Arc<Directory>, mark: CleanShutdown) {
        let path = directory.path.join(CLEAN_SHUTDOWN_FILE);
        let disk = self.disk.clone();
        let write = move || write_clean_shutdown(&*disk, &path, mark);
        match self.env.blocking(Pool::Sync, write).await {
            Ok(()) => info!(dir = %directory.path.display(), "logs are closed"),
            Err(error) => {
                error!(dir = %directory.path.display(), %error, "cannot mark the shutdown")
            }
        }
    }
}
