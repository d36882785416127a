//! What a run says while it lasts, on standard error: lines that stay, and on a terminal one that is written over.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The voice of a run. Lines begin with the time since the faults began.
#[derive(Debug, Clone)]
pub struct Progress {
    began: Arc<Mutex<Instant>>,
    is_terminal: bool,
    in_colour: bool,
}

impl Progress {
    pub fn start() -> Progress {
        let is_terminal = stderr().is_terminal();
        Progress {
            began: Arc::new(Mutex::new(Instant::now())),
            is_terminal,
            in_colour: is_terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Counts from now.
    pub fn begin(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub fn elapsed(&self) -> Duration {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.elapsed()
    }

    /// A line that stays.
    pub fn say(&self, text: &str) {
        self.put(text, "\n");
    }

    /// A fault begins; in colour where somebody looks.
    pub fn announce(&self, kind: impl Display, story: &str) {
        let (on, off) = match self.in_colour {
            true => ("\x1b[33m", "\x1b[0m"),
            false => ("", ""),
        };
        self.say(&format!("{on}{kind:<10}{off} {story}"));
    }

    /// How things stand, where somebody looks; the next line takes its place.
    pub fn show(&self, text: &str) {
        if self.is_terminal {
            self.put(text, "\r");
        }
    }

    fn put(&self, text: &str, end: &str) {
        let clear = if self.is_terminal { "\x1b[K" } else { "" };
        let line = format!(
            "{clear}{:>7.1} s  {text}{end}",
            self.elapsed().as_secs_f64()
        );
        // Nobody may be there to read it, and the run goes on.
        let _ = stderr().lock().write_all(line.as_bytes());
    }
}
