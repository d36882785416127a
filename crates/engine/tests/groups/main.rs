//! The classic group protocol: scenarios, and invariant 7 under crashes.

mod invariant_7;
mod scenarios;
mod world;
