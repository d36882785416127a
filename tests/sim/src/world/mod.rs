//! The simulated world: machines with disks and clocks that fail, a network that delays, cuts and forgets, and the
//! brokers on them. Everything that happens in it is noted by the [`Trace`].

mod cluster;
mod host;
mod network;
mod panics;
mod trace;

pub use cluster::{Cluster, PORT, Settings, broker_name};
pub use host::Host;
pub use panics::noticed;
pub use trace::Trace;
