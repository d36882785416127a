//! Faults carried out, and the waits until everything is well again.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pipeline::KafkaOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::deed::{Deed, STORM, deed};
use super::guard::{Guard, Recipe};
use super::machine::Machine;
use super::plan::{Fault, Kind};
use super::stack::Stack;
use crate::cluster::View;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);
/// The mesh is left alone for so long between two faults.
const CALM: Duration = Duration::from_secs(3);

/// The mesh, and how patient one is with it.
pub struct Field {
    pub stack: Stack,
    pub machine: Machine,
    pub kafka: KafkaOptions,
    pub within: Duration,
}

impl Field {
    /// Hurts one part and waits until everything is well again, whatever comes between.
    pub async fn hurt(&self, fault: &Fault, interrupt: &mut Interrupt) -> anyhow::Result<()> {
        let name = fault.part.as_str();
        let part = self.stack.part(name)?;
        match deed(fault, &part, &self.stack, &self.machine)? {
            Deed::Signal(signal) => self.end(name, signal).await?,
            Deed::Storm => self.storm(name).await?,
            Deed::Held(recipe) => self
                .hold(fault, &recipe, interrupt)
                .await
                .with_context(|| fault.to_string())?,
        }
        if fault.kind == Kind::CrashPostgres {
            // It waits until the store answers, and starts nothing that runs.
            self.stack.run(&["up", "--only", name])?;
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
        send(signal, before)?;
        self.another(name, Some(before)).await
    }

    /// Waits until a part runs as another process.
    async fn another(&self, name: &str, before: Option<u64>) -> anyhow::Result<()> {
        let what = format!("another process of {name}");
        self.until(&what, async || {
            let part = self.stack.part(name)?;
            ensure!(part.state == "running", "it is {}", part.state);
            ensure!(part.pid != before, "it has not ended");
            Ok(())
        })
        .await
    }

    /// kill -9 of each process that the supervisor starts, as soon as it is there.
    async fn storm(&self, name: &str) -> anyhow::Result<()> {
        let mut before = None;
        for _ in 0..STORM {
            let what = format!("process of {name} to kill");
            self.until(&what, async || {
                let pid = self.pid(name)?;
                ensure!(Some(pid) != before, "it has not been started again");
                Ok(())
            })
            .await?;
            let pid = self.pid(name)?;
            send("KILL", pid)?;
            before = Some(pid);
        }
        self.another(name, before).await
    }

    /// A fault that a guard begins, and ends after its time or when somebody wants the end.
    async fn hold(
        &self,
        fault: &Fault,
        recipe: &Recipe,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<()> {
        let guard = tokio::task::block_in_place(|| Guard::hold(recipe))?;
        interrupt.or(recipe.lasts).await;
        let during = self.stack.part(&fault.part)?.pid;
        for line in tokio::task::block_in_place(|| guard.release())? {
            eprintln!("       {line}");
        }
        match fault.kind {
            // It is started once more, with the configuration that it had.
            Kind::FullDisk => self.another(&fault.part, during).await,
            _ => Ok(()),
        }
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

fn send(signal: &str, pid: u64) -> anyhow::Result<()> {
    // The shell's own kill: a minimal system has no other.
    let done = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid.to_string()])
        .status()?;
    ensure!(done.success(), "kill -s {signal} {pid}: {done}");
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
