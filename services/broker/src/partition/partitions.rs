//! All partitions of this broker, as the metadata has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::ids::{BrokerId, Offset};
use engine::metadata::{Image, PartitionId, PartitionState, TopicState};
use engine::replica::{Opened, Replica};
use futures::future::join_all;
use parking_lot::{Mutex, RwLock};
use storage::{Log, LogConfig};
use tokio::time::sleep;
use wire::{Str, Uuid};

use super::{Changed, Due, Partition, State, Suspects, convert};
use crate::config::dynamic::Layers;
use crate::config::{Config, TopicConfig};
use crate::env::{BoxFuture, Env, watch};
use crate::metrics::Metrics;
use crate::quorum::Quorum;

/// A log that could not be opened is tried again after this, then after twice as long, and so on up to the other.
const OPENED_AGAIN_AFTER: Duration = Duration::from_secs(1);
const OPENED_AGAIN_AT_LEAST: Duration = Duration::from_secs(60);

/// Who keeps the log directories.
pub trait LogSource: Send + Sync + 'static {
    /// Gives the log of a partition, made anew if it is not there.
    fn open(
        &self,
        topic: Str,
        id: PartitionId,
        config: LogConfig,
    ) -> BoxFuture<'_, Result<OpenedLog, storage::Error>>;

    /// Removes the log of a deleted partition, which nobody writes to any more. Its files stay for `delay`.
    fn delete(
        &self,
        topic: Str,
        id: PartitionId,
        delay: Duration,
    ) -> BoxFuture<'_, Result<(), storage::Error>>;
}

/// A log as it was found.
pub struct OpenedLog {
    pub log: Log,
    /// From the checkpoint; 0 if there is none.
    pub high_watermark: i64,
}

/// The partitions that this broker has replicas of.
pub struct Partitions {
    env: Env,
    me: BrokerId,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    logs: Arc<dyn LogSource>,
    by_id: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    applied: ArcSwap<Image>,
    /// Partitions that want an fsync before their records count.
    pub flush_due: Arc<Due>,
    /// Partitions that may have an ISR change to propose.
    pub isr_due: Arc<Due>,
    /// Reads that have failed because the disk has changed something.
    pub suspects: Arc<Suspects>,
    /// Counts the images that have been applied.
    changes: watch::Sender<u64>,
    /// Those whose logs could not be opened, and why.
    unopened: Mutex<BTreeMap<PartitionId, String>>,
    /// Numbers waiting fetches.
    pub(crate) fetch_ids: AtomicU64,
}

impl Partitions {
    pub fn new(
        env: Env,
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        logs: Arc<dyn LogSource>,
    ) -> Partitions {
        Partitions {
            env,
            me: BrokerId(config.node_id),
            config,
            metrics,
            logs,
            by_id: RwLock::new(BTreeMap::new()),
            applied: ArcSwap::from_pointee(Image::default()),
            flush_due: Arc::new(Due::default()),
            isr_due: Arc::new(Due::default()),
            suspects: Arc::default(),
            changes: watch::Sender::new(0),
            unopened: Mutex::default(),
            fetch_ids: AtomicU64::new(0),
        }
    }

    pub fn get(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.by_id.read().get(&id).cloned()
    }

    /// Whether the partition's log is open here and can be written to.
    pub fn is_in_service(&self, id: PartitionId) -> bool {
        self.get(id).is_some_and(|partition| !partition.is_closed())
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// All partitions, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.by_id.read().values().cloned().collect()
    }

    /// The metadata that the partitions have followed so far.
    pub fn image(&self) -> Arc<Image> {
        self.applied.load_full()
    }

