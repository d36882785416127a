//! The whole cluster in deterministic simulation.
//!
//! Three or five real brokers run in one thread on a simulated network (turmoil), a simulated clock and
//! in-memory disks that lose or tear what was not synced when a broker crashes. Everything comes
//! from one seed: `SEED=7 cargo test -p sim` replays seed 7, and a test runs one seed twice and
//! compares the traces line by line.
//!
//! No build flag is needed to seed tokio's own random choices: every `select!` that a broker reaches is biased, and
//! what several of its tasks wait for is watched by `broker::env::watch`, which wakes them in a fixed order.

mod client;
mod cluster;
pub mod lives;
mod moves;
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
