//! Many lives, one seed each, by workers that are processes of their own: tokio counts the tasks of a whole process, and
//! a run depends on their numbers, so that two lives in one process would not be functions of their seeds.

mod outcome;
mod progress;
mod results;
mod shrink;
mod worker;
mod workers;

pub use outcome::{Outcome, lived};
pub use progress::Progress;
pub use results::Results;
pub use shrink::Cut;
pub use worker::{serve, watch};
pub use workers::{News, Workers};
