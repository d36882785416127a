//! A broker as a process: from its configuration to the signal that ends it.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::Disk;
use telemetry::traces::{Identity, Traces};

use crate::config::Config;
use crate::env::Env;
use crate::env::production::{Production, Threads};
use crate::server::Server;
use crate::spans::otlp::OtlpSpans;

/// How long the last spans may take to be exported when the broker stops.
const TRACES_GRACE: Duration = Duration::from_secs(2);

/// Files that a broker needs besides its connections: what it has itself, and those of some thousand segments.
const OWN_FILES: u64 = 4096;

/// Runs a broker whose log directories are on `disk`, until it is told to stop or cannot go on.
pub fn run(config: Config, disk: Arc<dyn Disk>) -> anyhow::Result<()> {
    raise_open_files(config.net.max_connections as u64);
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

/// Connections and segments share one limit, of which shells give a small part only: a broker takes all that it may have,
/// as a JVM does.
fn raise_open_files(max_connections: u64) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the limit on open files (ulimit -n)");
    }
    let wanted = max_connections.saturating_add(OWN_FILES);
    if let Some(open_files) = getrlimit(Resource::Nofile).current.filter(|n| *n < wanted) {
        tracing::warn!(
            open_files,
            wanted,
            "fewer files may be open than max.connections and the logs may need: raise the hard limit (ulimit -Hn, \
             LimitNOFILE), or lower max.connections"
        );
    }
}

fn threads(config: &Config) -> Threads {
    Threads {
        data: config.net.network_threads,
        read: config.net.io_threads,
        sync: 4 * config.log.dirs.len(),
        backlog: config.net.backlog,
    }
}
