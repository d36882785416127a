//! A worker's own side: lives come in, one a line, and outcomes go out.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Outcome;
use super::outcome;
use super::shrink::Cut;
use crate::life;

/// How a worker ends whose life is stuck.
pub const STUCK: i32 = 75;
/// What one simulated millisecond may cost, in seconds of the processor's time: thousands of times what any does.
const STEP_SECONDS: i64 = 10;

/// Lives whatever comes, until nothing more comes.
pub fn serve(lives: impl BufRead, outcomes: impl Write + Send + 'static) -> io::Result<()> {
    let outcomes = Arc::new(Mutex::new(outcomes));
    let last_words = outcomes.clone();
    // Whoever waits for the outcome is told the story of the life that cannot be ended.
    thread::spawn(|| watch(move |stuck| drop(tell(&last_words, &stuck))));
    for line in lives.lines() {
        let cut: Cut = line?
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        tell(&outcomes, &Outcome::of(&cut))?;
    }
    Ok(())
}

fn tell(outcomes: &Mutex<impl Write>, outcome: &Outcome) -> io::Result<()> {
    let mut line = serde_json::to_vec(outcome)?;
    line.push(b'\n');
    let mut outcomes = outcomes
        .lock()
        .map_err(|e| io::Error::other(e.to_string()))?;
    outcomes.write_all(&line)?;
    outcomes.flush()
}

/// Ends the process when simulated time stands still: a task that never waits cannot be stopped from outside.
pub fn watch(tell: impl FnOnce(Outcome)) {
    let spent = || clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let (mut steps, mut since) = (life::steps(), spent());
    while steps != life::steps() || spent() - since <= STEP_SECONDS {
        thread::sleep(Duration::from_secs(1));
        let now = life::steps();
        if now != steps {
            (steps, since) = (now, spent());
        }
    }
    if let Some(stuck) = outcome::stuck() {
        tell(stuck);
    }
    std::process::exit(STUCK);
}
