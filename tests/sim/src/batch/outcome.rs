//! What became of one seed.

use std::hash::{DefaultHasher, Hasher};

use checker::Counts;
use serde::{Deserialize, Serialize};

use super::shrink::shrunk;
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

impl Outcome {
    /// Lives a seed, and where that fails makes it as small as it can be if `shrinks`.
    pub fn of(seed: u64, shrinks: bool) -> Outcome {
        let plan = Plan::of(seed);
        let (lived, trace) = lived(&plan);
        let (acked, read, failure) = match lived {
            Ok(counts) => (counts.acked, counts.read, None),
            Err(failure) if shrinks => (0, 0, Some(told(&plan, failure))),
            Err(failure) => (0, 0, Some(failure.to_string())),
        };
        Outcome {
            seed,
            acked,
            read,
            visits: Visits::of(trace.lines().iter().map(String::as_str)),
            trace: digest(&trace.lines()),
            failure,
        }
    }

    /// A seed whose life could not be ended.
    pub fn broken(seed: u64, why: &str) -> Outcome {
        Outcome {
            seed,
            acked: 0,
            read: 0,
            visits: Visits::default(),
            trace: String::new(),
            failure: Some(format!("seed {seed}: {why}\n{}", replay(seed))),
        }
    }
}

/// Lives a plan, and gives its trace too.
pub fn lived(plan: &Plan) -> (Result<Counts, Failure>, Trace) {
    let trace = match std::env::var("TRACE") {
        Ok(wanted) if wanted == "debug" => Trace::of_all(),
        Ok(_) | Err(_) => Trace::default(),
    };
    let outcome = trace.record(|| live(plan, &trace));
    (outcome, trace)
}

fn told(plan: &Plan, failure: Failure) -> String {
    let (plan, failure) = shrunk(plan, failure);
    let harms = plan.harms.len();
    format!("{failure}\n{harms} harms are enough\n{}", replay(plan.seed))
}

fn replay(seed: u64) -> String {
    format!("replay with: make sim SEED={seed}")
}

fn digest(lines: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    for line in lines {
        hasher.write(line.as_bytes());
        hasher.write_u8(b'\n');
    }
    format!("{:016x}", hasher.finish())
}
