//! A Kafka-compatible broker: replicated, with no JVM and no ZooKeeper.

mod advertised;
pub mod api;
pub mod config;
pub mod coordinator;
pub mod env;
pub mod logs;
pub mod metrics;
pub mod net;
pub mod partition;
pub mod probe;
pub mod process;
pub mod quorum;
mod readiness;
pub mod replication;
pub mod server;
pub mod spans;

#[cfg(test)]
#[path = "../../../crates/storage/tests/log/recovery/image.rs"]
mod image;
#[cfg(test)]
#[path = "../../../crates/storage/tests/log/recovery/lines.rs"]
mod lines;
