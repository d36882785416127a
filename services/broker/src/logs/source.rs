//! Gives each partition its log, and takes it back when the partition is deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::metadata::{Image, PartitionId};
use storage::checkpoint::{PARTITION_METADATA_FILE, read_topic_id, write_topic_id};
use storage::{Error, LogConfig};
use tracing::{info, warn};
use wire::{Str, Uuid};

use super::checkpoints::Checkpoint;
use super::{Directory, Logs, Name};
use crate::env::{BoxFuture, Pool};
use crate::partition::{LogSource, OpenedLog};

impl LogSource for Logs {
    fn open(
        &self,
        topic: Str,
        id: PartitionId,
        config: LogConfig,
    ) -> BoxFuture<'_, Result<OpenedLog, Error>> {
        Box::pin(self.give((topic.to_string(), id.index), id.topic, config))
    }

    fn delete(
        &self,
        topic: Str,
        id: PartitionId,
        delay: Duration,
    ) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let name = (topic.to_string(), id.index);
            self.delete_partition(&name, delay).await
        })
    }
}

impl Logs {
    async fn give(&self, name: Name, topic: Uuid, config: LogConfig) -> Result<OpenedLog, Error> {
        let _claim = self.claims.read().await;
        let known = self.state.lock().places.get(&name).copied();
        if let Some(place) = known {
            let id = self.topic_id(place, &name).await?;
            if id.is_some_and(|id| id != topic) {
                info!(
                    topic = name.0,
                    partition = name.1,
                    "a topic of this name was deleted"
                );
                self.state.lock().recovered.remove(&name);
                self.delete_partition(&name, self.deletion_delay()).await?;
            }
        }
        let recovered = self.state.lock().recovered.remove(&name);
        let mut log = match recovered {
            Some(mut log) => {
                log.set_config(config);
                log
            }
            None => {
                let place = known.unwrap_or_else(|| self.emptiest());
                self.make(place, &name, topic, config).await?
            }
        };
        // What a recovery found counts for the high watermark only once it is durable.
        if log.config().flush_messages == 1 && log.unflushed_messages() > 0 {
            let plan = log.flush_plan();
            let flushed = self.env.blocking(Pool::Sync, move || plan.run()).await?;
            log.on_flushed(&flushed);
        }
        let high_watermark = match self.place_of(&name) {
            Some(place) => self.known_end(place, &name, &log),
            None => 0,
        };
        Ok(OpenedLog {
            log,
            high_watermark,
        })
    }

    async fn make(
        &self,
        place: usize,
        name: &Name,
        topic: Uuid,
        config: LogConfig,
    ) -> Result<storage::Log, Error> {
        self.directories[place].poison.check()?;
        self.forget_durably(place, name).await?;
        self.state.lock().places.insert(name.clone(), place);
        let log = self.open_log(place, name, config).await?;
        self.judge_late(place, name, &log).await?;
        let path = log.dir().join(PARTITION_METADATA_FILE);
        let disk = self.disk.clone();
        self.env
            .blocking(Pool::Sync, move || write_topic_id(&*disk, &path, topic))
            .await?;
        Ok(log)
    }

    /// A checkpoint that still has the positions of a deleted partition must not outlive a crash into the life of its
    /// namesake: a log start that is another's would cut off what the new log holds.
    async fn forget_durably(&self, place: usize, name: &Name) -> Result<(), Error> {
        let directory = &self.directories[place];
        for which in Checkpoint::ALL {
            let is_known = which.of(&mut directory.saved.lock()).contains_key(name);
            if !is_known && which.of(&mut directory.written.lock()).contains_key(name) {
                self.write(directory, which).await?;
            }
        }
        Ok(())
    }

    async fn topic_id(&self, place: usize, name: &Name) -> Result<Option<Uuid>, Error> {
        let path = self.directories[place].partition_path(&name.0, name.1);
        let path = path.join(PARTITION_METADATA_FILE);
        let disk = self.disk.clone();
        self.env
            .blocking(Pool::Read, move || read_topic_id(&*disk, &path))
            .await
    }

    /// The directory in service with the fewest partitions.
    fn emptiest(&self) -> usize {
        let state = self.state.lock();
        let held = |place: &usize| state.places.values().filter(|p| *p == place).count();
        let unfit = |place: &usize| self.directories[*place].poison.reason().is_some();
        let places = 0..self.directories.len();
        places
            .min_by_key(|place| (unfit(place), held(place)))
            .unwrap_or(0)
    }

