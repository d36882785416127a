//! The clients of a run, each a process of its own: they can be killed, and what they saw is in a file.
//!
//! A client ends when its standard input does: asked by the run, or because the run is gone.

pub mod consume;
pub mod produce;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::clock::now_ns;

/// What has no answer by then, librdkafka asks again, on another connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What librdkafka is to tell of itself (its property `debug`, as in `cgrp,protocol`).
const DEBUG: &str = "CHAOS_DEBUG";

/// Writes what librdkafka tells to the client's log.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    eprintln!("{} {level:?} {facility} {message}", now_ns());
}

/// Becomes true when standard input has ended.
fn asked_to_end() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    let told = asked.clone();
    thread::spawn(move || {
        let mut rest = Vec::new();
        // An error is an end too.
        let _ = std::io::stdin().read_to_end(&mut rest);
        told.store(true, Ordering::Relaxed);
    });
    asked
}

/// What producers and consumers have in common: they come back soon to a broker that was away.
fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    if let Ok(debug) = std::env::var(DEBUG) {
        config.set("debug", debug);
    }
    config
        .set("bootstrap.servers", bootstrap)
        .set("socket.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
        .set("socket.connection.setup.timeout.ms", "2000")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "200")
        .set("topic.metadata.refresh.fast.interval.ms", "50");
    config
}
