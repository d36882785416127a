//! The image in the form in which it is stored and sent: flat lists, no index over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{Str, Uuid};

use super::image::Configs;
use super::proposal::Answers;
use super::{
    BrokerState, Image, PartitionId, PartitionState, Resource, TopicId, TopicState, stored,
};
use crate::ids::BrokerId;

/// An image without its lookups: the first layout, and behind it what each later one has added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    first: SnapshotV1,
    answers: Vec<(BrokerId, Arc<Answers>)>,
    /// None where there is nothing that needs the third layout, or a later one.
    #[serde(skip_serializing_if = "Option::is_none")]
    third: Option<Third>,
    /// None where there is nothing that needs the fourth.
    #[serde(skip_serializing_if = "Option::is_none")]
    fourth: Option<Fourth>,
}

/// What the third layout has added: replicas that move, brokers that are about to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Third {
    moving: Vec<Moving>,
    leaving: Vec<BrokerId>,
}

/// What the fourth layout has added: who may lead besides the ISR, and what that depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fourth {
    min_insync_default: u16,
    memories: Vec<Memory>,
    flushed: Vec<TopicId>,
    eligible: Vec<Eligible>,
}

/// The memory of a broker's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    broker: BrokerId,
    #[serde(with = "stored::uuid")]
    memory: Uuid,
}

/// The ELR of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Eligible {
    partition: PartitionId,
    elr: Vec<BrokerId>,
    last_known: Vec<BrokerId>,
}

/// The replicas that a partition gets and loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moving {
    partition: PartitionId,
    adding: Vec<BrokerId>,
    removing: Vec<BrokerId>,
}

/// The layout before the ELR.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotV3 {
    first: SnapshotV1,
    answers: Vec<(BrokerId, Arc<Answers>)>,
    third: Option<Third>,
}

/// The layout before replicas moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotV2 {
    first: SnapshotV1,
    answers: Vec<(BrokerId, Arc<Answers>)>,
}

/// The layout before proposals were remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotV1 {
    index: u64,
    #[serde(with = "stored::optional_text")]
    cluster_id: Option<Str>,
    next_producer_id: i64,
    unclean_by_default: bool,
    brokers: Vec<Arc<BrokerState>>,
    topics: Vec<Arc<TopicState>>,
    configs: Vec<(Resource, Arc<Configs>)>,
}

impl From<SnapshotV1> for Snapshot {
    fn from(first: SnapshotV1) -> Snapshot {
        Snapshot {
            first,
            answers: Vec::new(),
            third: None,
            fourth: None,
        }
    }
}

impl From<SnapshotV2> for Snapshot {
    fn from(old: SnapshotV2) -> Snapshot {
        Snapshot {
            first: old.first,
            answers: old.answers,
            third: None,
            fourth: None,
        }
    }
}

impl From<SnapshotV3> for Snapshot {
    fn from(old: SnapshotV3) -> Snapshot {
        Snapshot {
            first: old.first,
            answers: old.answers,
            third: old.third,
            fourth: None,
        }
    }
}

impl Snapshot {
    /// The oldest layout that holds it: 2, or a later one where it must be.
    pub fn layout(&self) -> u8 {
        match (&self.third, &self.fourth) {
            (_, Some(_)) => 4,
            (Some(_), None) => 3,
            (None, None) => 2,
        }
    }
}

impl Third {
    fn of(image: &Image) -> Option<Third> {
        let moved = image.partitions().filter(|(_, p)| p.is_reassigned());
        let leaving = image.brokers().filter(|b| b.leaving);
        let third = Third {
            moving: moved
                .map(|(partition, p)| Moving {
                    partition,
                    adding: p.adding.clone(),
                    removing: p.removing.clone(),
                })
                .collect(),
            leaving: leaving.map(|b| b.id).collect(),
        };
        let answers = image.answers.values();
        let is_needed = third != Third::default() || answers.clone().any(|a| a.needs_layout_3());
        is_needed.then_some(third)
    }

