//! The clients of a run: started, killed, started again, asked to end, and read.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::histories::Histories;
use super::history::{Journal, Told};
use super::java::Java;
use super::pace::Pace;

/// Records that each producer writes in a second.
pub const PER_SECOND: u32 = 150;
/// The number of the Java producer, behind those of rdkafka.
const JAVA_NUMBER: u32 = 3;
/// How long a client may take to end when it is asked to: a producer must get its last records through.
const END: Duration = Duration::from_secs(150);

/// Members of the groups: name, group, whether static, how partitions are shared.
const MEMBERS: [(&str, &str, bool, &str); 4] = [
    ("dynamic-1", "dynamic", false, "range,roundrobin"),
    ("dynamic-2", "dynamic", false, "range,roundrobin"),
    ("static-1", "static", true, "cooperative-sticky"),
    ("static-2", "static", true, "cooperative-sticky"),
];
/// How many consumers there are.
pub const CONSUMERS: usize = MEMBERS.len();
/// The groups that they form.
pub const GROUPS: [&str; 2] = ["dynamic", "static"];

/// A client, whether it runs or not.
#[derive(Debug)]
struct Client {
    name: String,
    words: Vec<String>,
    journal: PathBuf,
    output: PathBuf,
    child: Option<Child>,
}

impl Client {
    fn new(directory: &Path, name: &str, words: Vec<String>) -> Client {
        Client {
            name: name.into(),
            words,
            journal: directory.join(format!("{name}.history")),
            output: directory.join(format!("{name}.log")),
            child: None,
        }
    }

    fn start(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.output)?;
        let (program, arguments) = self.words.split_first().context("nothing to start")?;
        let child = Command::new(program)
            .args(arguments)
            // A signal for the run is none for it; it ends when its standard input does.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        self.child = Some(child);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("not running")?;
        child.kill()?;
        child.wait()?;
        Journal::open(&self.journal)?.tell(&Told::Ended);
        Ok(())
    }

    fn ask(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
        }
    }

    /// Waits for the end that was asked for.
    fn wait(&mut self, pace: &Pace) -> Result<()> {
        let mut status: Option<ExitStatus> = None;
        let child = self.child.as_mut().context("not running")?;
        pace.until(END, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        let Some(status) = status else {
            if pace.is_stopped() {
                return self.kill();
            }
            bail!("{} has not ended {END:?} after it was asked", self.name);
        };
        self.child = None;
        ensure!(status.success(), "{}: {status}: {}", self.name, self.said());
        Ok(())
    }

    /// The last that it has written.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        text.lines().last().unwrap_or_default().into()
    }

    fn check(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            bail!("{} has ended: {status}: {}", self.name, self.said());
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// All clients, and what they have told.
#[derive(Debug)]
pub struct Workload {
    producers: Vec<Client>,
    consumers: Vec<Client>,
    pub histories: Histories,
}

impl Workload {
    /// Starts all of them. Without Java there is no Java producer.
    pub fn start(directory: &Path, bootstrap: &str, java: Option<&Java>) -> Result<Workload> {
        fs::create_dir_all(directory)?;
        let own = std::env::current_exe()?.display().to_string();
        let journal = |name: &str| {
            directory
                .join(format!("{name}.history"))
                .display()
                .to_string()
        };
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| word.to_string())
                .collect::<Vec<_>>()
        };
        let rate = PER_SECOND.to_string();
        let mut producers: Vec<Client> = ["1", "2"]
            .iter()
            .map(|number| {
                let name = format!("producer-{number}");
                let path = journal(&name);
                let all = [&own, "produce", bootstrap, number, &rate, &path];
                Client::new(directory, &name, words(&all))
            })
            .collect();
        if let Some(java) = java {
            let name = format!("java-{}", JAVA_NUMBER);
            let all = java.producer(bootstrap, JAVA_NUMBER, PER_SECOND, &journal(&name));
            producers.push(Client::new(directory, &name, all));
        }
        let consumers = MEMBERS.iter().map(|(name, group, is_static, assignor)| {
            let path = journal(name);
            let mut all = words(&[&own, "consume", bootstrap, group, assignor, &path]);
            if *is_static {
                all.extend(words(&["--instance", name]));
            }
            Client::new(directory, name, all)
        });
        let consumers: Vec<Client> = consumers.collect();
        let mut histories = Histories::default();
        for client in &producers {
            histories.add_producer(&client.name, &client.journal);
        }
        for (client, (_, group, ..)) in consumers.iter().zip(MEMBERS) {
            histories.add_member(&client.name, group, &client.journal);
        }
        let mut workload = Workload {
            producers,
            consumers,
            histories,
        };
        for client in workload.producers.iter_mut().chain(&mut workload.consumers) {
            client.start()?;
        }
        Ok(workload)
    }

    /// The name of a consumer.
    pub fn consumer(&self, which: usize) -> &str {
        &self.consumers[which].name
    }

    pub fn kill_consumer(&mut self, which: usize) -> Result<()> {
        self.consumers[which].kill()
    }

    /// Has a consumer leave its group; it is waited for where it is started again.
    pub fn ask_consumer(&mut self, which: usize) {
        self.consumers[which].ask();
    }

    /// Starts a consumer that was killed or asked to leave.
    pub fn restart_consumer(&mut self, which: usize, pace: &Pace) -> Result<()> {
        if self.consumers[which].child.is_some() {
            self.consumers[which].wait(pace)?;
        }
        self.consumers[which].start()
    }

    /// Starts consumers anew whom their client library has given up on, and tells which and why. A producer that has
    /// ended is an error: it is never to give up.
    pub fn check(&mut self) -> Result<Vec<String>> {
        self.producers.iter_mut().try_for_each(Client::check)?;
        let mut anew = Vec::new();
        for consumer in &mut self.consumers {
            if let Err(error) = consumer.check() {
                consumer.child = None;
                consumer.start()?;
                anew.push(format!("{error:#}"));
            }
        }
        Ok(anew)
    }

    /// Has the producers end, once all they have sent is acknowledged.
    pub fn end_producers(&mut self, pace: &Pace) -> Result<()> {
        self.producers.iter_mut().for_each(Client::ask);
        let ended = self.producers.iter_mut().map(|client| client.wait(pace));
        // All are waited for, whatever has become of the first.
        ended.collect::<Vec<_>>().into_iter().collect()
    }

    pub fn end_consumers(&mut self, pace: &Pace) -> Result<()> {
        self.consumers.iter_mut().for_each(Client::ask);
        let mut all = self.consumers.iter_mut();
        all.try_for_each(|consumer| consumer.wait(pace))
    }
}