    /// Renames the partition's directory away at once; it is removed after `delay`.
    async fn delete_partition(&self, name: &Name, delay: Duration) -> Result<(), Error> {
        let Some(directory) = self.directory_of(name).cloned() else {
            return Ok(());
        };
        let unique = self.env.random_uuid();
        let (disk, (topic, index), dir) = (self.disk.clone(), name.clone(), directory.clone());
        let rename = move || dir.mark_deleted(&*disk, &topic, index, unique);
        let doomed = self.env.blocking(Pool::Sync, rename).await?;
        directory.saved.lock().forget(name);
        self.losses.forget(name);
        let mut state = self.state.lock();
        state.places.remove(name);
        state.doomed.push((self.env.now() + delay, doomed));
        Ok(())
    }

    /// For what a topic has left that is long gone.
    fn deletion_delay(&self) -> Duration {
        let default = self.config.topics.resolve(&Default::default());
        Duration::from_millis(u64::try_from(default.file_delete_delay_ms).unwrap_or(0))
    }

    /// Takes the logs away that no partition of the metadata has claimed. A replica that was moved while this broker was
    /// away is deleted, as it would have been: others have all of it. What belongs to a topic that the cluster does not
    /// know is renamed and kept, because only a person can know.
    pub(super) async fn set_strays_aside(&self, image: &Image) {
        let unclaimed: Vec<Name> = {
            let state = self.state.lock();
            let stray = |name: &&Name| {
                let topic = image.topic(&name.0);
                topic.is_none_or(|topic| !self.is_ours(image, topic.id, name.1))
            };
            state.recovered.keys().filter(stray).cloned().collect()
        };
        for name in unclaimed {
            let _alone = self.claims.write().await;
            if self.state.lock().recovered.remove(&name).is_none() {
                // Meanwhile a partition has claimed it.
                continue;
            }
            if self.has_moved(image, &name).await {
                info!(
                    topic = name.0,
                    partition = name.1,
                    "the replica has moved to another broker: deleting it"
                );
                if let Err(error) = self.delete_partition(&name, self.deletion_delay()).await {
                    warn!(topic = name.0, partition = name.1, %error, "cannot delete a replica that has moved");
                }
                continue;
            }
            let Some(directory) = self.directory_of(&name).cloned() else {
                continue;
            };
            match self.rename_stray(&directory, &name).await {
                Ok(path) => {
                    warn!(path = %path.display(), "set a log aside that the cluster does not know");
                    directory.saved.lock().forget(&name);
                    self.state.lock().places.remove(&name);
                }
                Err(error) => {
                    warn!(topic = name.0, partition = name.1, %error, "cannot set a stray log aside");
                }
            }
        }
    }

    /// Whether the log is one of a partition that lives on other brokers.
    async fn has_moved(&self, image: &Image, name: &Name) -> bool {
        let place = self.place_of(name);
        let Some((place, topic)) = place.zip(image.topic(&name.0)) else {
            return false;
        };
        let lives = topic
            .partition(name.1)
            .is_some_and(|partition| partition.leader.is_some());
        let id = self.topic_id(place, name).await;
        lives && id.is_ok_and(|id| id == Some(topic.id))
    }

    fn is_ours(&self, image: &Image, topic: Uuid, index: i32) -> bool {
        let me = engine::ids::BrokerId(self.config.node_id);
        image
            .partition(topic, index)
            .is_some_and(|p| p.has_replica(me))
    }

    async fn rename_stray(
        &self,
        directory: &Arc<Directory>,
        name: &Name,
    ) -> Result<std::path::PathBuf, Error> {
        let unique = self.env.random_uuid();
        let (disk, (topic, index), dir) = (self.disk.clone(), name.clone(), directory.clone());
        let rename = move || dir.mark_stray(&*disk, &topic, index, unique);
        self.env.blocking(Pool::Sync, rename).await
    }

    /// Removes the directories whose delay is over.
    pub(super) async fn remove_doomed(&self) {
        let now = self.env.now();
        let due: Vec<_> = self
            .state
            .lock()
            .doomed
            .extract_if(.., |(at, _)| *at <= now)
            .collect();
        for (_, path) in due {
            let (disk, doomed) = (self.disk.clone(), path.clone());
            let removed = self
                .env
                .blocking(Pool::Sync, move || disk.remove_dir_all(&doomed))
                .await;
            if let Err(error) = removed {
                self.warn_left_behind(&path, &error);
            }
        }
    }

    fn warn_left_behind(&self, path: &Path, error: &std::io::Error) {
        warn!(path = %path.display(), %error, "cannot remove a deleted log; the next start tries again");
    }
}
