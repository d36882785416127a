//! Simulated lives of a cluster.

mod power;

use sim::faults::Kind;
use sim::life::live;
use sim::{Group, Harm, Plan, Topic, Trace, operations, seed_or};

/// Seeds of the short run, of which each is another life.
const SEEDS: u64 = 12;

/// Whether retention may have taken all that there was.
fn may_be_empty(plan: &Plan) -> bool {
    plan.topics.iter().all(|topic| topic.keeps_ms().is_some())
}

fn traced(plan: &Plan) -> Vec<String> {
    let trace = Trace::default();
    match trace.record(|| live(plan, &trace)) {
        Ok(counts) => {
            assert!(counts.acked > 0 && counts.read > 0, "{counts:?}");
            // What is looked at from outside, too.
            assert!(counts.led > 0 && counts.applied > 0, "{counts:?}");
            assert!(counts.replicated > 0 || may_be_empty(plan), "{counts:?}");
        }
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
        // Shown if it fails.
        println!("replay with: make sim SEED={seed}");
        traced(&Plan::of(seed));
    }
}

/// What the brokers say of a fault that they have felt, in one way or another; nothing where it shows in clients' waits only.
fn felt(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::FailedSync => &["cannot fsync", "cannot go on", "cannot write a checkpoint"],
        Kind::FullDisk => &["no space left"],
        Kind::PowerLoss => &["clean=false"],
        Kind::Kill => &["message=recovered"],
        Kind::Stop => &["leaderships handed over"],
        Kind::CutOff | Kind::Isolated | Kind::Delayed => &["fencing"],
        Kind::Mute
        | Kind::Deaf
        | Kind::SlowNetwork
        | Kind::Resets
        | Kind::HalfOpen
        | Kind::Loss
        | Kind::ClockJump
        | Kind::SlowDisk => &[],
        Kind::FailedReads | Kind::FlippedReads => &["cannot read a log"],
    }
}

/// A life in which each broker has this kind of fault once; whether one of them has felt it.
fn is_felt(kind: Kind, seed: u64) -> bool {
    let mut plan = Plan::of(seed);
    for topic in &mut plan.topics {
        topic.configs = vec![("flush.messages".into(), "1".into())];
    }
    // Every victim runs, and reads are of the disk.
    plan.rolling = false;
    plan.properties = vec![("record.cache.bytes".into(), "0".into())];
    let harms = (1..=3).map(|id| Harm {
        lasts_ms: 3_500,
        ..harm(id as u64 * 4_000 - 4_000, kind, id)
    });
    let lines = traced(&plan.with_harms(harms.collect()));
    let has = |wanted: &str| lines.iter().any(|line| line.contains(wanted));
    let begun = format!("{kind:?} of broker");
    assert!(has(&begun), "no {begun}");
    let felt = felt(kind);
    felt.is_empty() || felt.iter().any(|words| has(words))
}

#[test]
fn each_kind_of_fault_is_survived_by_itself() {
    for (number, kind) in (0u64..).zip(Kind::ALL) {
        // Some come where nothing is written or read meanwhile.
        let mut seeds = (0..8).map(|again| seed_or(100) + number + again * 100);
        let is_felt = seeds.any(|seed| is_felt(kind, seed));
        assert!(is_felt, "{kind:?}: nobody has said any of {:?}", felt(kind));
    }
}

#[test]
fn a_group_goes_on_while_brokers_and_members_come_and_go() {
    let group = Group {
        name: "readers".into(),
        members: 3,
        statics: 1,
    };
    let plan = Plan {
        groups: vec![group],
        rolling: true,
        ..Plan::of(seed_or(5))
    };
    let harms = (1..=3).map(|id| harm(id as u64 * 3_000 - 2_000, Kind::Kill, id));
    let plan = plan.with_harms(harms.collect());
    let trace = Trace::default();
    let outcome = trace.record(|| live(&plan, &trace));
    let counts = outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let (polled, committed) = (counts.polled, counts.committed);
    assert!(polled > 0 && committed > 0, "{counts:?}");
    // Each joined, and again when another came or went.
    assert!(counts.assigned > 6, "{counts:?}");
}

#[test]
fn who_was_away_for_long_takes_over_a_snapshot_of_the_metadata() {
    let plan = Plan {
        brokers: 3,
        properties: vec![(
            "metadata.log.max.record.bytes.between.snapshots".into(),
            "300".into(),
        )],
        operations: vec![operations::Kind::Recreate],
        rolling: false,
        ..Plan::of(seed_or(6))
    };
    let away = Harm {
        lasts_ms: 9_000,
        ..harm(500, Kind::Kill, 3)
    };
    let lines = traced(&plan.with_harms(vec![away]));
    let taken = |line: &String| line.contains("took over a snapshot of the metadata");
    assert!(lines.iter().any(taken), "nobody did");
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    let plan = Plan {
        operations: operations::Kind::ALL.to_vec(),
        rolling: true,
        pipelined: 1,
        // So that a machine may lose power.
        topics: vec![Topic {
            name: "lives-0".into(),
            partitions: 2,
            replicas: 3,
            ..Topic::default()
        }],
        ..Plan::of(seed_or(4))
    };
    let plan = plan.with_harms(vec![
        harm(500, Kind::PowerLoss, 3),
        harm(3_000, Kind::Resets, 2),
        harm(4_000, Kind::SlowDisk, 1),
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
