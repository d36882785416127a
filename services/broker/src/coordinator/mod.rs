//! Group coordinators: which broker coordinates a group, and the partitions of `__consumer_offsets` led here.
//!
//! - [`slot`]: one partition that is led here; [`load`]: how it gets its state; [`log`]: what it needs of its
//!   partition; [`topic`]: the topic's creation.
//!
//! The rules of the protocol are in `engine::group`.

mod load;
mod log;
mod partition_log;
mod slot;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::group::{Config as GroupLimits, Effects, Now, Reply, Shard, Token, partition_for};
use engine::ids::{BrokerId, LeaderEpoch};
use engine::metadata::{Endpoint, Image, PartitionId};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::{ErrorCode, Str};

pub use log::PartitionLog;
pub use topic::OFFSETS_TOPIC;

use self::slot::{Options, Slot};
use crate::config::{Config, GroupConfig};
use crate::env::{Env, Plane};
use crate::metrics::waits::waiting;
use crate::partition::Partitions;
use crate::quorum::Quorum;

/// Most members per partition of the topic that hold an id but never joined.
const MAX_PENDING_MEMBERS: usize = 10_000;

/// The coordinators of this broker.
pub struct Groups {
    env: Env,
    config: Arc<Config>,
    quorum: Arc<Quorum>,
    partitions: Arc<Partitions>,
    slots: Mutex<BTreeMap<i32, Arc<Slot>>>,
    creating: tokio::sync::Mutex<()>,
}

/// Who coordinates a group.
pub struct Coordinator {
    pub node: BrokerId,
    pub host: Str,
    pub port: i32,
}

impl Groups {
    pub fn new(
        env: Env,
        config: Arc<Config>,
        quorum: Arc<Quorum>,
        partitions: Arc<Partitions>,
    ) -> Arc<Groups> {
        Arc::new(Groups {
            env,
            config,
            quorum,
            partitions,
            slots: Mutex::default(),
            creating: tokio::sync::Mutex::default(),
        })
    }

