//! Logs, metrics registry, traces, and the /metrics, /healthz and /readyz server.
//!
//! Nothing here is global to the process except the log subscriber, which only a `main` installs with [`init_logs`]:
//! the simulator runs several brokers in one process, each with a registry and a readiness of its own.

mod healthcheck;
mod http;
mod logs;
pub mod metrics;
mod readiness;
mod shutdown;
pub mod traces;

pub use healthcheck::healthcheck;
pub use http::{HttpServer, router, serve, serve_http};
pub use logs::init_logs;
pub use metrics::{Registry, describe_process};
pub use readiness::Readiness;
pub use shutdown::shutdown_signal;
