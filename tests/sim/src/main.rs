//! `make sim SEEDS=500 FIRST=1 JOBS=2`: many simulated lives, one seed each. A life that fails is made as small as it can
//! be and told with its seed; `make sim SEED=7` replays it, and with `TRACE=1` tells all of it,
//! with `TRACE=debug` what brokers log at DEBUG too. With RESULTS=file each
//! outcome is written down, and a run that was interrupted goes on from there. With UNTIL_FAILURE=1 the first failure is
//! the last, and is not made smaller.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use sim::batch::{News, Outcome, Progress, Results, Workers, lived, serve, watch};
use sim::marks::{ENOUGH, Visits};
use sim::{Plan, number_or, seed_or};

/// A life that takes so long is named: nothing else tells of one that does not end.
const LONG: Duration = Duration::from_secs(120);

/// A digest of this program: another one lives other lives.
fn program() -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(std::env::current_exe()?)?);
    Ok(format!("{:016x}", hasher.finish()))
}

fn until_failure() -> bool {
    std::env::var_os("UNTIL_FAILURE").is_some()
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => return ended(serve(stdin().lock(), stdout())),
        Some(_) => {
            eprintln!(
                "sim: takes no arguments but variables: SEEDS, FIRST, JOBS, SEED, TRACE, RESULTS, UNTIL_FAILURE \
                 (docs/simulation.md)"
            );
            return ExitCode::from(2);
        }
        None => {}
    }
    let (first, count) = match std::env::var_os("SEED") {
        Some(_) => (seed_or(1), 1),
        None => (number_or("FIRST", 1), number_or("SEEDS", 20)),
    };
    if count == 1 && std::env::var_os("TRACE").is_some() {
        told(first);
    }
    match many(first, count) {
        Ok(verdict) => verdict,
        Err(error) => ended(Err(error)),
    }
}

fn ended(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All of a life. One that does not end is told as far as it went.
fn told(seed: u64) {
    thread::spawn(|| watch(|stuck| eprintln!("{}", stuck.failure.unwrap_or_default())));
    let plan = Plan::of(seed);
    let (_, trace) = lived(&plan);
    println!("{plan:#?}\n{}", trace.lines().join("\n"));
}

fn many(first: u64, seeds: u64) -> io::Result<ExitCode> {
    let mut results = match std::env::var_os("RESULTS") {
        Some(path) => Results::open(Path::new(&path), &program()?)?,
        None => Results::default(),
    };
    let all = first..first.saturating_add(seeds);
    let wanted: Vec<u64> = all.clone().filter(|seed| !results.has(*seed)).collect();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let jobs = number_or("JOBS", cores).min(wanted.len() as u64);
    let mut progress = Progress::new(wanted.len() as u64);
    let mut under_way = Vec::new();
    let (enough, stop) = (Arc::new(AtomicBool::new(false)), until_failure());
    let over = enough.clone();
    let seeds = wanted.into_iter().take_while(move |_| !over.load(Relaxed));
    let news = Workers::new(std::env::current_exe()?, jobs as usize, !stop).live(seeds);
    loop {
        match news.recv_timeout(LONG) {
            Ok(News::Began { seed }) => under_way.push(seed),
            Ok(News::Ended(outcome)) => {
                under_way.retain(|seed| *seed != outcome.seed);
                if let Some(failure) = &outcome.failure {
                    progress.clear();
                    eprintln!("{failure}\n");
                    enough.store(stop, Relaxed);
                }
                progress.step(outcome.failure.is_some());
                results.add(outcome)?;
            }
            Err(RecvTimeoutError::Timeout) => {
                progress.clear();
                eprintln!("for long under way: seeds {under_way:?}");
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    progress.clear();
    Ok(verdict(results.among(all)))
}

/// The closing lines. A batch in which nothing was done has not passed, nor has a long one that was never in a state
/// that lives are to reach.
fn verdict<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> ExitCode {
    let (mut passed, mut failed, mut acked, mut read) = (0, 0, 0, 0);
    let mut visits = Visits::default();
    for outcome in outcomes {
        match outcome.failure {
            None => passed += 1,
            Some(_) => failed += 1,
        }
        visits.add(&outcome.visits);
        acked += outcome.acked;
        read += outcome.read;
    }
    let missing = visits.missing();
    let covered = passed + failed < ENOUGH || missing.is_empty();
    if passed + failed > 1 {
        print!("states that were visited\n{}", visits.table());
    }
    if !covered {
        println!("never visited: {}", missing.join(", "));
    }
    println!("acknowledged {acked}, read {read}");
    println!("sim: {passed} passed, {failed} failed");
    match failed == 0 && covered && acked > 0 && read > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
