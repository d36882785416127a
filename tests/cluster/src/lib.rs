//! Real broker processes on loopback: a cluster to start, hurt, load and examine.
//!
//! [`Cluster`] starts `millrace-broker` processes on free ports in a directory of its own and ends them when it is
//! dropped. [`Load`] keeps an idempotent producer busy and remembers what was acknowledged; [`read`] and
//! [`replicas`] prove afterwards that nothing acknowledged is missing, doubled, changed or out of order.
//! Everything is synchronous: a scenario is one thread that says what happens next.

pub mod chaos;
pub mod client;
mod cluster;
pub mod command;
pub mod events;
pub mod hostile;
pub mod http;
mod load;
pub mod machines;
mod mounts;
mod node;
pub mod ports;
mod produce;
pub mod read;
mod reassignments;
pub mod replicas;
mod settings;
mod topics;
mod wait;

pub use cluster::Cluster;
pub use load::{Ack, Load, longest_wait};
pub use machines::Machines;
pub use mounts::Mount;
pub use node::Node;
pub use produce::produce;
pub use settings::{Settings, binary};
pub use topics::{Partition, Topic};
pub use wait::{until, within};
