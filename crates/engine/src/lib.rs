//! Pure state machines of the broker: no I/O, no clock, no randomness.

pub mod group;
pub mod ids;
pub mod metadata;
