//! The frame of a service's `main`: logs, registry, traces, health server, and the wish to end.

use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use telemetry::traces::{Identity, Traces};
use telemetry::{HttpServer, Readiness, Registry};
use tokio_util::sync::CancellationToken;

/// How long the last spans may take to be exported when a service ends.
pub const TRACES_GRACE: Duration = Duration::from_secs(3);

/// What a service does instead of its work.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Action {
    /// Ask the service that runs with the same METRICS_ADDR whether it is ready; exit 1 and say why when it is not.
    Healthcheck,
}

impl Action {
    /// Does it, in the place of a service that serves its health on `metrics_addr`, and ends the process.
    pub fn run(self, metrics_addr: Option<&str>) -> ! {
        let Action::Healthcheck = self;
        let answer = metrics_addr
            .context("no METRICS_ADDR: a service without it cannot be asked")
            .and_then(telemetry::healthcheck);
        match &answer {
            Ok(answer) => println!("{answer}"),
            Err(error) => eprintln!("{error:#}"),
        }
        std::process::exit(i32::from(answer.is_err()))
    }
}

/// A running service's surroundings. Build it first thing in `main`, and give its parts to what does the work.
pub struct Service {
    pub registry: Registry,
    pub readiness: Readiness,
    pub traces: Traces,
    /// Cancelled by SIGTERM or SIGINT.
    pub stop: CancellationToken,
    server: Option<HttpServer>,
}

impl Service {
    /// Installs the logs and the signal handlers, starts what the environment says of traces, and serves /metrics, /healthz and /readyz where an address is given.
    ///
    /// # Errors
    /// When the address cannot be bound, logs or handlers cannot be installed, or traces are configured wrongly.
    pub async fn start(name: &'static str, metrics_addr: Option<&str>) -> anyhow::Result<Service> {
        telemetry::init_logs(name)?;
        let (registry, readiness) = (Registry::from_env()?, Readiness::default());
        let traces = Traces::start(&Identity {
            service: name,
            instance: None,
        })?;
        traces.counters().register(&registry);
        telemetry::describe_process(&registry, name);
        let stop = CancellationToken::new();
        let (signal, ending) = (telemetry::shutdown_signal()?, stop.clone());
        tokio::spawn(async move {
            let signal = signal.await;
            tracing::info!(signal, "ending");
            ending.cancel();
        });
        let server = match metrics_addr {
            Some(addr) => {
                Some(telemetry::serve_http(addr, registry.clone(), readiness.clone()).await?)
            }
            None => None,
        };
        Ok(Service {
            registry,
            readiness,
            traces,
            stop,
            server,
        })
    }

    /// Surroundings without logs, signals, traces and a server, for whatever runs the work by itself: tests.
    pub fn silent() -> Service {
        Service {
            registry: Registry::new(),
            readiness: Readiness::default(),
            traces: Traces::off(),
            stop: CancellationToken::new(),
            server: None,
        }
    }

    /// The work is done.
    pub async fn end(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
        self.traces.stop(TRACES_GRACE).await;
        tracing::info!("ended");
    }
}
