//! The instances of one service: between two and four processes that share the partitions of a consumer group.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::machines::program;

use super::way::Ways;
use crate::{Stack, send};

/// The sizes that a fleet may have.
pub const LEAST: usize = 2;
pub const MOST: usize = 4;
/// How long an instance may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(60);

/// What is run several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Etl,
    Archiver,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Service::Etl => "etl",
            Service::Archiver => "archiver",
        }
    }
}

/// A place for a process, which may be empty.
#[derive(Debug)]
struct Instance {
    name: String,
    /// A name in its group that stays, for the first two; the others are new members each time.
    is_static: bool,
    metrics: SocketAddr,
    log: PathBuf,
    process: Option<Child>,
}

/// The processes of one service.
#[derive(Debug)]
pub struct Fleet {
    pub service: Service,
    program: Vec<String>,
    environment: Vec<(String, String)>,
    instances: Vec<Instance>,
}

impl Fleet {
    /// None runs yet. `ports` are those of their metrics, [`MOST`] of them.
    pub fn new(service: Service, stack: &Stack, ways: &Ways, ports: &[u16]) -> Result<Fleet> {
        let (key, mark) = stack.mark();
        let mut environment = vec![(key.to_owned(), mark.display().to_string())];
        environment.extend(ways.environment(stack.environment()?)?);
        for name in ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"] {
            environment.extend(std::env::var(name).map(|value| (name.to_owned(), value)));
        }
        let logs = stack.data().join("logs");
        fs::create_dir_all(&logs)?;
        let instance = |(number, port): (usize, &u16)| {
            let name = format!("{}-{}", service.name(), number + 1);
            Instance {
                is_static: number < LEAST,
                metrics: SocketAddr::from(([127, 0, 0, 1], *port)),
                log: logs.join(format!("{name}.log")),
                process: None,
                name,
            }
        };
        Ok(Fleet {
            service,
            program: command(service, stack, ways)?,
            environment,
            instances: ports.iter().enumerate().map(instance).collect(),
        })
    }

    /// Where each of them shows its metrics while it runs.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.instances.iter().map(|instance| instance.metrics)
    }

    pub fn name(&self, place: usize) -> &str {
        &self.instances[place].name
    }

    /// The places where a process runs.
    pub fn running(&self) -> Vec<usize> {
        let running = |place: &usize| self.instances[*place].process.is_some();
        (0..self.instances.len()).filter(running).collect()
    }

    pub fn size(&self) -> usize {
        self.running().len()
    }

    /// Places where another process may be started, those of static members first.
    pub fn free(&self) -> Vec<usize> {
        let free = |place: &usize| self.instances[*place].process.is_none();
        (0..self.instances.len()).filter(free).collect()
    }

    pub fn start(&mut self, place: usize) -> Result<()> {
        let instance = &mut self.instances[place];
        if instance.process.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&instance.log)?;
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("METRICS_ADDR", instance.metrics.to_string())
            // A signal for the run is none for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::try_clone(&log)?)
            .stderr(log);
        if instance.is_static {
            command.env("INSTANCE_ID", &instance.name);
        }
        let started = command.spawn();
        instance.process = Some(started.with_context(|| self.program.join(" "))?);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self, place: usize) -> Result<()> {
        if let Some(mut process) = self.instances[place].process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for an end in order.
    pub fn stop(&mut self, place: usize) -> Result<()> {
        let instance = &mut self.instances[place];
        let Some(process) = &mut instance.process else {
            return Ok(());
        };
        send("TERM", process.id().into())?;
        let name = instance.name.clone();
        let status = cluster::within(STOP, &format!("{name} ends"), || Ok(process.try_wait()?))?;
        instance.process = None;
        ensure!(
            status.success(),
            "{name}, asked to stop, ends with {status}"
        );
        Ok(())
    }

    /// Those that have ended although nobody asked them to. Their places are empty from now on.
    pub fn ended(&mut self) -> Vec<(usize, ExitStatus)> {
        let mut ended = Vec::new();
        for (place, instance) in self.instances.iter_mut().enumerate() {
            let gone = instance.process.as_mut().and_then(|process| {
                let gone = process.try_wait();
                gone.unwrap_or_default()
            });
            if let Some(status) = gone {
                instance.process = None;
                ended.push((place, status));
            }
        }
        ended
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for place in 0..self.instances.len() {
            let _ = self.kill(place);
        }
    }
}

/// The program with its arguments, behind what has it end with the run however that ends.
fn command(service: Service, stack: &Stack, ways: &Ways) -> Result<Vec<String>> {
    let guard = program("setpriv").context("no setpriv")?;
    let binary = cluster::binary(service.name())?;
    let text = |path: PathBuf| path.display().to_string();
    let mut command = vec![
        text(guard),
        "--pdeathsig".into(),
        "KILL".into(),
        "--".into(),
        text(binary),
    ];
    if service == Service::Archiver {
        command.extend([
            "--config".into(),
            text(stack.root().join("deploy/s3_conn_config.json")),
            "--store-url".into(),
            format!("http://{}", ways.s3.address),
        ]);
    }
    Ok(command)
}
