//! Batches of lives: workers of their own live the same lives, and a run that was interrupted goes on.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sim::batch::{News, Outcome, Results, Workers};
use sim::marks::Visits;
use sim::seed_or;

/// Lives that a run of all tests lives besides those of which it wants something.
const LIVES: u64 = 200;

fn outcomes(jobs: usize, seeds: Vec<u64>) -> Vec<Outcome> {
    let news = Workers::new(env!("CARGO_BIN_EXE_sim").into(), jobs, true).live(seeds.into_iter());
    let ended = news.into_iter().filter_map(|news| match news {
        News::Ended(outcome) => Some(outcome),
        News::Began { .. } => None,
    });
    let mut all: Vec<Outcome> = ended.collect();
    all.sort_by_key(|outcome| outcome.seed);
    all
}

#[test]
fn a_seed_is_the_same_life_in_every_worker_and_after_any_other() {
    let (first, second) = (seed_or(30), seed_or(30) + 1);
    let beside = outcomes(2, vec![first, second]);
    let behind = outcomes(1, vec![second, first]);
    assert_eq!(beside, behind);
    for outcome in beside {
        assert_eq!(outcome.failure, None);
        assert!(outcome.acked > 0 && outcome.read > 0, "{outcome:?}");
    }
}

#[test]
fn hundreds_of_lives_keep_every_promise() {
    let first = seed_or(1000);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let all = outcomes(cores, (first..first + LIVES).collect());
    assert_eq!(all.len() as u64, LIVES);
    let mut visits = Visits::default();
    for outcome in &all {
        if let Some(failure) = &outcome.failure {
            panic!("{failure}");
        }
        assert!(outcome.acked > 0 && outcome.read > 0, "{outcome:?}");
        visits.add(&outcome.visits);
    }
    println!("states that were visited\n{}", visits.table());
}

#[test]
fn a_worker_that_dies_over_a_seed_fails_it_and_no_other_one() {
    let program = Path::new("/bin/false");
    let news = Workers::new(program.into(), 2, true).live(1..=3);
    let failures = news.into_iter().filter_map(|news| match news {
        News::Ended(outcome) => Some(outcome.failure.unwrap_or_default()),
        News::Began { .. } => None,
    });
    let failures: Vec<String> = failures.collect();
    assert_eq!(failures.len(), 3);
    for failure in failures {
        assert!(failure.contains("the worker"), "{failure}");
        assert!(failure.contains("replay with: make sim SEED="), "{failure}");
    }
}

/// A worker of a few lines.
fn program(directory: &Path, script: &str) -> io::Result<PathBuf> {
    let program = directory.join("worker");
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    Ok(program)
}

fn failure(program: PathBuf, seed: u64) -> String {
    let workers = Workers::new(program, 1, true);
    let news: Vec<News> = workers.live(seed..seed + 1).into_iter().collect();
    let [News::Began { .. }, News::Ended(outcome)] = &news[..] else {
        panic!("{news:?}")
    };
    outcome.failure.clone().unwrap_or_default()
}

#[test]
fn a_life_in_which_time_stands_still_fails() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let program = program(directory.path(), "#!/bin/sh\nread life\nexit 75\n")?;
    let why = failure(program, 7);
    assert!(why.contains("simulated time stood still"), "{why}");
    Ok(())
}

#[test]
fn a_life_over_which_workers_die_is_made_small_and_told() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let program = program(directory.path(), "#!/bin/sh\nread life\nexit 9\n")?;
    let why = failure(program, 7);
    assert!(why.contains("the worker: ended: exit status: 9"), "{why}");
    assert!(why.contains("0 harms are enough"), "{why}");
    assert!(why.ends_with("replay with: make sim SEED=7"), "{why}");
    Ok(())
}

fn outcome(seed: u64, failure: Option<&str>) -> Outcome {
    Outcome {
        seed,
        acked: seed * 2,
        read: seed * 3,
        visits: Visits::of(["its machine does not answer"]),
        trace: "00ff".into(),
        failure: failure.map(str::to_string),
    }
}

#[test]
fn what_has_passed_is_not_lived_again_and_what_has_failed_is() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("deeper/results.jsonl");
    let mut results = Results::open(&path, "one")?;
    results.add(outcome(1, None))?;
    results.add(outcome(2, Some("lost\na record")))?;
    results.add(outcome(3, None))?;
    drop(results);
    // Killed in the middle of a line.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path)?;
    file.write_all(b"{\"seed\":4,\"ack")?;
    let mut results = Results::open(&path, "one")?;
    let has = [1, 2, 3, 4].map(|seed| results.has(seed));
    assert_eq!(has, [true, false, true, false]);
    results.add(outcome(2, None))?;
    let of = |results: &Results, range| results.among(range).cloned().collect::<Vec<_>>();
    let wanted = [1, 2, 3].map(|seed| outcome(seed, None));
    assert_eq!(of(&results, 1..9), wanted);
    assert_eq!(of(&Results::open(&path, "one")?, 2..3), wanted[1..2]);
    let anew = Results::open(&path, "another")?;
    assert!(!anew.has(1), "another program lives other lives");
    Ok(())
}
