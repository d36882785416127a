//! Simulated lives of a cluster.

use sim::faults::Kind;
use sim::life::live;
use sim::{Harm, Plan, Trace, seed_or};

/// Seeds of the short run, of which each is another life.
const SEEDS: u64 = 12;

fn traced(plan: &Plan) -> Vec<String> {
    let trace = Trace::default();
    match trace.record(|| live(plan, &trace)) {
        Ok(counts) => assert!(counts.acked > 0 && counts.read > 0, "{counts:?}"),
        Err(failure) => panic!("{failure}"),
    }
    trace.lines()
}

fn harm(at_ms: u64, kind: Kind, victim: i32) -> Harm {
    Harm {
        at_ms,
        lasts_ms: 2_000,
        kind,
        victim,
    }
}

#[test]
fn random_lives_keep_every_promise() {
    for seed in seed_or(1)..seed_or(1) + SEEDS {
        traced(&Plan::of(seed));
    }
}

#[test]
fn each_kind_of_fault_is_survived_by_itself() {
    for (number, kind) in (0u64..).zip(Kind::ALL) {
        let plan = Plan::of(seed_or(100) + number);
        let harms = (1..=3).map(|id| harm(id as u64 * 2_500, kind, id));
        let lines = traced(&plan.with_harms(harms.collect()));
        let happened = lines
            .iter()
            .any(|l| l.contains(&format!("{kind:?} of broker")));
        assert!(happened, "{kind:?} did not happen");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    let plan = Plan {
        moves: true,
        elections: true,
        ..Plan::of(seed_or(4))
    };
    let plan = plan.with_harms(vec![
        harm(500, Kind::PowerLoss, 1),
        harm(3_000, Kind::Resets, 2),
        harm(4_000, Kind::SlowDisk, 3),
        harm(6_000, Kind::CutOff, 2),
        harm(9_000, Kind::Stop, 1),
    ]);
    let (first, second) = (traced(&plan), traced(&plan));
    let length = first.len().max(second.len());
    if let Some(at) = (0..length).find(|at| first.get(*at) != second.get(*at)) {
        panic!(
            "seed {}, line {at}:\n  {:?}\n  {:?}",
            plan.seed,
            first.get(at),
            second.get(at)
        );
    }
    for happened in ["PowerLoss of broker", "Stop of broker", "span=AppendSpan"] {
        assert!(
            first.iter().any(|line| line.contains(happened)),
            "no {happened}"
        );
    }
}
