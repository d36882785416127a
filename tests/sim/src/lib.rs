//! The whole cluster in deterministic simulation.
//!
//! Three real brokers run in one thread on a simulated network (turmoil), a simulated clock and
//! in-memory disks that lose or tear what was not synced when a broker crashes. Everything comes
//! from one seed: `SEED=7 make test-sim` replays seed 7, and a test runs one seed twice and
//! compares the traces line by line.
//!
//! The build needs `--cfg tokio_unstable`, which is how tokio lets its own random choices be
//! seeded; `make test-sim` sets it.

mod client;
mod cluster;
mod trace;
pub mod workload;
mod world;

pub use client::Client;
pub use cluster::{Cluster, broker_name};
pub use trace::Trace;
pub use world::Host;

/// The seed that the environment asks for.
pub fn seed_or(default: u64) -> u64 {
    std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