    /// Sees every change of who leads what.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Follows the metadata, until the task is dropped.
    pub async fn run(self: Arc<Self>, quorum: Arc<Quorum>) {
        let mut images = quorum.watch();
        let mut pause = OPENED_AGAIN_AFTER;
        loop {
            let image = images.latest();
            // What an earlier incarnation was told is no business of this one: its leaderships are over. And whoever has come
            // back without its memory must not be told that nobody relies on it before the registration has said so:
            // `Replica::plan_follow` cuts by that.
            let ours = quorum
                .broker_epoch()
                .is_some_and(|epoch| image.has_epoch(self.me, epoch));
            if ours {
                self.apply(image).await;
            }
            let lacks_some = !self.unopened.lock().is_empty();
            if !lacks_some {
                pause = OPENED_AGAIN_AFTER;
            }
            // A full disk may have room again, and the metadata need not change for that.
            tokio::select! {
                changed = images.changed() => if changed.is_err() {
                    return;
                },
                () = sleep(pause), if lacks_some => pause = OPENED_AGAIN_AT_LEAST.min(2 * pause),
            }
        }
    }

    /// Brings every partition to the state that `image` has: opens, closes, leads and follows.
    pub async fn apply(&self, image: Arc<Image>) {
        let before = self.image();
        self.remove_gone(&image).await;
        self.open_new(&image).await;
        let brokers_changed = !same_brokers(&before, &image);
        let defaults = Layers::of(&before, self.me) != Layers::of(&image, self.me)
            || before.min_insync_default() != image.min_insync_default();
        for topic in image.topics() {
            let config = self.config_if_changed(&before, &image, topic, defaults);
            for (index, state) in topic.iter().filter(|(_, p)| p.has_replica(self.me)) {
                let id = PartitionId {
                    topic: topic.id,
                    index,
                };
                let Some(partition) = self.get(id) else {
                    continue;
                };
                let changed = config.as_ref().map(|config| Changed {
                    config,
                    lag_max_ms: self.lag_max_ms(),
                    log: self.log_config(id, config),
                });
                let unchanged = before
                    .partition(topic.id, index)
                    .is_some_and(|b| Arc::ptr_eq(b, state));
                if !unchanged || changed.is_some() || brokers_changed || partition.is_new(state) {
                    partition.on_metadata(state, &image, changed);
                }
            }
        }
        self.applied.store(image);
        self.changes.send_if_modified(|count| {
            *count += 1;
            true
        });
    }

    /// Stops every partition; what is in the logs is the owner's to flush.
    pub fn close(&self) {
        for partition in self.all() {
            partition.close();
        }
    }

    async fn remove_gone(&self, image: &Image) {
        let gone: Vec<_> = {
            let mut by_id = self.by_id.write();
            let stays = |id: &PartitionId| {
                image
                    .partition(id.topic, id.index)
                    .is_some_and(|p| p.has_replica(self.me))
            };
            by_id
                .extract_if(.., |id, _| !stays(id))
                .map(|(_, p)| p)
                .collect()
        };
        for partition in gone {
            partition.retire();
            let (topic, id) = (partition.topic().clone(), partition.id());
            if image.topic(&topic).is_none() {
                self.metrics.forget_topic(&topic);
            }
            tracing::info!(%topic, partition = id.index, "the partition is deleted");
            let delay_ms = partition.config().file_delete_delay_ms;
            let delay = Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
            if let Err(error) = self.logs.delete(topic.clone(), id, delay).await {
                tracing::error!(%topic, partition = id.index, %error, "cannot remove a deleted partition's log");
            }
        }
    }

    /// Opens what is new, side by side: the owner of the logs bounds how many at a time.
    async fn open_new(&self, image: &Image) {
        let mut new = Vec::new();
        for topic in image.topics() {
            let mut config = None;
            for (index, _) in topic.iter().filter(|(_, p)| p.has_replica(self.me)) {
                let id = PartitionId {
                    topic: topic.id,
                    index,
                };
                if self.get(id).is_none() {
                    let config =
                        config.get_or_insert_with(|| self.topic_config(image, &topic.name));
                    new.push(self.open(topic.name.clone(), id, config.clone()));
                }
            }
        }
        let unopened = join_all(new).await.into_iter().flatten();
        *self.unopened.lock() = unopened.collect();
    }

    /// Why it could not be opened.
    async fn open(
        &self,
        topic: Str,
        id: PartitionId,
        config: Arc<TopicConfig>,
    ) -> Option<(PartitionId, String)> {
        match self
            .logs
            .open(topic.clone(), id, self.log_config(id, &config))
            .await
        {
            Ok(opened) => {
                let partition = self.partition(topic, id, config, opened);
                self.by_id.write().insert(id, Arc::new(partition));
                None
            }
            Err(error) => {
                let why = error.to_string();
                // It is tried again and again, and told once.
                if self.unopened.lock().get(&id) != Some(&why) {
                    tracing::error!(%topic, partition = id.index, %error, "cannot open the partition's log");
                }
                Some((id, why))
            }
        }
    }

