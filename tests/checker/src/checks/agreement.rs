//! Invariant 4: replicas agree byte for byte below the high watermark and above each one's cleaned offset and log start;
//! below the cleaned offset, on the newest record of each key.
//!
//! Each replica of a compacted log compacts when it likes, and a follower copies what its leader has left. So there what is
//! there of each key is compared from the log start on, and whole batches above both cleaned offsets only. A key whose newest record is
//! a tombstone may be there on one of them alone: compaction removes it in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use crate::history::{Keyed, Place, What};
use crate::report::{Anomaly, Kind};

type Batch = (i64, i64, u64);

struct Replica<'a> {
    event: usize,
    broker: i32,
    log_start: i64,
    high_watermark: i64,
    cleaned: i64,
    batches: &'a [Batch],
    records: &'a [Keyed],
}

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut replicas = BTreeMap::<&Place, Vec<Replica<'_>>>::new();
    for (number, event) in index.events.iter().enumerate() {
        if let What::Replica {
            at,
            broker,
            log_start,
            high_watermark,
            cleaned,
            batches,
            records,
        } = &event.what
        {
            replicas.entry(at).or_default().push(Replica {
                event: number,
                broker: *broker,
                log_start: *log_start,
                high_watermark: *high_watermark,
                cleaned: *cleaned,
                batches,
                records,
            });
        }
    }
    let mut found = Vec::new();
    for (at, all) in replicas {
        let compacted = index.partitions.get(at).is_some_and(|p| p.compacted);
        let pairs = all
            .iter()
            .enumerate()
            .flat_map(|(n, first)| all[n + 1..].iter().map(move |second| (first, second)));
        for (first, second) in pairs {
            let from = first.log_start.max(second.log_start);
            let to = first.high_watermark.min(second.high_watermark);
            let what = match compacted {
                // Where nothing is compacted no gap has an excuse.
                false => of_batches(first, second, from, to),
                true => {
                    let above = from.max(first.cleaned).max(second.cleaned);
                    of_keys(first, second, from, to)
                        .or_else(|| of_batches(first, second, above, to))
                }
            };
            found.extend(what.map(|what| Anomaly {
                kind: Kind::ReplicasDiffer,
                at: Some(at.clone()),
                what,
                events: vec![first.event, second.event],
            }));
        }
    }
    found
}

fn of_batches(first: &Replica<'_>, second: &Replica<'_>, from: i64, to: i64) -> Option<String> {
    let common = |replica: &Replica<'_>| -> Vec<Batch> {
        let within = |b: &&Batch| b.0 >= from && b.1 <= to;
        replica.batches.iter().filter(within).copied().collect()
    };
    let (one, other) = (common(first), common(second));
    let at = (0..one.len().max(other.len())).find(|i| one.get(*i) != other.get(*i))?;
    Some(told(first, one.get(at), second, other.get(at)))
}

fn of_keys(first: &Replica<'_>, second: &Replica<'_>, from: i64, to: i64) -> Option<String> {
    let (one, other) = (newest(first, from, to), newest(second, from, to));
    let keys: BTreeSet<&u64> = one.keys().chain(other.keys()).collect();
    keys.into_iter().find_map(|key| {
        let both = (one.get(key).copied(), other.get(key).copied());
        let agree = match both {
            (Some(only), None) | (None, Some(only)) => only.tombstone,
            (one, other) => one == other,
        };
        (!agree).then(|| told(first, both.0, second, both.1))
    })
}

/// The newest record of each key in `[from, to)`.
fn newest<'a>(replica: &Replica<'a>, from: i64, to: i64) -> BTreeMap<u64, &'a Keyed> {
    let mut newest = BTreeMap::<u64, &Keyed>::new();
    let within = |record: &&Keyed| (from..to).contains(&record.offset);
    for record in replica.records.iter().filter(within) {
        let known = newest.entry(record.key).or_insert(record);
        if known.offset < record.offset {
            *known = record;
        }
    }
    newest
}

fn told<T: std::fmt::Debug>(
    first: &Replica<'_>,
    one: Option<T>,
    second: &Replica<'_>,
    other: Option<T>,
) -> String {
    format!(
        "broker {} has {one:?}, broker {} has {other:?}",
        first.broker, second.broker
    )
}
