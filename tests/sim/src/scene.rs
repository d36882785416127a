//! What the clients of one life share: how far it is, what it is about, and where they write down what they see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use checker::history::Place;
use checker::{Recorder, What};
use parking_lot::Mutex;

use crate::plan::{Group, Topic};

/// How far a life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The topics are made.
    Setting = 0,
    /// Clients work, and things go wrong.
    Harm = 1,
    /// Everything is healed: what is under way ends.
    Settling = 2,
    /// Everything has been looked at.
    Over = 3,
}

/// What a member of a group had when its coordinator last confirmed it.
struct Held {
    generation: i32,
    places: Vec<Place>,
    at: Duration,
}

/// Clones are of the same life.
#[derive(Clone, Default)]
pub struct Scene {
    stage: Arc<AtomicU8>,
    /// Producers that have not ended.
    pub busy: Arc<AtomicU64>,
    members: Arc<Mutex<BTreeMap<(String, String), Held>>>,
    recorder: Recorder,
    pub brokers: Arc<Vec<i32>>,
    pub topics: Arc<Vec<Topic>>,
    pub groups: Arc<Vec<Group>>,
}

impl Scene {
    pub fn new(brokers: Vec<i32>, topics: Vec<Topic>, groups: Vec<Group>) -> Scene {
        Scene {
            brokers: Arc::new(brokers),
            topics: Arc::new(topics),
            groups: Arc::new(groups),
            ..Scene::default()
        }
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Setting,
            1 => Stage::Harm,
            2 => Stage::Settling,
            _ => Stage::Over,
        }
    }

    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Every partition there is.
    pub fn places(&self) -> Vec<Place> {
        let of_topic = |topic: &Topic| {
            let place = |index| Place::new(&topic.name, index);
            (0..topic.partitions).map(place).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(of_topic).collect()
    }

    /// A member of a group was confirmed, with these partitions.
    pub fn saw_member(&self, group: &str, member: &str, generation: i32, places: Vec<Place>) {
        let at = Duration::from_micros(now_us());
        let held = Held {
            generation,
            places,
            at,
        };
        let key = (group.to_string(), member.to_string());
        self.members.lock().insert(key, held);
    }

    /// A member is none for the time being.
    pub fn lost_member(&self, group: &str, member: &str) {
        let key = (group.to_string(), member.to_string());
        self.members.lock().remove(&key);
    }

    /// What a group lacks to be stable: each member confirmed since `since`, all in one generation, and among them
    /// every partition once.
    pub fn unrest(&self, group: &Group, since: Duration) -> Option<String> {
        let members = self.members.lock();
        let (mut generation, mut places) = (None, Vec::new());
        for number in 0..group.members {
            let name = group.member(number);
            let held = members.get(&(group.name.clone(), name.clone()));
            let Some(held) = held.filter(|held| held.at > since) else {
                return Some(format!("{name} is no member"));
            };
            let first = *generation.get_or_insert(held.generation);
            if first != held.generation {
                return Some(format!("{name} is in {}, not {first}", held.generation));
            }
            places.extend(held.places.iter().cloned());
        }
        places.sort();
        (places != self.places()).then(|| format!("its members have {places:?}"))
    }

    /// Writes down what a client saw.
    pub fn record(&self, who: &str, what: What) {
        self.recorder.record(now_us(), who, what);
    }

    /// The history so far.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

/// The world's time.
pub fn now_us() -> u64 {
    turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_micros() as u64)
}