    fn partition(
        &self,
        topic: Str,
        id: PartitionId,
        config: Arc<TopicConfig>,
        opened: OpenedLog,
    ) -> Partition {
        let OpenedLog {
            log,
            high_watermark,
        } = opened;
        let damage = log.damage().count() as u64;
        self.metrics.damage.recovery.inc_by(damage);
        let found = Opened {
            log_start: Offset(log.log_start()),
            log_end: Offset(log.next_offset()),
            flushed: Offset(log.recovery_point()),
            high_watermark: Offset(high_watermark),
            epochs: convert::epochs(log.epochs()),
            producers: convert::producers(&log),
        };
        let replica = Replica::open(self.me, convert::options(&config, self.lag_max_ms()), found);
        Partition {
            metrics: Arc::new(self.metrics.topic(&topic)),
            topic,
            id,
            env: self.env.clone(),
            flush_due: self.flush_due.clone(),
            isr_due: self.isr_due.clone(),
            suspects: self.suspects.clone(),
            config: ArcSwap::new(config),
            state: Mutex::new(State {
                replica,
                log,
                commits: Default::default(),
                flushes: Default::default(),
                waiters: Default::default(),
                closed: false,
                paused: false,
            }),
            isr_retry_ms: AtomicU64::new(0),
            fetcher: Mutex::new(None),
        }
    }

    fn config_if_changed(
        &self,
        before: &Image,
        image: &Image,
        topic: &TopicState,
        defaults_changed: bool,
    ) -> Option<Arc<TopicConfig>> {
        let known = before.topic_by_id(topic.id).is_some();
        let changed = defaults_changed
            || before.topic_configs(&topic.name) != image.topic_configs(&topic.name);
        (known && changed).then(|| self.topic_config(image, &topic.name))
    }

    /// The configuration of a topic: what it sets, upon the broker's defaults.
    pub fn topic_config(&self, image: &Image, topic: &str) -> Arc<TopicConfig> {
        let nothing = BTreeMap::new();
        let set = image.topic_configs(topic).map_or(&nothing, |set| set);
        let mut config = self.config.topics_in(image).resolve(set);
        // What counts is what the controller counts by: who is eligible to lead depends on it.
        if let (Some(topic), Some(_)) = (image.topic(topic), image.min_insync_default()) {
            let id = PartitionId {
                topic: topic.id,
                index: 0,
            };
            config.min_insync_replicas =
                i32::try_from(image.min_insync_replicas(id)).unwrap_or(i32::MAX);
        }
        Arc::new(config)
    }

    fn log_config(&self, id: PartitionId, topic: &TopicConfig) -> LogConfig {
        let expiration = self.config.log.producer_expiration.as_millis();
        convert::log_config(id, topic, u64::try_from(expiration).unwrap_or(u64::MAX))
    }

    fn lag_max_ms(&self) -> u64 {
        u64::try_from(self.config.replication.lag_time_max.as_millis()).unwrap_or(u64::MAX)
    }

    /// A partition by the name of its topic.
    pub fn find(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        let id = self.image().topic(topic)?.id;
        self.get(PartitionId { topic: id, index })
    }

    /// A partition by the id of its topic.
    pub fn find_by_id(&self, topic: Uuid, index: i32) -> Option<Arc<Partition>> {
        self.get(PartitionId { topic, index })
    }
}

impl Partition {
    /// Whether it has not been told of `state` yet, because its log could not be opened before, for example.
    fn is_new(&self, state: &PartitionState) -> bool {
        self.state.lock().replica.partition_epoch() < state.partition_epoch
    }
}

fn same_brokers(a: &Image, b: &Image) -> bool {
    let mut others = b.brokers();
    a.brokers()
        .all(|x| others.next().is_some_and(|y| Arc::ptr_eq(x, y)))
        && others.next().is_none()
}
