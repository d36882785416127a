//! Makes a life that fails as small as it can be.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::Plan;

/// Lives that are tried at most, and for how long: a failure that needs much is told with much. Those in which time stands
/// still take long.
const TRIES: usize = 80;
const PATIENCE: Duration = Duration::from_secs(300);

/// The life of a seed with parts left out, one after the other: `7` is all of it, `7 3 0` lacks two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub seed: u64,
    without: Vec<usize>,
}

impl Cut {
    /// All of it.
    pub fn none(seed: u64) -> Cut {
        Cut {
            seed,
            without: Vec::new(),
        }
    }

    pub fn plan(&self) -> Plan {
        let all = Plan::of(self.seed);
        let cut = |plan: Plan, at: &usize| plan.without(*at).unwrap_or(plan);
        self.without.iter().fold(all, cut)
    }

    /// One more part is left out, the `at`-th of those that there are; none beyond the last.
    fn without(&self, at: usize) -> Option<Cut> {
        self.plan().without(at)?;
        let mut cut = self.clone();
        cut.without.push(at);
        Some(cut)
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        self.without.iter().try_for_each(|at| write!(f, " {at}"))
    }
}

impl FromStr for Cut {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Cut, ParseIntError> {
        let (seed, without) = text.split_once(' ').unwrap_or((text, ""));
        let without = without.split_ascii_whitespace();
        Ok(Cut {
            seed: seed.trim().parse()?,
            without: without.map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

/// Leaves things out, one at a time, as long as the life still fails.
pub fn smallest<T>(seed: u64, failure: T, mut fails: impl FnMut(&Cut) -> Option<T>) -> (Cut, T) {
    let (mut cut, mut failure) = (Cut::none(seed), failure);
    let (mut at, mut tries, began) = (0, 0, Instant::now());
    // What was needed with more around it may not be needed with less; but once through all of it is enough.
    while let Some(smaller) = cut.without(at) {
        if tries == TRIES || began.elapsed() > PATIENCE {
            break;
        }
        tries += 1;
        match fails(&smaller) {
            None => at += 1,
            Some(still) => (cut, failure) = (smaller, still),
        }
    }
    (cut, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_failure_does_not_need_is_left_out() {
        let busy = |seed: &u64| {
            let plan = Plan::of(*seed);
            plan.harms.len() > 2 && plan.operations.len() > 1
        };
        let seed = (1..).find(busy).expect("some life is busy");
        let plan = Plan::of(seed);
        let (harm, operation) = (plan.harms[1].at_ms, plan.operations[1]);
        let needed = |cut: &Cut| {
            let plan = cut.plan();
            let harmed = plan.harms.iter().any(|other| other.at_ms == harm);
            (harmed && plan.operations.contains(&operation)).then_some(())
        };
        let (cut, ()) = smallest(seed, (), needed);
        let smallest = cut.plan();
        assert_eq!(smallest.harms.len(), 1);
        assert_eq!(smallest.operations, [operation]);
        assert_eq!((smallest.topics.len(), smallest.producers), (1, 1));
        let rest = smallest.careless.len() as u32 + smallest.pipelined + smallest.consumers;
        assert_eq!((rest, smallest.groups.len()), (0, 0));
        assert!(!smallest.rolling && smallest.properties.is_empty());
        let told: Cut = cut.to_string().parse().expect("it is told in full");
        assert_eq!(told, cut);
    }
}
