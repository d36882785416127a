//! Says of a history whether the cluster kept its promises.
//!
//! A [`history`] is what clients saw, in the order in which they saw it; the simulator and the tests of real processes
//! write the same one. [`check`] looks through it for anomalies: one module of [`checks`] for each kind of promise.

pub mod checks;
pub mod history;
pub mod report;

pub use checks::check;
pub use history::{Event, RecordId, Recorder, Seen, What};
pub use report::{Anomaly, Counts, Kind, Report};
