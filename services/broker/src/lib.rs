//! A Kafka-compatible broker: replicated, with no JVM and no ZooKeeper.

pub mod config;
pub mod env;
