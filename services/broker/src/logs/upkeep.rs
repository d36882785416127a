//! What is done to the logs while the broker runs, each on its own interval: fsyncs in the background, checkpoints,
//! retention, the removal of deleted topics, and a look at the free space.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::metadata::PartitionId;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, error, info, warn};

use super::checkpoints::Checkpoint;
use super::{Directory, Logs};
use crate::env::{Plane, Pool};
use crate::partition::{Partition, Partitions};
use crate::quorum::Quorum;

/// Between looks for logs to fsync, directories to remove and free space.
const TICK: Duration = Duration::from_secs(1);

/// How long cuts gather before they are written down.
const GATHER: Duration = Duration::from_millis(50);

/// The loops that keep the logs; they end when this is dropped.
pub struct Upkeep(Vec<JoinHandle<()>>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Logs {
    /// Starts to keep the logs of `partitions`.
    pub fn keep(
        self: &Arc<Self>,
        partitions: &Arc<Partitions>,
        quorum: Option<Arc<Quorum>>,
    ) -> Upkeep {
        let env = &self.env;
        let mut tasks = vec![
            // Nothing that takes a partition's lock runs on the control plane: a hanging disk may hold it.
            env.spawn(
                Plane::Data,
                "log-tick",
                self.clone().run_tick(partitions.clone()),
            ),
            env.spawn(
                Plane::Data,
                "log-flush",
                self.clone().run_flush(partitions.clone()),
            ),
            env.spawn(
                Plane::Data,
                "log-retention",
                self.clone().run_retention(partitions.clone()),
            ),
            env.spawn(
                Plane::Data,
                "log-strays",
                self.clone().run_strays(partitions.clone()),
            ),
        ];
        let run = self.clone().run_forgetting();
        tasks.push(env.spawn(Plane::Data, "log-forgetting", run));
        let log = &self.config.log;
        for (which, every) in [
            (Checkpoint::RecoveryPoint, log.recovery_checkpoint),
            (Checkpoint::LogStart, log.start_checkpoint),
            (Checkpoint::HighWatermark, log.high_watermark_checkpoint),
        ] {
            let run = self
                .clone()
                .run_checkpoint(which, every, partitions.clone());
            tasks.push(env.spawn(Plane::Data, "log-checkpoint", run));
        }
        let run = self.clone().run_repair(partitions.clone(), quorum);
        tasks.push(env.spawn(Plane::Data, "log-repair", run));
        if !log.scrub_interval.is_zero() {
            let run = self.clone().run_scrub(partitions.clone());
            tasks.push(env.spawn(Plane::Data, "log-scrub", run));
        }
        if log.cleaner {
            let run = self.clone().run_cleaner(partitions.clone());
            tasks.push(env.spawn(Plane::Data, "log-cleaner", run));
        }
        Upkeep(tasks)
    }

    async fn run_checkpoint(
        self: Arc<Self>,
        which: Checkpoint,
        every: Duration,
        partitions: Arc<Partitions>,
    ) {
        let mut ticks = ticks(every);
        loop {
            tokio::select! {
                biased;
                () = partitions.suspects.was_cut(), if which == Checkpoint::HighWatermark => {
                    // A new leader has many logs cut: they are written together.
                    sleep(GATHER).await;
                }
                _ = ticks.tick() => {}
            }
            self.write_checkpoint(which, &partitions).await;
            if which == Checkpoint::HighWatermark {
                self.settle_cuts(&partitions).await;
            }
        }
    }

    /// Free space, directories out of service, deleted directories.
    async fn run_tick(self: Arc<Self>, partitions: Arc<Partitions>) {
        let mut ticks = ticks(TICK);
        loop {
            ticks.tick().await;
            for directory in &self.directories {
                self.watch_space(directory).await;
            }
            self.close_failed(&partitions).await;
            self.remove_doomed().await;
        }
    }

    async fn watch_space(&self, directory: &Arc<Directory>) {
        let (disk, path) = (self.disk.clone(), directory.path.clone());
        let free = self
            .env
            .blocking(Pool::Read, move || disk.free_bytes(&path))
            .await;
        let floor = self.config.log.min_free_bytes;
        let was_low = directory.space.is_low();
        if let Ok(free) = &free {
            directory.free_bytes.store(*free, Ordering::Relaxed);
        }
        match free {
            Ok(free) if free < floor && !was_low => {
                directory.space.set_low(true);
                error!(
                    dir = %directory.path.display(), free_bytes = free, log_min_free_bytes = floor,
                    "the disk is nearly full: refusing produce and pausing replication"
                );
            }
            // A little more than the floor, so that it does not flap.
            Ok(free) if was_low && free >= floor + floor / 16 => {
                directory.space.set_low(false);
                info!(dir = %directory.path.display(), free_bytes = free, "there is room again");
            }
            Ok(_) => {}
            Err(error) => {
                warn!(dir = %directory.path.display(), %error, "cannot see the free space")
            }
        }
    }

    /// Stops serving what is in a directory that a failed write or fsync has taken out of service.
    async fn close_failed(&self, partitions: &Partitions) {
        let held = self.by_directory(partitions);
        for (directory, held) in self.directories.iter().zip(held) {
            let Some(reason) = directory.poison.reason() else {
                continue;
            };
            held.iter().for_each(|(_, partition)| partition.close());
            if !directory.offline.swap(true, Ordering::Relaxed) {
                error!(
                    dir = %directory.path.display(), reason, partitions = held.len(),
                    "the log directory is out of service until the broker is restarted"
                );
                self.failed.notify_waiters();
            }
        }
    }

    /// Makes logs durable that have a closed segment or more than `flush.messages` or `flush.ms` allow.
    async fn run_flush(self: Arc<Self>, partitions: Arc<Partitions>) {
        let mut ticks = ticks(TICK.min(self.config.log.flush_scheduler));
        let mut dirty_since: BTreeMap<PartitionId, Instant> = BTreeMap::new();
        loop {
            ticks.tick().await;
            let now = self.env.now();
            let mut seen = BTreeMap::new();
            for partition in partitions.all() {
                let since = dirty_since.get(&partition.id()).copied().unwrap_or(now);
                match flush_wanted(&partition, now.duration_since(since)) {
                    Wanted::Nothing => {}
                    Wanted::Later => {
                        seen.insert(partition.id(), since);
                    }
                    Wanted::Now => {
                        if let Err(error) = partition.flush(&self.env).await {
                            warn!(
                                topic = %partition.topic(), partition = partition.id().index, %error,
                                "cannot flush a log"
                            );
                        }
                    }
                }
            }
            dirty_since = seen;
        }
    }

    async fn run_retention(self: Arc<Self>, partitions: Arc<Partitions>) {
        let mut ticks = ticks(self.config.log.retention_check);
        loop {
            ticks.tick().await;
            for partition in partitions.all() {
                self.retain(&partition, &partitions).await;
            }
        }
    }

    async fn retain(&self, partition: &Arc<Partition>, partitions: &Partitions) {
        let now_ms = self.wall_ms();
        let deleted =
            partition.with_log(|log, high_watermark| log.retention(now_ms, high_watermark.0));
        let result = match deleted {
            Ok(deleted) if deleted.is_empty() => return,
            Ok(deleted) => {
                info!(
                    topic = %partition.topic(), partition = partition.id().index,
                    segments = deleted.segments, bytes = deleted.bytes, "retention"
                );
                self.env
                    .blocking(Pool::Sync, move || deleted.remove())
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            warn!(topic = %partition.topic(), partition = partition.id().index, %error, "retention failed");
            if let Some(offset) = error.damaged_at().or_else(|| error.unreadable_at()) {
                partitions.suspects.report(partition.id(), offset);
            }
        }
    }

    /// Once the metadata is known: logs that nobody claims.
    async fn run_strays(self: Arc<Self>, partitions: Arc<Partitions>) {
        let mut changes = partitions.changes();
        if changes.wait_for(|count| *count > 0).await.is_ok() {
            self.set_strays_aside(&partitions.image()).await;
        }
    }
}

enum Wanted {
    Nothing,
    Later,
    Now,
}

fn flush_wanted(partition: &Partition, dirty_for: Duration) -> Wanted {
    partition.with_log(|log, _| {
        if let Err(error) = log.write_indexes() {
            debug!(log = %log.dir().display(), %error, "cannot write indexes");
        }
        let unflushed = log.unflushed_messages();
        let too_long = log
            .config()
            .flush_ms
            .is_some_and(|ms| dirty_for >= Duration::from_millis(ms));
        let closed_segment = log.active_base_offset() > log.recovery_point();
        if unflushed == 0 || log.poison().reason().is_some() {
            Wanted::Nothing
        } else if closed_segment || too_long || unflushed >= log.config().flush_messages {
            Wanted::Now
        } else {
            Wanted::Later
        }
    })
}

pub(super) fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
