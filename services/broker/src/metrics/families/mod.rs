//! Every metric family of the broker. Names that Kafka's own exporters have are theirs, so that their dashboards work.

pub mod exporter;
pub mod own;
pub mod strimzi;

use telemetry::metrics::{DISK_FAMILIES, Family};

/// All of them, for the documentation.
pub fn all() -> Vec<&'static Family> {
    [exporter::ALL, strimzi::ALL, own::ALL, DISK_FAMILIES].concat()
}
