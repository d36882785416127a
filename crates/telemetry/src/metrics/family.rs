//! What a metric is.

use std::fmt::Write;

/// A metric family, as `/metrics` and the documentation show it.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// Of the value; empty for a plain number.
    pub unit: &'static str,
    pub by: By,
    pub help: &'static str,
}

/// Prometheus' type of a family.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    /// Of seconds, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// Which of several processes exports a series. It decides whether a sum over processes counts a thing once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Each process, of itself.
    Each,
    /// The leader of the partition.
    Leader,
    /// The coordinator of the consumer group.
    Coordinator,
    /// The active controller.
    Controller,
}

/// Labels whose values come from users, so that nobody knows how many there will be.
const OPEN_LABELS: &[&str] = &["topic", "partition", "consumergroup", "follower", "run_id"];

impl Family {
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Family {
        Family::new(name, Kind::Counter, labels, help)
    }

    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Family {
        Family::new(name, Kind::Gauge, labels, help)
    }

    /// A histogram of seconds.
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
        help: &'static str,
    ) -> Family {
        Family::new(name, Kind::Histogram(bounds), labels, help).unit("seconds")
    }

    const fn new(
        name: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Family {
        Family {
            name,
            kind,
            labels,
            unit: "",
            by: By::Each,
            help,
        }
    }

    pub const fn unit(mut self, unit: &'static str) -> Family {
        self.unit = unit;
        self
    }

    pub const fn by(mut self, by: By) -> Family {
        self.by = by;
        self
    }

    /// Whether users decide how many series it has.
    pub fn is_open(&self) -> bool {
        self.labels.iter().any(|label| OPEN_LABELS.contains(label))
    }

    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

impl By {
    fn text(self) -> &'static str {
        match self {
            By::Each => "each",
            By::Leader => "partition's leader",
            By::Coordinator => "group's coordinator",
            By::Controller => "active controller",
        }
    }
}

/// A table of families for the documentation, in the order of their names.
pub fn markdown(families: &[&'static Family]) -> String {
    let mut sorted = families.to_vec();
    sorted.sort_by_key(|family| family.name);
    let mut text = String::from(
        "| metric | type | labels | unit | exported by | meaning |\n|---|---|---|---|---|---|\n",
    );
    for family in sorted {
        let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            family.name,
            family.type_name(),
            labels.join(", "),
            family.unit,
            family.by.text(),
            family.help.replace('|', "\\|"),
        );
    }
    text
}
