//! Simulated lives of a cluster.

use sim::lives::{Harm, Plan, Victim, live};
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
    traced(seed_or(1), &Plan::one(Victim::Leader, Harm::PowerLoss));
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing_that_is_lost() {
    traced(seed_or(2), &Plan::one(Victim::Leader, Harm::CutOff));
}

#[test]
fn acknowledged_records_survive_random_harm() {
    let seed = seed_or(3);
    traced(seed, &Plan::random(seed, false));
}

#[test]
fn acknowledged_records_survive_while_replicas_move_amid_random_harm() {
    let seed = seed_or(6);
    let lines = traced(seed, &Plan::random(seed, true));
    let went = lines.iter().any(|l| l.contains("the partition is deleted"));
    assert!(went, "no replica has moved");
}

#[test]
fn a_leader_that_stops_in_order_loses_and_doubles_nothing() {
    traced(seed_or(5), &Plan::one(Victim::Leader, Harm::Stop));
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    let seed = seed_or(4);
    let plan = Plan {
        harms: vec![
            (Victim::Leader, Harm::PowerLoss),
            (Victim::Leader, Harm::Stop),
        ],
        moves: true,
    };
    let (first, second) = (traced(seed, &plan), traced(seed, &plan));
    let length = first.len().max(second.len());
    if let Some(at) = (0..length).find(|at| first.get(*at) != second.get(*at)) {
        panic!(
            "seed {seed}, line {at}:\n  {:?}\n  {:?}",
            first.get(at),
            second.get(at)
        );
    }
    for happened in [
        "PowerLoss of broker",
        "leaderships handed over",
        "the partition is deleted",
        "span=AppendSpan",
    ] {
        assert!(
            first.iter().any(|line| line.contains(happened)),
            "no {happened}"
        );
    }
}
