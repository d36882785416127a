//! Invariant 4: replicas agree byte for byte below the high watermark and above each one's log start. Compacted partitions are left out:
//! there it takes keys to compare them.

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

type Batch = (i64, i64, u64);

struct Replica<'a> {
    event: usize,
    broker: i32,
    log_start: i64,
    high_watermark: i64,
    batches: &'a [Batch],
}

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut replicas = BTreeMap::<&Place, Vec<Replica<'_>>>::new();
    for (number, event) in index.events.iter().enumerate() {
        if let What::Replica {
            at,
            broker,
            log_start,
            high_watermark,
            batches,
        } = &event.what
        {
            replicas.entry(at).or_default().push(Replica {
                event: number,
                broker: *broker,
                log_start: *log_start,
                high_watermark: *high_watermark,
                batches,
            });
        }
    }
    let mut found = Vec::new();
    for (at, all) in replicas {
        // Each replica compacts when it likes.
        if index.partitions.get(at).is_some_and(|p| p.compacted) {
            continue;
        }
        let pairs = all
            .iter()
            .enumerate()
            .flat_map(|(n, first)| all[n + 1..].iter().map(move |second| (first, second)));
        for (first, second) in pairs {
            if let Some(what) = difference(first, second) {
                found.push(Anomaly {
                    kind: Kind::ReplicasDiffer,
                    at: Some(at.clone()),
                    what,
                    events: vec![first.event, second.event],
                });
            }
        }
    }
    found
}

fn difference(first: &Replica<'_>, second: &Replica<'_>) -> Option<String> {
    let from = first.log_start.max(second.log_start);
    let to = first.high_watermark.min(second.high_watermark);
    let common = |replica: &Replica<'_>| -> Vec<Batch> {
        let within = |b: &&Batch| b.0 >= from && b.1 <= to;
        replica.batches.iter().filter(within).copied().collect()
    };
    let (one, other) = (common(first), common(second));
    let at = (0..one.len().max(other.len())).find(|i| one.get(*i) != other.get(*i))?;
    Some(format!(
        "broker {} has {:?}, broker {} has {:?}",
        first.broker,
        one.get(at),
        second.broker,
        other.get(at)
    ))
}
