//! The other side: processes that are given one seed after the other.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Outcome;
use super::shrink::{Cut, smallest};
use super::worker::STUCK;

/// What the workers have to tell.
#[derive(Debug)]
pub enum News {
    Began { seed: u64 },
    Ended(Outcome),
}

type Seeds = Arc<Mutex<dyn Iterator<Item = u64> + Send>>;

/// Who lives the seeds: the program that serves them when its only argument is `worker`, several at a time.
pub struct Workers {
    program: PathBuf,
    jobs: usize,
    /// Whether a life that fails is made as small as it can be.
    shrinks: bool,
}

impl Workers {
    pub fn new(program: PathBuf, jobs: usize, shrinks: bool) -> Workers {
        let jobs = jobs.max(1);
        Workers {
            program,
            jobs,
            shrinks,
        }
    }

    /// Lives the seeds. The news end when all of them are over; who no longer listens ends the rest.
    pub fn live(self, seeds: impl Iterator<Item = u64> + Send + 'static) -> Receiver<News> {
        let seeds: Seeds = Arc::new(Mutex::new(seeds));
        let (news, listener) = sync_channel(self.jobs);
        for _ in 0..self.jobs {
            let (seeds, news, shrinks) = (seeds.clone(), news.clone(), self.shrinks);
            let place = Workplace::new(self.program.clone());
            thread::spawn(move || place.drive(&seeds, &news, shrinks));
        }
        listener
    }
}

/// Where one worker works, and another when it has died over a life.
struct Workplace {
    program: PathBuf,
    worker: Option<Worker>,
}

impl Workplace {
    fn new(program: PathBuf) -> Workplace {
        let worker = None;
        Workplace { program, worker }
    }

    fn drive(mut self, seeds: &Seeds, news: &SyncSender<News>, shrinks: bool) {
        let next = || seeds.lock().ok().and_then(|mut seeds| seeds.next());
        while let Some(seed) = next() {
            let told = news.send(News::Began { seed });
            let outcome = self.judge(seed, shrinks);
            if told.and(news.send(News::Ended(outcome))).is_err() {
                return;
            }
        }
    }

    fn judge(&mut self, seed: u64, shrinks: bool) -> Outcome {
        let outcome = self.live(&Cut::none(seed));
        if outcome.failure.is_none() || !shrinks {
            return outcome.told(None);
        }
        let fails = |cut: &Cut| Some(self.live(cut)).filter(|tried| tried.failure.is_some());
        let (cut, outcome) = smallest(seed, outcome, fails);
        outcome.told(Some(&cut))
    }

    fn live(&mut self, cut: &Cut) -> Outcome {
        let asked = match self.worker.take() {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.program),
        };
        let lived = asked.and_then(|mut asked| {
            let outcome = asked.live(cut)?;
            // One that has failed may be about to end of it.
            self.worker = Some(asked).filter(|_| outcome.failure.is_none());
            Ok(outcome)
        });
        lived.unwrap_or_else(|error| {
            let plan = cut.plan();
            Outcome::broken(cut, &format!("the worker: {error}\n{plan}"))
        })
    }
}

/// A process that waits for lives, and ends with its owner.
struct Worker {
    process: Child,
    lives: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Worker {
    fn start(program: &Path) -> io::Result<Worker> {
        let mut process = Command::new(program)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (lives, outcomes) = (process.stdin.take(), process.stdout.take());
        Ok(Worker {
            process,
            lives: lives.ok_or(io::ErrorKind::BrokenPipe)?,
            outcomes: BufReader::new(outcomes.ok_or(io::ErrorKind::BrokenPipe)?),
        })
    }

    fn live(&mut self, cut: &Cut) -> io::Result<Outcome> {
        writeln!(self.lives, "{cut}")?;
        let mut line = String::new();
        match self.outcomes.read_line(&mut line)? {
            0 => Err(io::Error::other(ended(self.process.wait()?))),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(STUCK) => "simulated time stood still, as some task never waits".into(),
        _ => format!("ended: {status}"),
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
