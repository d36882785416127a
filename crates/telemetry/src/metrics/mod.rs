//! Metrics in Prometheus' text format: families that describe themselves, series that are atomics, and sources that are
//! read at a scrape.
//!
//! A [`Family`] says what a metric is: name, type, labels, unit, who exports it and what it means. Nothing can be shown
//! without one, so the list of families is the documentation. What is counted is held as [`Counter`], [`Gauge`] or
//! [`Histogram`], and counting is an atomic addition. What can be looked up (positions, roles, sizes) is not counted at
//! all: a [`Source`] writes it at each scrape, and so a series is gone as soon as what it tells of is gone.
//!
//! Every labelled family has a limit of series. What is beyond it is left out and counted.

mod family;
mod page;
mod points;
mod process;
mod registry;
mod series;

pub use family::{By, Family, Kind, markdown};
pub use page::{Page, Source};
pub use points::{Counter, Gauge, Histogram, Observed};
pub(crate) use process::ReadySource;
pub use process::{DISK_FAMILIES, PROCESS_FAMILIES, describe_disk_io, describe_process};
pub use registry::Registry;
pub use series::Series;
