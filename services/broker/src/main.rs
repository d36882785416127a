//! `millrace-broker [CONFIG]`: a Kafka-compatible broker in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use broker::config::{self, Config, Ignored};
use broker::env::production::{Production, Threads};
use broker::server::Server;
use clap::Parser;

/// A Kafka-compatible broker: replicated, with no JVM and no ZooKeeper.
///
/// Without any configuration it is a single node on port 9092. Every key of a server.properties
/// file can be set by an environment variable too, by the rule of the apache/kafka image:
/// KAFKA_LOG_DIRS sets log.dirs, two underscores mean one underscore, three a dash. Variables win
/// over the file.
///
/// SIGTERM hands every leadership over to another broker and then ends the process.
#[derive(Parser)]
#[command(name = "millrace-broker", version)]
struct Options {
    /// A server.properties file with Kafka's own names
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
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

fn run(options: &Options) -> anyhow::Result<()> {
    let (config, ignored) = config::load(options.config.as_deref(), std::env::vars())?;
    warn_of(&ignored);
    let production = Production::start(&threads(&config))?;
    let env = production.env();
    production.run(async move {
        let stop = telemetry::shutdown_signal()?;
        tokio::pin!(stop);
        let server = tokio::select! {
            biased;
            server = Server::start(env, config) => server?,
            signal = &mut stop => {
                tracing::info!(signal, "stopped before the start was complete");
                return Ok(());
            }
        };
        tokio::select! {
            biased;
            signal = &mut stop => tracing::info!(signal, "stopping"),
            // Whoever restarts the process has its log recovered.
            why = server.failed() => anyhow::bail!("the broker cannot go on: {why}"),
        }
        server.stop().await;
        tracing::info!("stopped");
        Ok(())
    })
}

fn threads(config: &Config) -> Threads {
    Threads {
        data: config.net.network_threads,
        read: config.net.io_threads,
        sync: 4 * config.log.dirs.len(),
        backlog: config.net.backlog,
    }
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
