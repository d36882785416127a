//! Invariant 1, of the log's start: it passes only what may go.
//!
//! - Gone too soon: somebody is told a log start beyond a record that was acknowledged with acks=all, and neither is that
//!   record old enough for retention, nor has anything else moved the start so far. What is there at the end is judged
//!   in `writes`.

use super::index::{Index, Partition};
use crate::history::Place;
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let judged = index
        .partitions
        .iter()
        .filter(|(_, p)| p.may_lose.is_none());
    judged
        .flat_map(|(at, partition)| too_soon(index, at, partition))
        .collect()
}

/// The first time that it happens in a partition.
fn too_soon(index: &Index<'_>, at: &Place, partition: &Partition<'_>) -> Option<Anomaly> {
    let mut highest = 0;
    for (event, log_start) in &partition.starts {
        // What is below was judged when it was passed, and the records were younger then.
        if *log_start <= highest {
            continue;
        }
        highest = *log_start;
        let passed = |offset: &i64| (partition.start..*log_start).contains(offset);
        let young = partition.written.iter().find_map(|(record, written)| {
            let offset = written.acked_offset.filter(passed)?;
            let acked = written.acked.filter(|acked| acked < event)?;
            let judged = written.acks == -1 && !index.is_aged(partition, written, *event);
            judged.then_some((record, offset, acked))
        });
        if let Some((record, offset, acked)) = young {
            return Some(Anomaly {
                kind: Kind::GoneTooSoon,
                at: Some(at.clone()),
                what: format!(
                    "the log starts at {log_start}, and {record} at {offset} was to stay"
                ),
                events: vec![acked, *event],
            });
        }
    }
    None
}
