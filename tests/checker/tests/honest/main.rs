//! Histories of a partition that keeps its promises are accepted; with one lie in them they are rejected for it.

mod lies;
mod model;

use checker::check;
use model::{Model, steps};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn honest_histories_are_accepted(steps in steps()) {
        let events = Model::history(&steps);
        let report = check(&events);
        prop_assert!(report.anomalies.is_empty(), "{}", report.story(&events, 5));
    }

    #[test]
    fn a_lie_is_found(steps in steps(), which in 0..100usize) {
        for (kind, lie) in lies::ALL {
            let mut events = Model::history(&steps);
            if lie(&mut events, which).is_none() {
                continue;
            }
            let report = check(&events);
            prop_assert!(
                report.by_kind().contains_key(kind),
                "{kind:?} is not in {:?}",
                report.by_kind()
            );
        }
    }
}

/// A lie that never finds a place is none: each one does, in a life in which everything happens.
#[test]
fn every_lie_can_be_told() {
    use model::{Fate::*, Step::*};
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.extend([Send(1, Acked), Send(2, Acked), Send(3, Refused), Answer(0)]);
        steps.extend([Answer(0), Answer(0), Fetch(0, 8), Latest, Poll(3)]);
        steps.extend([Commit(Acked), Answer(0), Answer(0), Answer(0)]);
    }
    for (kind, lie) in lies::ALL {
        let mut events = Model::history(&steps);
        assert!(lie(&mut events, 0).is_some(), "{kind:?} finds no place");
    }
}
