//! Chaos on the whole mesh: ETLs, archivers, brokers and stores hurt while records flow, and `millrace verify` at the end.
//!
//! [`schedule`] makes the faults out of a seed, [`faults`] carries them out on the [`field`], whose services are [`fleet`]s
//! that reach their stores through [`way`]s; [`watch`] looks at what all of them count. [`run`] puts it together.

mod answers;
mod bulk;
mod faults;
mod field;
mod fleet;
mod kind;
mod report;
mod run;
mod schedule;
mod verified;
mod watch;
mod way;

pub use kind::Kind;
pub use report::Summary;
pub use run::run;
