//! A Kafka client of a few lines, over the simulated network, on the broker's own wire crate.

mod connection;
mod group;
mod session;

pub use connection::Client;
pub use group::{Group, Identity, SESSION_MS, Trouble};
pub use session::{Session, until_some};
