//! Simulated lives of a three-broker cluster.

use sim::lives::{Harm, Plan, Victim, live, random_plan};
use sim::{Trace, seed_or};

fn traced(seed: u64, plan: &Plan) -> Vec<String> {
    let trace = Trace::default();
    if let Err(failure) = trace.record(|| live(seed, plan, &trace)) {
        panic!("{failure}");
    }
    trace.lines()
}

#[test]
fn acknowledged_records_survive_when_their_leader_loses_power() {
    traced(seed_or(1), &vec![(Victim::Leader, Harm::PowerLoss)]);
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing_that_is_lost() {
    traced(seed_or(2), &vec![(Victim::Leader, Harm::CutOff)]);
}

#[test]
fn acknowledged_records_survive_random_harm() {
    let seed = seed_or(3);
    traced(seed, &random_plan(seed));
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    let seed = seed_or(4);
    let plan = vec![(Victim::Leader, Harm::PowerLoss)];
    let (first, second) = (traced(seed, &plan), traced(seed, &plan));
    let length = first.len().max(second.len());
    if let Some(at) = (0..length).find(|at| first.get(*at) != second.get(*at)) {
        panic!(
            "seed {seed}, line {at}:\n  {:?}\n  {:?}",
            first.get(at),
            second.get(at)
        );
    }
    for happened in ["PowerLoss of broker", "span=AppendSpan"] {
        assert!(
            first.iter().any(|line| line.contains(happened)),
            "no {happened}"
        );
    }
}
