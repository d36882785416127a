//! `make sim SEEDS=500 FIRST=1`: many simulated lives, one seed each. A life that fails is made as small as it can be and
//! told with its seed; `SEED=n cargo run -p sim` replays it, and with `TRACE=1` tells all of it.

use std::process::ExitCode;

use checker::Counts;
use sim::life::{Failure, live};
use sim::{Plan, Trace, seed_or};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn lived(plan: &Plan) -> (Result<Counts, Failure>, Trace) {
    let trace = Trace::default();
    let outcome = trace.record(|| live(plan, &trace));
    (outcome, trace)
}

/// Leaves out harms as long as the life still fails.
fn shrunk(plan: &Plan, failure: Failure) -> (Plan, Failure) {
    let (mut plan, mut failure) = (plan.clone(), failure);
    let mut at = 0;
    while at < plan.harms.len() {
        let mut fewer = plan.harms.clone();
        fewer.remove(at);
        let smaller = plan.with_harms(fewer);
        match lived(&smaller).0 {
            Ok(_) => at += 1,
            Err(still) => (plan, failure) = (smaller, still),
        }
    }
    (plan, failure)
}

fn main() -> ExitCode {
    let one = std::env::var_os("SEED").is_some();
    let (first, seeds) = match one {
        true => (seed_or(1), 1),
        false => (number("FIRST", 1), number("SEEDS", 20)),
    };
    let (mut failed, mut acked, mut read) = (0, 0, 0);
    for seed in first..first.saturating_add(seeds) {
        let plan = Plan::of(seed);
        let (outcome, trace) = lived(&plan);
        if one && std::env::var_os("TRACE").is_some() {
            println!("{plan:#?}\n{}", trace.lines().join("\n"));
        }
        match outcome {
            Ok(counts) => {
                acked += counts.acked;
                read += counts.read;
            }
            Err(failure) => {
                failed += 1;
                eprintln!("{failure}\nmaking it smaller");
                let (plan, failure) = shrunk(&plan, failure);
                eprintln!(
                    "{failure}\n{} harms are enough\nreplay with: SEED={seed} cargo run -p sim\n",
                    plan.harms.len()
                );
            }
        }
    }
    println!("acknowledged {acked}, read {read}");
    println!("sim: {} passed, {failed} failed", seeds - failed);
    match failed == 0 && acked > 0 && read > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
