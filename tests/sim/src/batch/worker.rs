//! A worker's own side: seeds come in, one a line, and outcomes go out.

use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Outcome;
use crate::life;

/// How a worker ends whose life is stuck.
pub const STUCK: i32 = 75;
/// What one simulated millisecond may cost, in seconds of the processor's time: thousands of times what any does.
const STEP_SECONDS: i64 = 10;

/// Lives every seed that comes, until no more come.
pub fn serve(seeds: impl BufRead, mut outcomes: impl Write, shrinks: bool) -> io::Result<()> {
    thread::spawn(watch);
    for line in seeds.lines() {
        let seed = line?.trim().parse();
        let seed = seed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        serde_json::to_writer(&mut outcomes, &Outcome::of(seed, shrinks))?;
        outcomes.write_all(b"\n")?;
        outcomes.flush()?;
    }
    Ok(())
}

/// Ends the process when simulated time stands still: a task that never waits cannot be stopped from outside.
fn watch() {
    let spent = || clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let (mut steps, mut since) = (life::steps(), spent());
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = life::steps();
        if now != steps {
            (steps, since) = (now, spent());
        } else if spent() - since > STEP_SECONDS {
            std::process::exit(STUCK);
        }
    }
}