    /// Takes up and gives up partitions as the metadata say, for as long as the broker runs.
    pub fn start(self: &Arc<Groups>) -> JoinHandle<()> {
        let groups = self.clone();
        self.env.spawn(Plane::Data, "groups", async move {
            let mut changes = groups.partitions.changes();
            let mut topics = BTreeSet::new();
            loop {
                changes.mark_unchanged();
                let image = groups.partitions.image();
                groups.apply(&image);
                groups.forget_deleted(&image, &mut topics);
                if changes.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    /// Gives up every partition: waiting requests are told to look for their coordinator.
    pub fn stop(&self) {
        std::mem::take(&mut *self.slots.lock())
            .into_values()
            .for_each(|slot| slot.close());
    }

    fn apply(&self, image: &Image) {
        let led = self.led_here(image);
        let mut slots = self.slots.lock();
        slots.retain(|index, slot| {
            let kept = led.get(index) == Some(&slot.epoch);
            if !kept {
                slot.close();
            }
            kept
        });
        for (index, epoch) in led {
            if slots.contains_key(&index) {
                continue;
            }
            let Some(log) = self.log(image, index, epoch) else {
                // Its log is out of service: the metadata will give it to another broker.
                continue;
            };
            let slot = Slot::new(index, epoch, self.env.clone());
            slots.insert(index, slot.clone());
            self.env.spawn(
                Plane::Data,
                "group-coordinator",
                slot.run(log, self.options()),
            );
        }
    }

    /// The partition's log, once this broker leads it in `epoch`.
    fn log(&self, image: &Image, index: i32, epoch: LeaderEpoch) -> Option<Arc<dyn PartitionLog>> {
        let topic = image.topic(OFFSETS_TOPIC)?;
        let partition = self.partitions.get(PartitionId {
            topic: topic.id,
            index,
        })?;
        let led = partition.is_leader() && partition.leader_epoch() == epoch;
        led.then(|| Arc::new(partition) as Arc<dyn PartitionLog>)
    }

    fn led_here(&self, image: &Image) -> BTreeMap<i32, LeaderEpoch> {
        let own = BrokerId(self.config.node_id);
        let topic = image.topic(OFFSETS_TOPIC).into_iter();
        topic
            .flat_map(|topic| topic.iter())
            .filter(|(_, partition)| partition.leader == Some(own))
            .map(|(index, partition)| (index, partition.leader_epoch))
            .collect()
    }

    fn options(&self) -> Options {
        Options {
            group: limits(&self.config.groups),
            load_buffer_bytes: self.config.groups.load_buffer_bytes,
            expiry_check: self.config.groups.offsets_retention_check,
        }
    }

    /// Offsets of topics that are gone are forgotten.
    fn forget_deleted(&self, image: &Image, known: &mut BTreeSet<wire::Uuid>) {
        let now: BTreeSet<wire::Uuid> = image.topics().map(|topic| topic.id).collect();
        let any_gone = known.iter().any(|id| !now.contains(id));
        *known = now;
        if !any_gone {
            return;
        }
        let slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            slot.tell(|shard, now, out| {
                shard.on_topics_deleted(now, |topic| image.topic(topic).is_none(), out);
            });
        }
    }

    /// The broker that coordinates a group, as clients of `listener` reach it. Creates the topic on first need.
    pub async fn find(&self, group_id: &str, listener: &str) -> Result<Coordinator, ErrorCode> {
        if self.quorum.image().topic(OFFSETS_TOPIC).is_none() {
            let _one_at_a_time = self.creating.lock().await;
            if !topic::ensure(&self.env, &self.config, &self.quorum).await {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
        }
        let image = self.quorum.image();
        let topic = image
            .topic(OFFSETS_TOPIC)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let index = partition_for(group_id, topic.partitions.len() as i32);
        let leader = topic
            .partition(index)
            .and_then(|p| p.leader)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let broker = image
            .broker(leader)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let Endpoint { host, port, .. } = broker
            .endpoint(listener)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        Ok(Coordinator {
            node: leader,
            host: host.clone(),
            port: i32::from(*port),
        })
    }

    fn slot(&self, group_id: &str) -> Result<Arc<Slot>, ErrorCode> {
        let image = self.quorum.image();
        let topic = image
            .topic(OFFSETS_TOPIC)
            .ok_or(ErrorCode::NotCoordinator)?;
        let index = partition_for(group_id, topic.partitions.len() as i32);
        if let Some(slot) = self.slots.lock().get(&index) {
            return Ok(slot.clone());
        }
        match topic.partition(index).and_then(|p| p.leader) == Some(BrokerId(self.config.node_id)) {
            true => Err(ErrorCode::CoordinatorLoadInProgress),
            false => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Runs a step for a request and waits for its answer, however long the group takes.
    pub async fn request(
        &self,
        group_id: &str,
        step: impl FnOnce(&mut Shard, Now, Token, &mut Effects),
    ) -> Result<Reply, ErrorCode> {
        let answer = self.slot(group_id)?.request(step)?;
        waiting(answer).await.map_err(|_| ErrorCode::NotCoordinator)
    }

    /// Runs a step whose answer waits for nothing but its records (`offsets.commit.timeout.ms`).
    pub async fn write(
        &self,
        group_id: &str,
        step: impl FnOnce(&mut Shard, Now, Token, &mut Effects),
    ) -> Result<Reply, ErrorCode> {
        let deadline: Duration = self.config.groups.commit_timeout;
        match timeout(deadline, self.request(group_id, step)).await {
            Ok(reply) => reply,
            // The records may still be committed: the client commits again, which does no harm.
            Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Looks at the committed state of a group's partition.
    pub fn look<T>(&self, group_id: &str, look: impl FnOnce(&Shard) -> T) -> Result<T, ErrorCode> {
        self.slot(group_id)?.look(look)
    }

    /// Looks at every partition that is led here; an error where one of them is still loading.
    pub fn look_at_all<T>(&self, look: impl Fn(&Shard) -> T) -> Result<Vec<T>, ErrorCode> {
        let led = self.led_here(&self.quorum.image());
        let slots = self.slots.lock();
        let mut seen = Vec::with_capacity(led.len());
        for index in led.keys() {
            match slots.get(index).map(|slot| slot.look(&look)) {
                Some(Ok(one)) => seen.push(one),
                Some(Err(ErrorCode::NotCoordinator)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(ErrorCode::CoordinatorLoadInProgress),
            }
        }
        Ok(seen)
    }

    /// Looks at the partitions that are led here and loaded.
    pub fn look_at_loaded<T>(&self, look: impl Fn(&Shard) -> T) -> Vec<T> {
        let slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        let looked = slots.iter().filter_map(|slot| slot.look(&look).ok());
        looked.collect()
    }

    /// The random part of a new member's id.
    pub fn unique(&self) -> String {
        let hex: String = self
            .env
            .random_uuid()
            .0
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

fn limits(config: &GroupConfig) -> GroupLimits {
    let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    GroupLimits {
        min_session_timeout_ms: millis(config.min_session_timeout),
        max_session_timeout_ms: millis(config.max_session_timeout),
        initial_rebalance_delay_ms: config.initial_rebalance_delay.as_millis() as u64,
        max_size: config.max_size,
        max_offset_metadata_bytes: config.metadata_max_bytes,
        offsets_retention_ms: config.offsets_retention.as_millis() as i64,
        max_pending_members: MAX_PENDING_MEMBERS,
        ..GroupLimits::default()
    }
}
