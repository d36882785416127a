//! `make sim SEEDS=500 FIRST=1`: many simulated lives, one seed each. A life that fails is printed with its seed, which
//! `SEED=n cargo test -p sim` replays.

use std::process::ExitCode;

use sim::Trace;
use sim::lives::{live, random_plan};

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
        let plan = random_plan(seed);
        if let Err(failure) = trace.record(|| live(seed, &plan, &trace)) {
            failed += 1;
            eprintln!("{failure}\nreplay with: SEED={seed} cargo test -p sim random\n");
        }
    }
    println!("sim: {} passed, {failed} failed", seeds - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
