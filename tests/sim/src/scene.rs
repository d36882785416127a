//! What the clients of one life share: how far it is, what it is about, and where they write down what they see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use checker::history::Place;
use checker::{Recorder, What};
use parking_lot::Mutex;

use crate::Cluster;
use crate::faults::Kind;
use crate::plan::{Group, Plan, Topic};

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
    /// When every replica of every topic was last seen in sync, in microseconds.
    whole_us: Arc<AtomicU64>,
    /// Clients that have something to end when everything is healed.
    busy: Arc<AtomicU64>,
    /// How many partitions each topic has by now, where more were made.
    grown: Arc<Mutex<BTreeMap<String, i32>>>,
    members: Arc<Mutex<BTreeMap<(String, String), Held>>>,
    /// What each group's leader has shared out last.
    shared: Arc<Mutex<BTreeMap<String, Vec<Place>>>>,
    recorder: Recorder,
    pub brokers: Arc<Vec<i32>>,
    pub topics: Arc<Vec<Topic>>,
    pub groups: Arc<Vec<Group>>,
    pub clocks_jump: bool,
    /// No machine loses its memory.
    pub memory_lasts: bool,
}

impl Scene {
    pub fn new(plan: &Plan) -> Scene {
        let brokers = 1..=plan.brokers;
        Scene {
            brokers: Arc::new(brokers.collect()),
            topics: Arc::new(plan.topics.clone()),
            groups: Arc::new(plan.groups.clone()),
            clocks_jump: plan.harms.iter().any(|harm| harm.kind == Kind::ClockJump),
            memory_lasts: !plan
                .harms
                .iter()
                .any(|harm| harm.kind == Kind::PowerLoss || harm.kind.may_end_memory()),
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

    /// All replicas were in sync now.
    pub fn saw_whole(&self) {
        self.whole_us.store(now_us(), Ordering::Relaxed);
    }

    /// When all replicas were last seen in sync.
    pub fn whole(&self) -> Duration {
        Duration::from_micros(self.whole_us.load(Ordering::Relaxed))
    }

    /// So many more clients are at work that has to end.
    pub fn begin_work(&self, clients: u32) {
        self.busy.fetch_add(u64::from(clients), Ordering::Relaxed);
    }

    /// One of them has ended.
    pub fn end_work(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// A topic that stays for the whole life.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> i32 {
        let begun = self.topic(topic).map_or(0, |topic| topic.partitions);
        let grown = self.grown.lock().get(topic).copied();
        begun.max(grown.unwrap_or(0))
    }

    /// A topic has so many partitions now.
    pub fn grow(&self, topic: &str, partitions: i32) {
        self.grown.lock().insert(topic.to_string(), partitions);
    }

    /// Every partition there is.
    pub fn places(&self) -> Vec<Place> {
        let of_topic = |topic: &Topic| {
            let place = |index| Place::new(&topic.name, index);
            let all = (0..self.partitions(&topic.name)).map(place);
            all.collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(of_topic).collect()
    }

    /// The leader of a group shares these partitions out.
    pub fn share(&self, group: &str, places: Vec<Place>) {
        self.shared.lock().insert(group.to_string(), places);
    }

    /// What the group's leader has shared out last; one that returns under its name knows too.
    pub fn shared(&self, group: &str) -> Vec<Place> {
        self.shared.lock().get(group).cloned().unwrap_or_default()
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

    /// The same for who looks at the whole cluster from outside.
    pub fn record_of(&self, cluster: &Cluster<'_>, what: What) {
        let at_us = cluster.sim.elapsed().as_micros() as u64;
        self.recorder.record(at_us, "world", what);
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
