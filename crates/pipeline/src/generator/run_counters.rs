//! The counters of a generator's run: which number a record gets, and how far acknowledgements have come.
//!
//! A reader that finds the counters 0, 1, 2, ... of a run in a partition without gap or repeat knows that the brokers lost
//! and doubled nothing. The last acknowledged counter says how many there must be at least.

use std::collections::BTreeMap;

use telemetry::Registry;
use telemetry::metrics::{Gauge, Series};

use crate::families::ACKED_COUNTER;

/// The counters of one run on one topic.
pub struct RunCounters {
    topic: String,
    run_id: String,
    next: BTreeMap<i32, i64>,
    acked: Series<Gauge>,
}

impl RunCounters {
    pub fn new(topic: &str, run_id: &str, registry: &Registry) -> RunCounters {
        RunCounters {
            topic: topic.to_owned(),
            run_id: run_id.to_owned(),
            next: BTreeMap::new(),
            acked: registry.gauges(&ACKED_COUNTER),
        }
    }

    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The number that the next record to `partition` must carry.
    pub fn peek(&self, partition: i32) -> i64 {
        self.next.get(&partition).copied().unwrap_or(0)
    }

    /// The client has taken that record.
    pub fn on_queued(&mut self, partition: i32) {
        *self.next.entry(partition).or_insert(0) += 1;
    }

    /// The gauge that a delivery report of `partition` sets.
    pub fn acked(&self, partition: i32) -> Gauge {
        self.acked.with(&[
            self.topic.as_str(),
            &partition.to_string(),
            self.run_id.as_str(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_counts_for_itself_and_a_refused_record_takes_no_number() {
        let mut counters = RunCounters::new("web-logs", "run", &Registry::new());
        assert_eq!((counters.peek(0), counters.peek(1)), (0, 0));
        counters.on_queued(0);
        assert_eq!(
            (counters.peek(0), counters.peek(0), counters.peek(1)),
            (1, 1, 0)
        );
        counters.acked(0).set(7.0);
        assert_eq!(counters.acked(0).get(), 7.0);
    }
}
