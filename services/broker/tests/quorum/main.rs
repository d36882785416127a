//! The metadata quorum over real sockets, each node on a runtime and an in-memory disk of its own.

mod faults;
mod harness;
mod single;
mod three;
