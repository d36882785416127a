//! Logs, metrics registry and the /metrics, /healthz and /readyz server.