    fn restore(self, image: &mut Image) {
        for one in self.moving {
            let (topic, index) = (one.partition.topic, one.partition.index);
            if let Some(now) = image.partition(topic, index).cloned() {
                let mut state = (*now).clone();
                (state.adding, state.removing) = (one.adding, one.removing);
                image.set_partition(one.partition, state);
            }
        }
        for id in self.leaving {
            if let Some(broker) = image.broker_mut(id) {
                broker.leaving = true;
            }
        }
    }
}

impl Fourth {
    fn of(image: &Image) -> Option<Fourth> {
        let memories = image.brokers().filter_map(|b| {
            Some(Memory {
                broker: b.id,
                memory: b.memory?,
            })
        });
        let has_any = |p: &PartitionState| !p.elr.is_empty() || !p.last_known_elr.is_empty();
        let eligible = image.partitions().filter(|(_, p)| has_any(p));
        let flushed = image.topics.values().filter(|t| t.flushed);
        let fourth = Fourth {
            min_insync_default: image.min_insync_default,
            memories: memories.collect(),
            flushed: flushed.map(|t| TopicId(t.id)).collect(),
            eligible: eligible
                .map(|(partition, p)| Eligible {
                    partition,
                    elr: p.elr.clone(),
                    last_known: p.last_known_elr.clone(),
                })
                .collect(),
        };
        (fourth != Fourth::default()).then_some(fourth)
    }

    fn restore(self, image: &mut Image) {
        image.min_insync_default = self.min_insync_default;
        for Memory { broker, memory } in self.memories {
            if let Some(broker) = image.broker_mut(broker) {
                broker.memory = Some(memory);
            }
        }
        for TopicId(id) in self.flushed {
            if let Some(topic) = Arc::make_mut(&mut image.topics).get_mut(&id) {
                Arc::make_mut(topic).flushed = true;
            }
        }
        for one in self.eligible {
            let (topic, index) = (one.partition.topic, one.partition.index);
            if let Some(now) = image.partition(topic, index).cloned() {
                let mut state = (*now).clone();
                (state.elr, state.last_known_elr) = (one.elr, one.last_known);
                image.set_partition(one.partition, state);
            }
        }
    }
}

impl From<&Image> for Snapshot {
    fn from(image: &Image) -> Snapshot {
        let fourth = Fourth::of(image);
        // In the fourth layout the third's part is always there.
        let third = Third::of(image).or(fourth.as_ref().map(|_| Third::default()));
        let configs = image.configs.iter();
        Snapshot {
            first: SnapshotV1 {
                index: image.index,
                cluster_id: image.cluster_id.clone(),
                next_producer_id: image.next_producer_id,
                unclean_by_default: image.unclean_by_default,
                brokers: image.brokers.values().cloned().collect(),
                topics: image.topics.values().cloned().collect(),
                configs: configs.map(|(r, c)| (r.clone(), c.clone())).collect(),
            },
            answers: image.answers.iter().map(|(b, a)| (*b, a.clone())).collect(),
            third,
            fourth,
        }
    }
}

impl From<Snapshot> for Image {
    fn from(stored: Snapshot) -> Image {
        let Snapshot {
            first: stored,
            answers,
            third,
            fourth,
        } = stored;
        let names: BTreeMap<_, _> = stored
            .topics
            .iter()
            .map(|t| (t.name.clone(), t.id))
            .collect();
        let mut image = Image {
            index: stored.index,
            cluster_id: stored.cluster_id,
            next_producer_id: stored.next_producer_id,
            unclean_by_default: stored.unclean_by_default,
            brokers: Arc::new(stored.brokers.into_iter().map(|b| (b.id, b)).collect()),
            topics: Arc::new(stored.topics.into_iter().map(|t| (t.id, t)).collect()),
            names: Arc::new(names),
            configs: Arc::new(stored.configs.into_iter().collect()),
            answers: Arc::new(answers.into_iter().collect()),
            ..Image::default()
        };
        if let Some(third) = third {
            third.restore(&mut image);
        }
        if let Some(fourth) = fourth {
            fourth.restore(&mut image);
        }
        image
    }
}
