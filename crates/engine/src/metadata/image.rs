//! The metadata at one point of the log: immutable, cheap to clone, read without a lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::{Str, Uuid};

use super::proposal::Answers;
use super::{BrokerState, PartitionId, PartitionState, Resource, TopicState};
use crate::ids::{BrokerEpoch, BrokerId};

/// The configs that are set for one resource.
pub type Configs = BTreeMap<String, String>;

/// All metadata as of one index of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub(super) index: u64,
    pub(super) cluster_id: Option<Str>,
    pub(super) next_producer_id: i64,
    pub(super) unclean_by_default: bool,
    /// 0 as long as nobody has said.
    pub(super) min_insync_default: u16,
    pub(super) brokers: Arc<BTreeMap<BrokerId, Arc<BrokerState>>>,
    pub(super) topics: Arc<BTreeMap<Uuid, Arc<TopicState>>>,
    pub(super) names: Arc<BTreeMap<Str, Uuid>>,
    pub(super) configs: Arc<BTreeMap<Resource, Arc<Configs>>>,
    /// What the open proposals of each broker have done.
    pub(super) answers: Arc<BTreeMap<BrokerId, Arc<Answers>>>,
    /// Not part of the log: whoever publishes the image knows it from the consensus.
    pub(super) controller: Option<BrokerId>,
}

impl Image {
    /// The index of the last log entry that went into it.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The cluster's id; none before the first start has completed.
    pub fn cluster_id(&self) -> Option<&Str> {
        self.cluster_id.as_ref()
    }

    /// The active controller, as far as the one who published this image knows.
    pub fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// What `unclean.leader.election.enable` is where nobody has set it.
    pub fn unclean_by_default(&self) -> bool {
        self.unclean_by_default
    }

    /// What `min.insync.replicas` is where nobody has set it; none before the first controller has said so.
    pub fn min_insync_default(&self) -> Option<u16> {
        Some(self.min_insync_default).filter(|replicas| *replicas > 0)
    }

    /// Whether there are eligible leader replicas: the log has come to where controllers know of them, which say first
    /// of all what `min.insync.replicas` is.
    pub(super) fn keeps_elr(&self) -> bool {
        self.min_insync_default > 0
    }

    /// The same metadata, published with what is known of the active controller.
    #[must_use]
    pub fn with_controller(&self, controller: Option<BrokerId>) -> Image {
        Image {
            controller,
            ..self.clone()
        }
    }

    /// The same metadata as of a later entry that changed nothing.
    #[must_use]
    pub fn at_index(&self, index: u64) -> Image {
        Image {
            index,
            ..self.clone()
        }
    }

    /// A registered broker, fenced or not.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerState>> {
        self.brokers.get(&id)
    }

    /// All registered brokers by id, fenced ones too.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerState>> {
        self.brokers.values()
    }

    /// The brokers that clients may be sent to.
    pub fn unfenced_brokers(&self) -> impl Iterator<Item = &Arc<BrokerState>> {
        self.brokers.values().filter(|b| !b.fenced)
    }

    /// Whether a broker may be given leaderships and ISR memberships.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|b| b.is_active())
    }

    /// Whether an ISR that a broker is in keeps it.
    pub fn is_well(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|b| b.is_well())
    }

    /// Whether a broker is registered and not fenced.
    pub fn is_unfenced(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|b| !b.fenced)
    }

    /// Whether a broker's current registration has this epoch.
    pub fn has_epoch(&self, id: BrokerId, epoch: BrokerEpoch) -> bool {
        self.broker(id).is_some_and(|b| b.epoch == epoch)
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicState>> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicState>> {
        self.topics.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicState>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// One partition.
    pub fn partition(&self, topic: Uuid, index: i32) -> Option<&Arc<PartitionState>> {
        self.topic_by_id(topic).and_then(|t| t.partition(index))
    }

    /// Every partition, topic by topic in the order of their ids.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &Arc<PartitionState>)> {
        self.topics.iter().flat_map(|(&topic, t)| {
            t.iter()
                .map(move |(index, p)| (PartitionId { topic, index }, p))
        })
    }

    /// How many partitions a broker leads.
    pub fn leaderships(&self, broker: BrokerId) -> usize {
        self.partitions()
            .filter(|(_, p)| p.leader == Some(broker))
            .count()
    }

    /// The partitions whose preferred replica could lead but does not.
    pub fn imbalanced(&self) -> Vec<PartitionId> {
        self.partitions()
            .filter(|(_, p)| {
                p.preferred()
                    .is_some_and(|b| p.leader != Some(b) && p.is_in_sync(b) && self.is_active(b))
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// The configs set for a resource; none where nothing is set.
    pub fn configs(&self, resource: &Resource) -> Option<&Arc<Configs>> {
        self.configs.get(resource)
    }

    /// The configs set for a topic.
    pub fn topic_configs(&self, name: &str) -> Option<&Arc<Configs>> {
        self.configs.get(&Resource::Topic(name.to_owned()))
    }

    /// One config set for a resource.
    pub fn config(&self, resource: &Resource, key: &str) -> Option<&str> {
        self.configs(resource)
            .and_then(|c| c.get(key))
            .map(String::as_str)
    }

    /// Every resource with configs.
    pub fn all_configs(&self) -> impl Iterator<Item = (&Resource, &Arc<Configs>)> {
        self.configs.iter()
    }

    pub(super) fn broker_mut(&mut self, id: BrokerId) -> Option<&mut BrokerState> {
        Arc::make_mut(&mut self.brokers)
            .get_mut(&id)
            .map(Arc::make_mut)
    }

    pub(super) fn set_partition(&mut self, id: PartitionId, state: PartitionState) {
        let topic = Arc::make_mut(&mut self.topics)
            .get_mut(&id.topic)
            .map(Arc::make_mut);
        let slot = topic.and_then(|t| {
            usize::try_from(id.index)
                .ok()
                .and_then(|i| t.partitions.get_mut(i))
        });
        *slot.expect("a partition is only changed after it was looked up in the same image") =
            Arc::new(state);
    }
}
