//! The image in the form in which it is stored and sent: flat lists, no index over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::Str;

use super::image::Configs;
use super::proposal::Answers;
use super::{BrokerState, Image, Resource, TopicState, stored};
use crate::ids::BrokerId;

/// An image without its lookups: the first layout, and behind it what each later one has added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
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
        }
    }
}

impl From<&Image> for Snapshot {
    fn from(image: &Image) -> Snapshot {
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
        }
    }
}

impl From<Snapshot> for Image {
    fn from(stored: Snapshot) -> Image {
        let Snapshot {
            first: stored,
            answers,
        } = stored;
        let names: BTreeMap<_, _> = stored
            .topics
            .iter()
            .map(|t| (t.name.clone(), t.id))
            .collect();
        Image {
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
        }
    }
}
