//! The other side: processes that are given one seed after the other.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Outcome;
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
}

impl Workers {
    pub fn new(program: PathBuf, jobs: usize) -> Workers {
        let jobs = jobs.max(1);
        Workers { program, jobs }
    }

    /// Lives the seeds. The news end when all of them are over; who no longer listens ends the rest.
    pub fn live(self, seeds: impl Iterator<Item = u64> + Send + 'static) -> Receiver<News> {
        let seeds: Seeds = Arc::new(Mutex::new(seeds));
        let (news, listener) = sync_channel(self.jobs);
        for _ in 0..self.jobs {
            let (seeds, news, program) = (seeds.clone(), news.clone(), self.program.clone());
            thread::spawn(move || drive(&program, &seeds, &news));
        }
        listener
    }
}

/// Hands seeds to one worker, and to another when it has died over one.
fn drive(program: &Path, seeds: &Seeds, news: &SyncSender<News>) {
    let mut worker = None;
    let next = || seeds.lock().ok().and_then(|mut seeds| seeds.next());
    while let Some(seed) = next() {
        let asked = match worker.take() {
            Some(worker) => Ok(worker),
            None => Worker::start(program),
        };
        let told = news.send(News::Began { seed });
        let lived = asked.and_then(|mut asked| {
            let outcome = asked.live(seed)?;
            worker = Some(asked);
            Ok(outcome)
        });
        let outcome =
            lived.unwrap_or_else(|error| Outcome::broken(seed, &format!("the worker: {error}")));
        if told.and(news.send(News::Ended(outcome))).is_err() {
            return;
        }
    }
}

/// A process that waits for seeds, and ends with its owner.
struct Worker {
    process: Child,
    seeds: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Worker {
    fn start(program: &Path) -> io::Result<Worker> {
        let mut process = Command::new(program)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (seeds, outcomes) = (process.stdin.take(), process.stdout.take());
        Ok(Worker {
            process,
            seeds: seeds.ok_or(io::ErrorKind::BrokenPipe)?,
            outcomes: BufReader::new(outcomes.ok_or(io::ErrorKind::BrokenPipe)?),
        })
    }

    fn live(&mut self, seed: u64) -> io::Result<Outcome> {
        writeln!(self.seeds, "{seed}")?;
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
