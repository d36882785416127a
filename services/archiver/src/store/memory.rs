//! A store in memory for tests, which loses answers and delays PUTs as asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Objects, Put, Unclear};

/// Keys in a page: few, so that tests turn pages.
const PAGE: usize = 3;

type Stored = BTreeMap<String, (Bytes, HashMap<String, String>)>;

/// What goes wrong, each with its chance.
#[derive(Default, Clone, Copy)]
pub struct Faults {
    /// No answer, and nothing stored.
    pub request_lost: f64,
    /// No answer, though the PUT was carried out.
    pub answer_lost: f64,
    /// No answer now; the PUT is carried out before some later call.
    pub delayed: f64,
}

pub struct Memory {
    state: Mutex<State>,
    /// Ignores the condition, as some stores do.
    pub ignores_condition: bool,
}

struct State {
    objects: Stored,
    late: Vec<(String, Bytes, HashMap<String, String>)>,
    rng: StdRng,
    faults: Faults,
}

impl Memory {
    pub fn new(seed: u64, faults: Faults) -> Memory {
        let state = State {
            objects: Stored::new(),
            late: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            faults,
        };
        Memory {
            state: Mutex::new(state),
            ignores_condition: false,
        }
    }

    pub fn contents(&self) -> Stored {
        self.state
            .lock()
            .expect("no test panics while it holds the lock")
            .objects
            .clone()
    }

    pub fn insert(&self, key: &str, metadata: HashMap<String, String>) {
        let mut state = self
            .state
            .lock()
            .expect("no test panics while it holds the lock");
        state
            .objects
            .insert(key.to_owned(), (Bytes::new(), metadata));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self
            .state
            .lock()
            .expect("no test panics while it holds the lock");
        if !state.late.is_empty() && state.rng.random_bool(0.5) {
            let (key, body, metadata) = state.late.remove(0);
            state.objects.entry(key).or_insert((body, metadata));
        }
        act(&mut state)
    }
}

fn lost(key: &str) -> Unclear {
    Unclear::new("PUT", key, "no answer")
}

impl Objects for Memory {
    async fn put_if_absent(
        &self,
        key: &str,
        body: Bytes,
        metadata: &HashMap<String, String>,
    ) -> Result<Put, Unclear> {
        tokio::task::yield_now().await;
        self.with(|state| {
            let Faults {
                request_lost,
                answer_lost,
                delayed,
            } = state.faults;
            if state.rng.random_bool(request_lost) {
                return Err(lost(key));
            }
            if state.rng.random_bool(delayed) {
                state.late.push((key.to_owned(), body, metadata.clone()));
                return Err(lost(key));
            }
            let exists = state.objects.contains_key(key);
            if !exists || self.ignores_condition {
                state
                    .objects
                    .insert(key.to_owned(), (body, metadata.clone()));
            }
            match (
                state.rng.random_bool(answer_lost),
                exists && !self.ignores_condition,
            ) {
                (true, _) => Err(lost(key)),
                (false, true) => Ok(Put::Exists),
                (false, false) => Ok(Put::Stored),
            }
        })
    }

    async fn head(&self, key: &str) -> Result<Option<HashMap<String, String>>, Unclear> {
        tokio::task::yield_now().await;
        self.with(|state| Ok(state.objects.get(key).map(|(_, metadata)| metadata.clone())))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Unclear> {
        let behind = |key: &&String| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        };
        self.with(|state| {
            Ok(state
                .objects
                .keys()
                .filter(behind)
                .take(PAGE)
                .cloned()
                .collect())
        })
    }

    async fn delete(&self, key: &str) -> Result<(), Unclear> {
        self.with(|state| state.objects.remove(key));
        Ok(())
    }
}
