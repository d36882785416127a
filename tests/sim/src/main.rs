//! `make sim SEEDS=500 FIRST=1`: many simulated lives, one seed each; in every second one replicas move. A life that
//! fails is printed with its seed, which `SEED=n cargo test -p sim` replays.

use std::process::ExitCode;

use sim::Trace;
use sim::lives::{Plan, live};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn main() -> ExitCode {
    let (first, seeds) = (number("FIRST", 1), number("SEEDS", 20));
    let mut failed = 0;
    for seed in first..first.saturating_add(seeds) {
        let trace = Trace::default();
        let moves = seed % 2 == 0;
        let plan = Plan::random(seed, moves);
        if let Err(failure) = trace.record(|| live(seed, &plan, &trace)) {
            failed += 1;
            let test = if moves { "moves" } else { "random" };
            eprintln!("{failure}\nreplay with: SEED={seed} cargo test -p sim {test}\n");
        }
    }
    println!("sim: {} passed, {failed} failed", seeds - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
