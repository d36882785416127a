//! The phases: who is there in each, and what must hold.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::crowd::{Kind, Target};
use super::honest::{Honest, Seen};
use super::memory::{self, Limits};
use super::report::{Phase, Summary};
use super::requests;
use crate::client::Connection;
use crate::{Cluster, Settings, until};

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    pub brokers: usize,
    /// Of each phase.
    pub lasting: Duration,
    pub idle: usize,
    pub busy: usize,
    /// Of each kind that is slow or lies.
    pub slow: usize,
}

/// Where the client that behaves works, where the busy ones do, and what slow readers ask for.
const TOPIC: &str = "behaves";
const NOISE: &str = "noise";
const FULL: &str = "full";
const FULL_BYTES: usize = 24 << 20;
const RECORD_BYTES: usize = 500_000;
/// Beside those of the crowds: the other brokers', the client's, and those that are just ending.
const MORE_CONNECTIONS: usize = 1_500;
/// A crowd ends when it is told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins a command that may open as many files as the system allows.
const MANY_FILES: [&str; 3] = [
    "sh",
    "-c",
    "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\"",
];

/// A crowd's process.
struct Crowd {
    kind: Kind,
    name: String,
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts one and waits until all of it are there.
    fn start(kind: Kind, count: usize, target: &Target, what: &str) -> Result<Crowd> {
        let name = format!("{count} {} {what}", kind.name());
        // The machine's cores belong to the brokers and to the client that behaves.
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .args(MANY_FILES)
            .arg(std::env::current_exe()?)
            .args(["crowd", kind.name(), &count.to_string()])
            .args([&target.broker.to_string(), &target.full, &target.noise])
            .arg(target.frame_max.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("a piped output")?);
        let mut crowd = Crowd {
            kind,
            name,
            child,
            lines,
        };
        let line = crowd.line()?;
        ensure!(line == "ready", "{}: {line}", crowd.name);
        Ok(crowd)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Ends it, and gives what it has done.
    fn end(mut self) -> Result<(String, Value)> {
        drop(self.child.stdin.take());
        let counts = serde_json::from_str(&self.line()?)?;
        let mut status = None;
        until(PATIENCE, "the crowd's end", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        ensure!(
            status.is_some_and(|s| s.success()),
            "{}: {status:?}",
            self.name
        );
        Ok((self.name.clone(), counts))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Where it has ended there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Run<'a> {
    options: &'a Options,
    cluster: Cluster,
    honest: Honest,
    limits: Limits,
    summary: Summary,
}

pub fn run(options: &Options) -> Result<Summary> {
    let many = options.idle + options.busy + 3 * options.slow + MORE_CONNECTIONS;
    let limits = Limits {
        connections: many as u64,
    };
    let mut settings = Settings::default().brokers(options.brokers);
    settings.properties.extend(limits.properties());
    let mut cluster = Cluster::prepare(&settings)?;
    cluster.start_all()?;
    let replicas = options.brokers.min(3) as i16;
    for topic in [TOPIC, NOISE, FULL] {
        cluster.create_led_by_first(topic, replicas)?;
    }
    let broker = cluster.node(1).address;
    fill(broker)?;
    let honest = Honest::start(broker, TOPIC);
    let mut run = Run {
        options,
        cluster,
        honest,
        limits,
        summary: Summary::default(),
    };
    match run.phases(broker) {
        Ok(()) => {}
        // What has been seen so far is part of the story.
        Err(error) => {
            let tails = run.cluster.log_tails();
            run.summary.breaches.push(format!("{error:#}\n{tails}"));
        }
    }
    run.conclude()
}

/// Puts something into the topic that slow readers ask for.
fn fill(broker: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(broker, PATIENCE)?;
    for _ in 0..FULL_BYTES / RECORD_BYTES {
        let request = requests::produce(FULL, &vec![b'f'; RECORD_BYTES], -1);
        connection.ask(&request, requests::PRODUCE)?;
    }
    Ok(())
}

impl Run<'_> {
    fn phases(&mut self, broker: SocketAddr) -> Result<()> {
        let Options {
            idle, busy, slow, ..
        } = *self.options;
        let target = Target {
            broker,
            full: FULL.into(),
            noise: NOISE.into(),
            frame_max: memory::FRAME as usize,
        };
        let controller = Target {
            broker: self.cluster.node(1).controller,
            frame_max: 64 << 20,
            ..target.clone()
        };
        // Connections, logs and caches are there that a broker has in any case.
        let mut seen = Seen::default();
        until(PATIENCE, "the client that behaves has begun", || {
            seen.add(self.honest.take());
            Ok(seen.has_come_on())
        })?;
        self.phase("quiet")?;
        let (before, _) = self.cluster.node(1).memory()?;
        self.summary.at_rest_bytes = before;
        self.summary.bound_bytes = self.limits.bound(before);

        let idle_crowd = Crowd::start(Kind::Idle, idle, &target, "at the broker")?;
        self.phase("idle")?;
        let there = self.cluster.node(1).sockets()?;
        ensure!(
            there >= idle as u64,
            "{there} connections, of {idle} idle ones"
        );
        let (with_idle, _) = self.cluster.node(1).memory()?;
        let grown = with_idle as i64 - before as i64;
        self.summary.per_idle_bytes = grown / idle.max(1) as i64;
        // The idle ones stay to the end.
        let hurt = |run: &mut Self, name, crowds: &[(Kind, usize, &Target, &str)]| -> Result<()> {
            let crowds = crowds
                .iter()
                .map(|(kind, count, target, what)| Crowd::start(*kind, *count, target, what));
            let crowds = crowds.collect::<Result<Vec<Crowd>>>()?;
            run.phase(name)?;
            for crowd in crowds {
                // The others do not read what they are answered.
                let reads = matches!(crowd.kind, Kind::Busy);
                let (what, counts) = crowd.end()?;
                if reads && counts["answers"] == 0 {
                    let text = format!("{name}: {what}: nothing was answered: {counts}");
                    run.summary.breaches.push(text);
                }
                run.summary.crowds.push((what, counts));
            }
            Ok(())
        };
        let at = "at the broker";
        hurt(self, "busy", &[(Kind::Busy, busy, &target, at)])?;
        hurt(
            self,
            "slow readers",
            &[(Kind::SlowReaders, slow, &target, at)],
        )?;
        hurt(
            self,
            "slow writers",
            &[(Kind::SlowWriters, slow, &target, at)],
        )?;
        hurt(self, "giant prefixes", &[(Kind::Giants, slow, &target, at)])?;
        hurt(self, "storm", &[(Kind::Storm, STORM, &target, at)])?;
        let at = "at the controller";
        let attack = [
            (Kind::Giants, slow, &controller, at),
            (Kind::Idle, slow, &controller, at),
            (Kind::Storm, STORM, &controller, at),
        ];
        hurt(self, "controller", &attack)?;
        let at = "at the broker";
        let all = [
            (Kind::Busy, busy, &target, at),
            (Kind::SlowReaders, slow, &target, at),
            (Kind::SlowWriters, slow, &target, at),
            (Kind::Giants, slow, &target, at),
            (Kind::Storm, STORM, &target, at),
        ];
        hurt(self, "all at once", &all)?;
        self.summary.crowds.insert(0, idle_crowd.end()?);
        self.phase("quiet again")
    }

    /// Looks on for as long as a phase lasts.
    fn phase(&mut self, name: &'static str) -> Result<()> {
        eprintln!("{name}");
        self.cluster.nodes.iter().for_each(memory::forget_peak);
        let (terms, fencings) = (self.cluster.terms().len(), self.cluster.fencings().len());
        self.honest.take();
        let began = Instant::now();
        thread::sleep(self.options.lasting);
        let mut seen = self.honest.take();
        // On a machine that does other things too a phase may take longer, not for ever.
        // Where it does not, the phase is judged by that.
        let _ = until(PATIENCE, "the client that behaves goes on", || {
            seen.add(self.honest.take());
            Ok(seen.has_come_on())
        });
        let seconds = began.elapsed().as_secs_f64();
        let mut peak_bytes = 0;
        for node in &mut self.cluster.nodes {
            if let Some(status) = node.exited()? {
                bail!("{name}: broker {} has ended: {status}", node.id);
            }
            ensure!(!node.log_text().contains("panicked"), "{name}: a panic");
            peak_bytes = peak_bytes.max(node.memory()?.1);
        }
        let (rss_bytes, _) = self.cluster.node(1).memory()?;
        let phase = Phase {
            name,
            seconds,
            peak_bytes,
            rss_bytes,
            connections: self.cluster.node(1).sockets()?,
            terms: self.cluster.terms().len() - terms,
            fencings: self.cluster.fencings().len() - fencings,
            seen,
        };
        self.summary.judge(&phase);
        self.summary.phases.push(phase);
        Ok(())
    }

    fn conclude(self) -> Result<Summary> {
        let mut summary = self.summary;
        (summary.sent, summary.consumed) = self.honest.counts();
        match self.honest.finish() {
            Ok(counts) => (summary.sent, summary.consumed) = counts,
            Err(error) => summary.breaches.push(format!("{error:#}")),
        }
        Ok(summary)
    }
}

/// Connections that are opened and closed at a time.
const STORM: usize = 64;

impl Summary {
    fn judge(&mut self, phase: &Phase) {
        let name = phase.name;
        let mut breach = |text: String| self.breaches.push(format!("{name}: {text}"));
        if self.bound_bytes > 0 && phase.peak_bytes > self.bound_bytes {
            breach(format!(
                "{} bytes of memory, of {}",
                phase.peak_bytes, self.bound_bytes
            ));
        }
        if let Some(first) = phase.seen.errors.first() {
            breach(format!(
                "{} errors, the first: {first}",
                phase.seen.errors.len()
            ));
        }
        if !phase.seen.has_come_on() {
            breach("the client that behaves got nowhere".to_owned());
        }
        if phase.fencings > 0 {
            breach(format!(
                "{} brokers fenced although they live",
                phase.fencings
            ));
        }
    }
}
