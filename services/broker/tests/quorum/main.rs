//! The metadata quorum over real sockets, each node on a runtime and an in-memory disk of its own.

// A test is the outside.
#![allow(clippy::disallowed_methods)]

mod deaf;
mod doubt;
mod farewell;
mod faults;
mod harness;
mod lost;
#[path = "../shared/ports.rs"]
mod ports;
mod single;
mod three;
