//! Makes a life that fails as small as it can be.

use super::lived;
use crate::Plan;
use crate::life::Failure;

/// Lives that are tried at most: a failure that needs much is told with much.
const TRIES: usize = 80;

/// Leaves things out, one at a time, as long as the life still fails.
pub fn shrunk(plan: &Plan, failure: Failure) -> (Plan, Failure) {
    smallest(plan, failure, |smaller| lived(smaller).0.err())
}

fn smallest<T>(plan: &Plan, failure: T, mut fails: impl FnMut(&Plan) -> Option<T>) -> (Plan, T) {
    let (mut plan, mut failure) = (plan.clone(), failure);
    let (mut at, mut tries) = (0, 0);
    // What was needed with more around it may not be needed with less; but once through all of it is enough.
    while let Some(smaller) = plan.without(at) {
        if tries == TRIES {
            break;
        }
        tries += 1;
        match fails(&smaller) {
            None => at += 1,
            Some(still) => (plan, failure) = (smaller, still),
        }
    }
    (plan, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_failure_does_not_need_is_left_out() {
        let plans = (1..).map(Plan::of);
        let busy = |plan: &Plan| plan.harms.len() > 2 && plan.operations.len() > 1;
        let plan = plans.into_iter().find(busy).expect("some life is busy");
        let (harm, operation) = (plan.harms[1].at_ms, plan.operations[1]);
        let needed = |plan: &Plan| {
            let harmed = plan.harms.iter().any(|other| other.at_ms == harm);
            (harmed && plan.operations.contains(&operation)).then_some(())
        };
        let (smallest, ()) = smallest(&plan, (), needed);
        assert_eq!(smallest.harms.len(), 1);
        assert_eq!(smallest.operations, [operation]);
        assert_eq!((smallest.topics.len(), smallest.producers), (1, 1));
        let rest = smallest.careless + smallest.pipelined + smallest.consumers;
        assert_eq!((rest, smallest.groups.len()), (0, 0));
        assert!(!smallest.rolling && smallest.properties.is_empty());
    }
}
