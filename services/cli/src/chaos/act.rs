//! Faults carried out, and the waits until everything is well again.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pipeline::KafkaOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::plan::{Fault, Kind};
use super::stack::Stack;
use crate::cluster::View;

/// Longer than the session after which a silent broker is fenced (`broker.session.timeout.ms`, 9 s).
const PAUSE: Duration = Duration::from_secs(12);
/// How long a store is away.
const OUTAGE: Duration = Duration::from_secs(8);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);
/// The mesh is left alone for so long between two faults.
const CALM: Duration = Duration::from_secs(3);

/// The mesh, and how patient one is with it.
pub struct Field {
    pub stack: Stack,
    pub kafka: KafkaOptions,
    pub within: Duration,
}

impl Field {
    /// Hurts one part and waits until everything is well again, whatever comes between.
    pub async fn hurt(&self, fault: &Fault, interrupt: &mut Interrupt) -> anyhow::Result<()> {
        let part = fault.part.as_str();
        match fault.kind {
            Kind::KillBroker | Kind::KillEtl | Kind::KillArchiver => self.end(part, "KILL").await?,
            Kind::CrashPostgres => self.end(part, "QUIT").await?,
            Kind::PauseBroker => self.pause(part, interrupt).await?,
            Kind::OutageOpensearch | Kind::OutageS3 => {
                let stopped = self.stack.run(&["down", "--only", part]);
                interrupt.or(OUTAGE).await;
                self.stack.run(&["up", "--only", part])?;
                stopped?;
            }
        }
        if fault.kind == Kind::CrashPostgres {
            // It waits until the store answers, and starts nothing that runs.
            self.stack.run(&["up", "--only", part])?;
        }
        let began = Instant::now();
        self.wait_well()
            .await
            .with_context(|| format!("after {fault}"))?;
        eprintln!(
            "       well again {:.1} s after that",
            began.elapsed().as_secs_f64()
        );
        interrupt.or(CALM).await;
        Ok(())
    }

    /// A signal that ends the process; its supervisor starts another.
    async fn end(&self, name: &str, signal: &str) -> anyhow::Result<()> {
        let before = self.pid(name)?;
        shell("kill -s \"$0\" \"$1\"", &[signal, &before.to_string()])?;
        let another = format!("another process of {name}");
        self.until(&another, async || {
            let part = self.stack.part(name)?;
            ensure!(part.state == "running", "it is {}", part.state);
            ensure!(part.pid != Some(before), "it has not ended");
            Ok(())
        })
        .await
    }

    /// SIGSTOP and, by a process of its own that nothing done to us hinders, SIGCONT.
    async fn pause(&self, name: &str, interrupt: &mut Interrupt) -> anyhow::Result<()> {
        let pid = self.pid(name)?.to_string();
        let mut guard = Command::new("sh")
            .arg("-c")
            .arg("kill -s STOP \"$0\"; sleep \"$1\"; kill -s CONT \"$0\"")
            .args([&pid, &PAUSE.as_secs().to_string()])
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()?;
        interrupt.or(PAUSE).await;
        shell("kill -s CONT \"$0\"", &[&pid])?;
        tokio::task::block_in_place(|| guard.wait())?;
        Ok(())
    }

    fn pid(&self, name: &str) -> anyhow::Result<u64> {
        let part = self.stack.part(name)?;
        part.pid
            .with_context(|| format!("{name} is {}", part.state))
    }

    /// Waits until every part runs, services are ready, and every replica is in sync: one more fault is then survived.
    pub async fn wait_well(&self) -> anyhow::Result<()> {
        self.until("a mesh that is well", async || self.is_well().await)
            .await
    }

    async fn is_well(&self) -> anyhow::Result<()> {
        let parts = self.stack.parts()?;
        for part in &parts {
            ensure!(part.state == "running", "{} is {}", part.name, part.state);
        }
        let services = ["weblog-generator", "bakery-producer", "etl", "archiver"];
        for part in parts.iter().filter(|part| services.contains(&&*part.name)) {
            let url = format!("http://{}/readyz", part.address);
            let answer = reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(5))
                .build()?
                .get(url)
                .send()
                .await?;
            let status = answer.status();
            ensure!(
                status.is_success(),
                "{} is not ready: {}",
                part.name,
                answer.text().await?.trim()
            );
        }
        let view = View::read(&self.kafka).await?;
        if let Some(broker) = view.brokers.values().find(|broker| broker.fenced) {
            bail!("broker {} is fenced", broker.id);
        }
        let behind = view.partitions.iter().find(|p| p.is_under_replicated());
        if let Some(partition) = behind {
            let (topic, index) = &partition.name;
            bail!("{topic}-{index} is in sync on {:?} only", partition.in_sync);
        }
        Ok(())
    }

    async fn until(
        &self,
        what: &str,
        condition: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            match condition().await {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() > self.within => {
                    return Err(error.context(format!("no {what} within {:?}", self.within)));
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }
}

/// The shell's own kill: a minimal system has no other.
fn shell(script: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let done = Command::new("sh")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .status()?;
    ensure!(done.success(), "{script} {}: {done}", arguments.join(" "));
    Ok(())
}

/// Ctrl-C and SIGTERM, which end waits and nothing else.
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
    has_come: bool,
}

impl Interrupt {
    pub fn listen() -> anyhow::Result<Interrupt> {
        Ok(Interrupt {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            has_come: false,
        })
    }

    pub fn has_come(&self) -> bool {
        self.has_come
    }

    /// Waits for so long, or until somebody wants the end.
    async fn or(&mut self, time: Duration) {
        if self.has_come {
            return;
        }
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => self.has_come = true,
            _ = self.terminate.recv() => self.has_come = true,
            () = sleep(time) => {}
        }
    }
}
