//! How far a batch is: a line that changes on a terminal, a few lines elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Lines that are printed where nobody looks on.
const STEPS: u64 = 20;

/// Prints to the standard error output.
pub struct Progress {
    began: Instant,
    total: u64,
    done: u64,
    failed: u64,
    on_terminal: bool,
}

impl Progress {
    pub fn new(total: u64) -> Progress {
        Progress {
            began: Instant::now(),
            total,
            done: 0,
            failed: 0,
            on_terminal: stderr().is_terminal(),
        }
    }

    /// One more is over.
    pub fn step(&mut self, failed: bool) {
        self.done += 1;
        self.failed += u64::from(failed);
        let line = line(self.total, self.done, self.failed, self.began.elapsed());
        let every = (self.total / STEPS).max(1);
        if self.on_terminal {
            eprint!("\r\x1b[K{line}");
            // Where the terminal has gone, so has whoever wanted to see it.
            let _ = stderr().flush();
        } else if self.done.is_multiple_of(every) && self.total > STEPS {
            eprintln!("{line}");
        }
    }

    /// Makes room for lines of another kind.
    pub fn clear(&self) {
        if self.on_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(total: u64, done: u64, failed: u64, elapsed: Duration) -> String {
    let each = elapsed.div_f64(done.max(1) as f64);
    let left = each.mul_f64(total.saturating_sub(done) as f64).as_secs();
    let minutes = left / 60;
    let rate = 1.0 / each.as_secs_f64().max(f64::EPSILON);
    format!("{done} of {total} lives, {failed} failed, {rate:.1} a second, {minutes} min left")
}
