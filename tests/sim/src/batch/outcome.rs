//! What became of one seed.

use std::hash::{DefaultHasher, Hasher};

use checker::Counts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::shrink::Cut;
use crate::life::{Failure, live};
use crate::marks::Visits;
use crate::{Plan, Trace};

/// One line of a worker's answers, and of a file of results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub seed: u64,
    /// What the clients of the life did.
    pub acked: u64,
    pub read: u64,
    /// The states that it was in.
    pub visits: Visits,
    /// A digest of the trace: the same wherever the same program lives the seed.
    pub trace: String,
    /// The story of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The life that is lived in this process, for who finds that it does not end.
static NOW: Mutex<Option<(Plan, Trace)>> = Mutex::new(None);

/// Log lines that the story of a life is told with which does not end.
const TAIL: usize = 30;

impl Outcome {
    /// Lives a seed, or what is left of it.
    pub fn of(cut: &Cut) -> Outcome {
        let (lived, trace) = lived(&cut.plan());
        let (acked, read, failure) = match lived {
            Ok(counts) => (counts.acked, counts.read, None),
            Err(failure) => (0, 0, Some(failure.to_string())),
        };
        Outcome {
            seed: cut.seed,
            acked,
            read,
            visits: Visits::of(trace.lines().iter().map(String::as_str)),
            trace: digest(&trace.lines()),
            failure,
        }
    }

    /// A life that could not be ended.
    pub fn broken(cut: &Cut, why: &str) -> Outcome {
        Outcome {
            seed: cut.seed,
            acked: 0,
            read: 0,
            visits: Visits::default(),
            trace: String::new(),
            failure: Some(format!("seed {}: {why}", cut.seed)),
        }
    }

    /// With how it is replayed, and what is left of the plan when it has been made as small as it can be.
    #[must_use]
    pub fn told(self, smallest: Option<&Cut>) -> Outcome {
        let Some(failure) = self.failure else {
            return self;
        };
        let enough = smallest.map_or(String::new(), |cut| {
            let plan = cut.plan();
            format!("{} harms are enough\n{plan}", plan.harms.len())
        });
        let failure = Some(format!(
            "{failure}\n{enough}replay with: make sim SEED={}",
            self.seed
        ));
        Outcome { failure, ..self }
    }
}

/// Lives a plan, and gives its trace too.
pub fn lived(plan: &Plan) -> (Result<Counts, Failure>, Trace) {
    let trace = match std::env::var("TRACE") {
        Ok(wanted) if wanted == "debug" => Trace::of_all(),
        Ok(_) | Err(_) => Trace::default(),
    };
    *NOW.lock() = Some((plan.clone(), trace.clone()));
    let outcome = trace.record(|| live(plan, &trace));
    *NOW.lock() = None;
    (outcome, trace)
}

/// The story of the life that is lived now, in which time stands still.
pub fn stuck() -> Option<Outcome> {
    let now = NOW.lock();
    let (plan, trace) = now.as_ref()?;
    let tail = trace.tail(TAIL);
    let why = format!("simulated time stood still, as some task never waits\n{plan}\n{tail}");
    Some(Outcome::broken(&Cut::none(plan.seed), &why))
}

fn digest(lines: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    for line in lines {
        hasher.write(line.as_bytes());
        hasher.write_u8(b'\n');
    }
    format!("{:016x}", hasher.finish())
}
