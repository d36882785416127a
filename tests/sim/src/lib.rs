//! The whole cluster in deterministic simulation.
//!
//! Three or five real brokers run in one thread on a simulated network (turmoil), with simulated clocks and
//! in-memory disks that lose or tear what was not synced when the power fails. Everything comes from one seed:
//! [`Plan::of`] draws what is built, what clients do and what goes wrong, [`life::live`] lives it, and `checker` judges
//! what the clients saw. `make sim SEED=7` replays seed 7, and a test runs one seed twice and
//! compares the traces line by line.
//!
//! No build flag is needed to seed tokio's own random choices: every `select!` that a broker reaches is biased, and
//! what several of its tasks wait for is watched by `broker::env::watch`, which wakes them in a fixed order.

pub mod batch;
pub mod clients;
pub mod faults;
mod laws;
pub mod life;
pub mod marks;
mod memory;
pub mod operations;
mod plan;
mod replicas;
mod scene;
mod world;

pub use clients::Client;
pub use plan::{Group, Harm, Plan, Topic};
pub use scene::{Scene, Stage};
pub use world::{Cluster, Host, PORT, Settings, Trace, broker_name};

/// A number that the environment asks for.
///
/// # Panics
/// If it is none: another one would be no answer.
pub fn number_or(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: a number is needed")),
        _ => default,
    }
}

/// The seed that the environment asks for.
pub fn seed_or(default: u64) -> u64 {
    number_or("SEED", default)
}
