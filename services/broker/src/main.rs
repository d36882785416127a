//! `millrace-broker [CONFIG]`: a Kafka-compatible broker in one process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use broker::config::{self, Ignored};
use broker::process;
use clap::{Parser, Subcommand};

/// A Kafka-compatible broker: replicated, with no JVM and no ZooKeeper.
///
/// Without any configuration it is a single node on port 9092. Every key of a server.properties
/// file can be set by an environment variable too, by the rule of the apache/kafka image:
/// KAFKA_LOG_DIRS sets log.dirs, two underscores mean one underscore, three a dash. Variables win
/// over the file.
///
/// SIGTERM hands every leadership over to another broker, waits until every partition has enough
/// replicas in sync without this one (controlled.shutdown.timeout.ms at most; a second SIGTERM ends
/// the wait), and then ends the process.
#[derive(Parser)]
#[command(name = "millrace-broker", version)]
struct Options {
    /// A server.properties file with Kafka's own names [default: the file that MILLRACE_CONFIG names, if there is one]
    config: Option<PathBuf>,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Copy, Subcommand)]
enum Action {
    /// Ask the broker that runs here with the same configuration whether it is ready; exit 1 and say why when it is not
    Healthcheck,
}

impl Options {
    /// The file that is to be read. The images name one that may be mounted, as apache/kafka has it; only a file that was
    /// given on the command line must be there.
    fn file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| {
            std::env::var_os("MILLRACE_CONFIG")
                .map(PathBuf::from)
                .filter(|path| path.exists())
        })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Action::Healthcheck) = options.action {
        return match healthcheck(options.file().as_deref()) {
            Ok(answer) => {
                println!("{answer}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("millrace-broker: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if let Err(error) = telemetry::init_logs("millrace-broker") {
        eprintln!("millrace-broker: cannot write logs: {error:#}");
        return ExitCode::FAILURE;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn healthcheck(file: Option<&Path>) -> anyhow::Result<String> {
    let (config, _) = config::load(file, std::env::vars())?;
    let listen = config
        .http_listen
        .context("http.listen is empty: a broker without it cannot be asked")?;
    telemetry::healthcheck(&listen)
}

fn run(options: &Options) -> anyhow::Result<()> {
    let (config, ignored) = config::load(options.file().as_deref(), std::env::vars())?;
    warn_of(&ignored);
    process::run(config, Arc::new(storage::RealDisk))
}

fn warn_of(ignored: &Ignored) {
    for key in &ignored.unsupported {
        tracing::warn!(
            key,
            "a key of Kafka that this broker does not support; it has no effect"
        );
    }
    for key in &ignored.unknown {
        tracing::warn!(key, "an unknown key; it has no effect. Is the name right?");
    }
}
