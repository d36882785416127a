//! One mesh that goes through everything, chapter after chapter: starting one takes longer than most chapters do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::Stack;
use e2e::collector::Collector;
use serde_json::Value;

use crate::{chaos, corruption, dashboards, kills, positions, retention, topics, traces};

pub const GENERATORS: &str = "weblog-generator,bakery-producer";
pub const SINKS: &str = "etl,archiver";
/// How long the mesh may take to come to what a chapter expects.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running stack, and the command line that looks at it.
pub struct Mesh {
    pub stack: Stack,
    /// What all parts export their spans to.
    pub collector: Collector,
    environment: BTreeMap<String, String>,
}

/// What `millrace verify --json` said.
pub struct Verified {
    pub status: ExitStatus,
    pub report: Value,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mesh_keeps_its_promises() -> Result<()> {
    let mut mesh = Mesh::start((150, 50))?;
    let chapter = |name: &str| println!("-- {name}");

    chapter("the consumer loop, a generator and each sink, one by one");
    for test in ["consumer", "generator", "sinks"] {
        mesh.stack.cargo_test(test)?;
    }
    chapter("what dashboards and alerts ask is answered");
    dashboards::every_query_is_answered(&mesh)?;
    dashboards::everything_listens_on_loopback(&mesh)?;
    chapter("verify names whatever was corrupted");
    corruption::verify_names_whatever_was_corrupted(&mesh).await?;
    chapter("a record's whole trace arrives, over gRPC and over HTTP");
    traces::arrive_whole(&mut mesh)?;
    traces::go_on_in_dead_letters_and_logs(&mesh)?;
    traces::may_get_lost_and_nothing_else(&mut mesh)?;
    chapter("nothing is lost or doubled whatever is killed");
    kills::nothing_is_lost_or_doubled(&mesh)?;
    chapter("millrace chaos asks first, hurts, and verifies");
    chaos::asks_first_hurts_and_verifies(&mesh)?;
    chapter("the bakery's consumer prints every order, and free text as it is");
    topics::the_bakery_reads_its_orders(&mesh)?;
    chapter("what retention took is recorded and reported");
    retention::what_it_took_is_recorded_and_reported(&mesh)?;
    chapter("a position beyond the log is an error, never a reset");
    positions::beyond_the_log_they_stop_the_partition(&mesh).await?;
    chapter("counters and empty topics");
    corruption::counters(&mesh)?;
    corruption::nothing_to_verify(&mesh)?;
    chapter("a compacted topic is not archived");
    topics::a_compacted_one_is_not_archived(&mesh)?;
    chapter("a topic that was created anew is another topic");
    topics::a_recreated_one_is_another_one(&mesh).await?;

    chapter("nothing stays behind");
    mesh.stack.run(&["down"])?;
    let left = mesh.stack.processes()?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

impl Mesh {
    /// The whole mesh with so many web logs and orders a second on their way.
    pub fn start((web_logs, orders): (u32, u32)) -> Result<Mesh> {
        let web_logs = format!("--rate {web_logs} --steady");
        let orders = format!("--rate {orders} --steady");
        let variables = [
            ("WEBLOG_GENERATOR_ARGS", web_logs.as_str()),
            ("BAKERY_PRODUCER_ARGS", &orders),
            // Retention is looked at every second instead of every five minutes.
            (
                "BROKER_PROPERTIES",
                "log.retention.check.interval.ms=1000 trace.spans.per.second=10000",
            ),
            // A machine that is busy with other things starts a mesh slowly.
            ("UP_DEADLINE_S", "900"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ];
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut stack = Stack::new(folder, "mesh", &variables)?;
        let collector = Collector::start(stack.root(), folder)?;
        stack.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.grpc());
        let printed = stack.run(&["up"])?;
        for command in ["psql ", "_search", "list-type=2"] {
            ensure!(printed.contains(command), "no {command:?} in: {printed}");
        }
        let (all, running) = stack.parts()?;
        ensure!(
            all == running,
            "not running: {:?}",
            all.difference(&running)
        );
        let environment = stack.environment()?;
        Ok(Mesh {
            stack,
            collector,
            environment,
        })
    }

    /// What `make env` prints.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    pub fn stop(&self, parts: &str) -> Result<()> {
        self.stack.run(&["down", "--only", parts]).map(drop)
    }

    /// Starts the parts and waits until they are ready.
    pub fn start_again(&self, parts: &str) -> Result<()> {
        self.stack.run(&["up", "--only", parts]).map(drop)
    }

    /// One of the workspace's programs, with the mesh's addresses in its environment.
    pub fn program(&self, name: &str) -> Result<Command> {
        let test = std::env::current_exe()?;
        let binaries = test.ancestors().nth(2).context("cargo's layout")?;
        let mut command = Command::new(binaries.join(name));
        command.envs(&self.environment);
        Ok(command)
    }

    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.program("millrace")?;
        command.args(arguments);
        Ok(command)
    }

    /// Runs `millrace`, which must succeed, and gives its standard output.
    pub fn millrace(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?.output()?;
        ensure!(
            output.status.success(),
            "millrace {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn verify(&self, arguments: &[&str]) -> Result<Verified> {
        let began = Instant::now();
        let output = self
            .command(&[&["verify", "--json"], arguments].concat())?
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("verify printed no JSON but this: {errors}"))?;
        println!("verify {arguments:?}: {:.1?}", began.elapsed());
        Ok(Verified {
            status: output.status,
            report,
        })
    }

    pub fn expect_clean(&self, verified: &Verified) -> Result<()> {
        if verified.status.success() && verified.report["ok"] == true {
            return Ok(());
        }
        let logs = self.stack.run(&["logs", "etl"]).unwrap_or_default();
        bail!("verify: {:#}\n--- etl\n{logs}", verified.report)
    }

    /// What a part answers at `path` of its port for metrics, whatever the status.
    pub fn asked(&self, part: &str, path: &str) -> Result<String> {
        let address: SocketAddr = self.stack.address(part)?.parse()?;
        cluster::http::ask(address, path)
    }
}
