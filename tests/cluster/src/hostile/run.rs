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
use super::latency::Stage;
use super::memory::{self, Limits};
use super::report::{Phase, Summary};
use super::requests;
use crate::client::Connection;
use crate::{Cluster, Settings, http, until};

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
/// Between two probes of the HTTP port.
const PROBES: Duration = Duration::from_millis(200);
/// Whoever has no room at the HTTP port comes again at once: more of them than this would be a storm.
const PAGES: usize = 200;
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
    /// Terms and fencings up to the last phase.
    told: (usize, usize),
    summary: Summary,
}

fn told(cluster: &Cluster) -> (usize, usize) {
    (cluster.terms().len(), cluster.fencings().len())
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
        told: told(&cluster),
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
        let http = Target {
            broker: self.cluster.node(1).http,
            ..target.clone()
        };
        // Connections, logs and caches are there that a broker has in any case.
        let mut seen = Seen::default();
        until(PATIENCE, "the client that behaves has begun", || {
            seen.add(self.honest.take());
            Ok(seen.has_come_on())
        })?;
        self.phase("quiet", Stage::Quiet)?;
        let (before, _) = self.cluster.node(1).memory()?;
        self.summary.at_rest_bytes = before;
        self.summary.bound_bytes = self.limits.bound(before);

        // The idle ones stay to the end.
        let idle_crowd = Crowd::start(Kind::Idle, idle, &target, "at the broker")?;
        self.phase("idle", Stage::Calm)?;
        let there = self.cluster.node(1).sockets()?;
        ensure!(
            there >= idle as u64,
            "{there} connections, of {idle} idle ones"
        );
        let (with_idle, _) = self.cluster.node(1).memory()?;
        let grown = with_idle as i64 - before as i64;
        self.summary.per_idle_bytes = grown / idle.max(1) as i64;

        let at = "at the broker";
        let busy = (Kind::Busy, busy, &target, at);
        let readers = (Kind::SlowReaders, slow, &target, at);
        let writers = (Kind::SlowWriters, slow, &target, at);
        let giants = (Kind::Giants, slow, &target, at);
        let storm = (Kind::Storm, STORM, &target, at);
        self.attack("busy", &[busy])?;
        self.attack("slow readers", &[readers])?;
        self.attack("slow writers", &[writers])?;
        self.attack("giant prefixes", &[giants])?;
        self.attack("storm", &[storm])?;
        let at = "at the controller";
        let quorum = [
            (Kind::Giants, slow, &controller, at),
            (Kind::Idle, slow, &controller, at),
            (Kind::Storm, STORM, &controller, at),
        ];
        self.attack("controller", &quorum)?;
        let (at, few) = ("at the HTTP port", slow.min(PAGES));
        let pages = [
            (Kind::Giants, few, &http, at),
            (Kind::Idle, few, &http, at),
            (Kind::Storm, STORM, &http, at),
        ];
        self.attack("http", &pages)?;
        self.attack("all at once", &[busy, readers, writers, giants, storm])?;
        self.summary.crowds.insert(0, idle_crowd.end()?);
        self.phase("quiet again", Stage::Quiet)?;
        self.summary.judge_latency();
        Ok(())
    }

    /// Crowds for as long as a phase lasts, and then calm as long.
    fn attack(&mut self, name: &'static str, crowds: &[Attack]) -> Result<()> {
        let crowds = crowds
            .iter()
            .map(|(kind, count, target, what)| Crowd::start(*kind, *count, target, what));
        let crowds = crowds.collect::<Result<Vec<Crowd>>>()?;
        self.phase(name, Stage::Attack)?;
        for crowd in crowds {
            let kind = crowd.kind;
            let (what, counts) = crowd.end()?;
            if let Some(lacking) = kind.lacking(&counts) {
                let text = format!("{name}: {what}: {lacking}: {counts}");
                self.summary.breaches.push(text);
            }
            self.summary.crowds.push((what, counts));
        }
        self.phase("calm", Stage::Calm)
    }

    /// Looks on for as long as a phase lasts.
    fn phase(&mut self, name: &'static str, stage: Stage) -> Result<()> {
        eprintln!("{name}");
        let errors = self.settle(stage);
        let began = Instant::now();
        let probes = self.probe();
        let mut seen = self.honest.take();
        seen.errors.extend(errors);
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
        // From here on, for what comes is under way before its phase begins.
        self.cluster.nodes.iter().for_each(memory::forget_peak);
        let before = self.told;
        self.told = told(&self.cluster);
        let phase = Phase {
            name,
            stage,
            seconds,
            peak_bytes,
            rss_bytes,
            connections: self.cluster.node(1).sockets()?,
            terms: self.told.0 - before.0,
            fencings: self.told.1 - before.1,
            probes,
            seen,
        };
        self.summary.judge(&phase);
        self.summary.phases.push(phase);
        Ok(())
    }

    /// Begins anew with what the client sees, but for errors, which it gives. What was under way when an attack ended is
    /// none of the calm's.
    fn settle(&self, stage: Stage) -> Vec<String> {
        let mut before = self.honest.take();
        if stage == Stage::Attack {
            return before.errors;
        }
        let mut since = Seen::default();
        // Where it does not come on, the phase is judged by that.
        let _ = until(PATIENCE, "the client that behaves goes on", || {
            since.add(self.honest.take());
            Ok(since.has_come_on())
        });
        before.errors.append(&mut since.errors);
        before.errors
    }

    /// Probes the HTTP port while the phase lasts; gives how many had an answer, and how many had none.
    fn probe(&mut self) -> (usize, usize) {
        let began = Instant::now();
        let (mut answered, mut failed) = (0, 0);
        while began.elapsed() < self.options.lasting {
            match http::get(self.cluster.node(1).http, "/healthz") {
                Ok(_) => answered += 1,
                Err(_) => failed += 1,
            }
            let left = self.options.lasting.saturating_sub(began.elapsed());
            thread::sleep(PROBES.min(left));
        }
        (answered, failed)
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

/// What a crowd is, how many, whom they bother, and where that is.
type Attack<'a> = (Kind, usize, &'a Target, &'a str);

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
        let (answered, failed) = phase.probes;
        if failed >= answered {
            breach(format!(
                "of {} probes of the HTTP port {answered} were answered",
                answered + failed
            ));
        }
        if phase.fencings > 0 {
            breach(format!(
                "{} brokers fenced although they live",
                phase.fencings
            ));
        }
    }
}
