//! The frame of a service's `main`: logs, registry, health server, and the wish to end.

use telemetry::{HttpServer, Readiness, Registry};
use tokio_util::sync::CancellationToken;

/// A running service's surroundings. Build it first thing in `main`, and give its parts to what does the work.
pub struct Service {
    pub registry: Registry,
    pub readiness: Readiness,
    /// Cancelled by SIGTERM or SIGINT.
    pub stop: CancellationToken,
    server: Option<HttpServer>,
}

impl Service {
    /// Installs the logs and the signal handlers, and serves /metrics, /healthz and /readyz where an address is given.
    ///
    /// # Errors
    /// When the address cannot be bound, or logs or handlers cannot be installed.
    pub async fn start(name: &'static str, metrics_addr: Option<&str>) -> anyhow::Result<Service> {
        telemetry::init_logs(name)?;
        let (registry, readiness) = (Registry::new(), Readiness::default());
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
            stop,
            server,
        })
    }

    /// The work is done.
    pub async fn end(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
        tracing::info!("ended");
    }
}
