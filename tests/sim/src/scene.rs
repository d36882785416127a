//! What the clients of one life share: how far it is, what it is about, and where they write down what they see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use checker::{Recorder, What};

use crate::plan::Topic;

/// How far a life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The topics are made.
    Setting = 0,
    /// Clients work, and things go wrong.
    Harm = 1,
    /// Everything is healed: what is under way ends.
    Settling = 2,
}

/// Clones are of the same life.
#[derive(Clone, Default)]
pub struct Scene {
    stage: Arc<AtomicU8>,
    /// When every replica of every topic was last seen in sync, in microseconds.
    whole_us: Arc<AtomicU64>,
    /// Producers that have not ended.
    pub busy: Arc<AtomicU64>,
    recorder: Recorder,
    pub brokers: Arc<Vec<i32>>,
    pub topics: Arc<Vec<Topic>>,
}

impl Scene {
    pub fn new(brokers: Vec<i32>, topics: Vec<Topic>) -> Scene {
        Scene {
            brokers: Arc::new(brokers),
            topics: Arc::new(topics),
            ..Scene::default()
        }
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Setting,
            1 => Stage::Harm,
            _ => Stage::Settling,
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
