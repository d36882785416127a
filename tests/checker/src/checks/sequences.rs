//! Invariant 5: of an idempotent producer's records a partition has each once, in order, and none without those before it.
//!
//! - Duplicate: a record of an idempotent producer is there twice.
//! - Reordered: two records of an idempotent producer lie in another order than they were sent in.
//! - Gap: a record of an idempotent producer is not there, and a later one is, whose sequence number says that it follows.
//!
//! No gap is what the producer has given up: it goes on in another epoch then. Nor is it one what lies before all that is left of
//! the producer, where the log's start has moved or the record is old enough for retention; nor where compaction or an
//! unclean election may have taken it; nor a record of a transaction that is not known to be committed, as whoever aborts
//! one drops what is still to be sent. What was acknowledged at an offset is a lost write instead.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Final, Index, Partition};
use crate::history::{Place, RecordId, What};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let uncommitted = uncommitted(index);
    let mut found = Vec::new();
    for (at, partition) in &index.partitions {
        let Some(last) = &partition.last_read else {
            continue;
        };
        let offsets = last.offsets();
        let mut add = |kind, what: String, events: [Option<usize>; 2]| {
            let mut events: Vec<usize> = events.into_iter().flatten().collect();
            events.sort_unstable();
            found.push(Anomaly {
                kind,
                at: Some((*at).clone()),
                what,
                events,
            });
        };
        twice(partition, &offsets, &mut add);
        reordered(partition, last, &mut add);
        if partition.may_lose.is_none() && !partition.compacted {
            let is_open = |record| uncommitted.contains(&(*at, record));
            for (record, sent, newest) in gaps(index, partition, last, &offsets) {
                if !is_open(record) {
                    let what = format!(
                        "{record} is not there, and p{}:{newest} is",
                        record.producer
                    );
                    add(Kind::Gap, what, [Some(sent), Some(last.event)]);
                }
            }
        }
    }
    found
}

type Add<'a> = dyn FnMut(Kind, String, [Option<usize>; 2]) + 'a;

fn twice(partition: &Partition<'_>, offsets: &BTreeMap<RecordId, Vec<i64>>, add: &mut Add<'_>) {
    for (record, there) in offsets.iter().filter(|(_, there)| there.len() > 1) {
        let written = partition.written.get(record);
        if let Some(written) = written.filter(|written| written.idempotent) {
            let what = format!("{record} is at {there:?}");
            add(Kind::Duplicate, what, [written.sent, written.acked]);
        }
    }
}

fn reordered(partition: &Partition<'_>, last: &Final<'_>, add: &mut Add<'_>) {
    let mut newest = BTreeMap::<u32, (u64, i64)>::new();
    for seen in last.records {
        let Some(record) = seen.record else { continue };
        let Some(written) = partition.written.get(&record) else {
            continue;
        };
        let before = newest.entry(record.producer).or_insert((0, -1));
        if written.idempotent && before.1 >= 0 && record.n < before.0 {
            let what = format!(
                "{record} is at {}, behind p{}:{} at {}",
                seen.offset, record.producer, before.0, before.1
            );
            add(Kind::Reordered, what, [written.sent, written.acked]);
        }
        if record.n >= before.0 {
            *before = (record.n, seen.offset);
        }
    }
}

/// Records that are missing, the event that tells of each, and the newest record of its producer that is there.
fn gaps(
    index: &Index<'_>,
    partition: &Partition<'_>,
    last: &Final<'_>,
    offsets: &BTreeMap<RecordId, Vec<i64>>,
) -> Vec<(RecordId, usize, u64)> {
    // The first and the last that is there of each producer.
    let mut there = BTreeMap::<u32, (u64, u64)>::new();
    for record in offsets.keys() {
        let (first, newest) = there.entry(record.producer).or_insert((record.n, record.n));
        (*first, *newest) = (record.n.min(*first), record.n.max(*newest));
    }
    let start_has_moved = partition.start.min(last.log_start) > 0;
    let missing = partition.written.iter().filter_map(|(record, written)| {
        let sent = written.sent.filter(|_| written.idempotent)?;
        let (first, newest) = *there.get(&record.producer)?;
        let judged = !written.refused && written.acked_offset.is_none();
        if !judged || record.n > newest || offsets.contains_key(record) {
            return None;
        }
        let taken = || last.log_start > 0 && index.is_aged(partition, written, last.event);
        let may_be_below = record.n < first && (start_has_moved || taken());
        (!may_be_below).then_some((*record, sent, newest))
    });
    missing.collect()
}

/// The records of transactions whose commit nobody has confirmed.
fn uncommitted<'a>(index: &Index<'a>) -> BTreeSet<(&'a Place, RecordId)> {
    let ended = |what: &What| match what {
        What::TransactionEnded {
            transaction,
            commit: true,
        } => Some(*transaction),
        _ => None,
    };
    let all = || index.events.iter().map(|event| &event.what);
    let committed: BTreeSet<u64> = all().filter_map(ended).collect();
    let open = all().filter_map(|what| match what {
        What::InTransaction {
            at,
            record,
            transaction,
        } if !committed.contains(transaction) => Some((at, *record)),
        _ => None,
    });
    open.collect()
}
