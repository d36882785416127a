//! A short run of every target on seeded changes of its corpus: blind to coverage, but without a fuzzer to build.
//!
//! `FUZZ_SEED` and `FUZZ_SECONDS` (for all targets together) make it another run, or a longer one. An input that is too
//! much is written to `target/fuzz-found/`; the failure says where, and how to keep it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuzz::mutate::Mutator;
use fuzz::targets::{TARGETS, Target};
use fuzz::{folder, inputs};

const SECONDS: u64 = 60;

#[test]
fn every_target_takes_changes_of_its_corpus() {
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let all = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(SECONDS));
    let each = all / TARGETS.len() as u32;
    let mut failed = Vec::new();
    for target in TARGETS {
        let runs = match run(target, seed, each) {
            Ok(runs) => runs,
            Err(found) => {
                failed.push(format!("{}: {}", target.name, found.display()));
                continue;
            }
        };
        println!("{}: {runs} inputs", target.name);
        assert!(runs > 0, "{} was not run", target.name);
    }
    let count = TARGETS.len();
    println!(
        "fuzz: {} targets passed, {} failed",
        count - failed.len(),
        failed.len()
    );
    assert!(
        failed.is_empty(),
        "seed {seed}: too much is (move it to tests/fuzz/regressions/<target>/<what it is>)\n{}",
        failed.join("\n")
    );
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How many inputs the target has taken, or where the one is that it has not.
fn run(target: &Target, seed: u64, time: Duration) -> Result<u64, PathBuf> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for kind in ["corpus", "regressions"] {
        let found = inputs(&folder(kind, target.name));
        seeds.extend(found.into_iter().map(|(_, input)| input));
    }
    let mut mutator = Mutator::new(seed, &seeds, target.max_len);
    let began = Instant::now();
    let mut runs = 0;
    while began.elapsed() < time {
        let input = mutator.input();
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            return Err(keep(target, &input));
        }
        runs += 1;
    }
    Ok(runs)
}

fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz-found");
    let directory = root.join(target.name);
    std::fs::create_dir_all(&directory).expect("the target directory is writable");
    let path = directory.join(format!("{:08x}", crc32c::crc32c(input)));
    std::fs::write(&path, input).expect("the target directory is writable");
    path
}
