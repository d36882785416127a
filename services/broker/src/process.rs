//! A broker as a process: from its configuration to the signal that ends it.

use std::sync::Arc;
use std::time::Duration;

use storage::Disk;
use telemetry::traces::{Identity, Traces};

use crate::config::Config;
use crate::env::Env;
use crate::env::production::{Production, Threads};
use crate::server::Server;
use crate::spans::otlp::OtlpSpans;

/// How long the last spans may take to be exported when the broker stops.
const TRACES_GRACE: Duration = Duration::from_secs(2);

/// Runs a broker whose log directories are on `disk`, until it is told to stop or cannot go on.
pub fn run(config: Config, disk: Arc<dyn Disk>) -> anyhow::Result<()> {
    let production = Production::start(&threads(&config), disk)?;
    let identity = Identity {
        service: "millrace-broker",
        instance: Some(format!("broker-{}", config.node_id)),
    };
    let traces = production.within(|| Traces::start(&identity))?;
    let env = production.env(Arc::new(OtlpSpans::new(&traces, config.node_id)));
    production.run(async move {
        let ended = serve(env, config).await;
        traces.stop(TRACES_GRACE).await;
        ended
    })
}

/// Runs the broker until it is told to stop.
async fn serve(env: Env, config: Config) -> anyhow::Result<()> {
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
    telemetry::describe_process(server.registry(), "millrace-broker");
    telemetry::metrics::describe_disk_io(server.registry());
    tokio::select! {
        biased;
        signal = &mut stop => tracing::info!(signal, "stopping"),
        // Whoever restarts the process has its log recovered.
        why = server.failed() => anyhow::bail!("the broker cannot go on: {why}"),
    }
    // A second signal: whoever stops this broker has no time to let it wait for others.
    let again = telemetry::shutdown_signal()?;
    let hurry = async {
        again.await;
    };
    server.stop(hurry).await;
    tracing::info!("stopped");
    Ok(())
}

fn threads(config: &Config) -> Threads {
    Threads {
        data: config.net.network_threads,
        read: config.net.io_threads,
        sync: 4 * config.log.dirs.len(),
        backlog: config.net.backlog,
    }
}
