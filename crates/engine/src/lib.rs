//! Pure state machines of the broker: no I/O, no clock, no randomness.

pub mod epochs;
pub mod group;
pub mod ids;
pub mod metadata;
pub mod producer;
pub mod replica;
