//! `make hostile`: ten thousand idle and a thousand busy connections, slow readers and writers, giant length prefixes,
//! storms of connections, and beside them a client that behaves; see docs/hostile-input.md.
//!
//! - [`run`]: the phases; [`report`]: what a run has come to.
//! - [`honest`]: the client that behaves, and how long it waits; [`latency`]: how long it may.
//! - [`crowd`]: those who do not, in a process of their own; one file for each kind of them.
//! - [`memory`]: what the brokers use, and what they may.

mod crowd;
mod honest;
mod latency;
mod memory;
mod report;
mod requests;
mod run;

pub use crowd::{Kind, Target, join};
pub use report::Summary;
pub use run::{Options, run};
