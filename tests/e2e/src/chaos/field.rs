//! The mesh that is hurt: a native stack for brokers, stores and generators, and fleets of services that the run has itself.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::chaos::Pace;
use cluster::{http, ports};

use super::fleet::{Fleet, LEAST, MOST, Service};
use super::way::Ways;
use crate::Stack;
use crate::poison::Letter;

pub const GENERATORS: [&str; 2] = ["weblog-generator", "bakery-producer"];
pub const BROKERS: u64 = 3;
/// Partitions of both topics together.
pub const PARTITIONS: usize = 12;
/// How long a part may take to be back.
pub const BACK: Duration = Duration::from_secs(180);
/// Records that the generators send in each second.
const WEB_LOGS: u32 = 150;
const ORDERS: u32 = 50;

#[derive(Debug)]
pub struct Field {
    // In the order in which they go: services end before what they stand on.
    pub etl: Fleet,
    pub archiver: Fleet,
    pub ways: Ways,
    pub stack: Stack,
    /// The dead letters that must come of the poison so far.
    pub poison: BTreeSet<Letter>,
    pub pace: Pace,
}

impl Field {
    /// Starts all of it, in a directory of the run's own.
    pub fn start(pace: Pace) -> Result<Field> {
        let web_logs = format!("--rate {WEB_LOGS} --steady");
        let orders = format!("--rate {ORDERS} --steady");
        let variables = [
            ("WEBLOG_GENERATOR_ARGS", web_logs.as_str()),
            ("BAKERY_PRODUCER_ARGS", &orders),
            ("WITHOUT", "prometheus,alertmanager,grafana"),
            // A machine that is busy with other things starts a mesh slowly.
            ("UP_DEADLINE_S", "900"),
        ];
        let binary = std::env::current_exe()?;
        let target = binary.ancestors().nth(2).context("cargo's layout")?;
        let stack = Stack::new(&target.join("tmp"), "chaos-mesh", &variables)?;
        let parts = [&["stores", "brokers"][..], &GENERATORS].concat();
        stack.run(&["up", "--only", &parts.join(",")])?;
        let ways = Ways::open(&stack.environment()?)?;
        let ports = ports::free(2 * MOST)?;
        let (of_etl, of_archiver) = ports.split_at(MOST);
        let mut field = Field {
            etl: Fleet::new(Service::Etl, &stack, &ways, of_etl)?,
            archiver: Fleet::new(Service::Archiver, &stack, &ways, of_archiver)?,
            ways,
            stack,
            poison: BTreeSet::new(),
            pace,
        };
        for place in 0..LEAST {
            field.etl.start(place)?;
            field.archiver.start(place)?;
        }
        Ok(field)
    }

    pub fn fleet(&mut self, service: Service) -> &mut Fleet {
        match service {
            Service::Etl => &mut self.etl,
            Service::Archiver => &mut self.archiver,
        }
    }

    pub fn fleets(&mut self) -> [&mut Fleet; 2] {
        [&mut self.etl, &mut self.archiver]
    }

    /// Where generators, and all services, show their metrics.
    pub fn addresses(&self) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
        let generators = GENERATORS.iter().map(|name| self.listens(name));
        let services = self.etl.addresses().chain(self.archiver.addresses());
        Ok((generators.collect::<Result<_>>()?, services.collect()))
    }

    fn listens(&self, part: &str) -> Result<SocketAddr> {
        Ok(self.stack.address(part)?.parse()?)
    }

    /// Waits until a part that was hurt does its work again.
    pub fn wait_back(&self, part: &str) -> Result<()> {
        match part.starts_with("broker-") {
            true => self.wait_ready(part),
            // It looks whether the part works, and starts nothing that runs.
            false => self.stack.run(&["up", "--only", part]).map(drop),
        }
    }

    fn wait_ready(&self, broker: &str) -> Result<()> {
        let address = self.broker_http(broker)?;
        let mut last = String::new();
        let is_back = self.pace.until(BACK, || {
            let asked = http::get(address, "/readyz");
            last = asked
                .as_ref()
                .map_or_else(ToString::to_string, Clone::clone);
            asked.is_ok()
        });
        let may_go = is_back || self.pace.is_stopped();
        ensure!(may_go, "{broker} is not ready after {BACK:?}: {last}");
        Ok(())
    }

    /// Where a broker says whether it is ready, as its configuration has it.
    fn broker_http(&self, broker: &str) -> Result<SocketAddr> {
        let file = self
            .stack
            .data()
            .join(format!("config/{broker}.properties"));
        let text = fs::read_to_string(&file)?;
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix("http.listen="));
        let address = found.with_context(|| format!("no http.listen in {}", file.display()))?;
        Ok(address.parse()?)
    }

    /// `millrace` with the stores' own addresses: nobody judges through what was in the way.
    pub fn millrace(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(cluster::binary("millrace")?);
        command.args(arguments).envs(self.stack.environment()?);
        Ok(command)
    }

    /// Lines of all logs that tell of a panic.
    pub fn panics(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for file in fs::read_dir(self.stack.data().join("logs"))? {
            let path: PathBuf = file?.path();
            let text = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let lines = text.lines().filter(|line| line.contains("panicked at"));
            found.extend(lines.map(|line| format!("{name}: {line}")));
        }
        Ok(found)
    }
}
