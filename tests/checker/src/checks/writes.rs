//! Invariant 1: what was acknowledged is there, and nothing else is. How often and in which order is judged in `sequences`.
//!
//! - Lost write: a record acknowledged with acks=all is not in the last full read, nor below its log start where the
//!   history tells that the log's start has moved or that it is old enough for retention, nor may compaction have removed it. With acks=1 a leader may take its acknowledgement with it.
//! - Phantom: a record that nobody has sent.
//! - Refused but there: a record whose producer was told that it was certainly not written.
//! - Inconsistent offsets: an acknowledgement told the offset of another record.
//! - Never read: a partition with acknowledged records of which there is no last full read: nothing is proven.

use std::collections::BTreeMap;

use super::index::{Final, Index, Partition};
use crate::history::{Place, RecordId};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for (at, partition) in &index.partitions {
        let Some(last) = &partition.last_read else {
            if !partition.deleted {
                found.extend(never_read(at, partition));
            }
            continue;
        };
        let mut add = |kind, what: String, events: Vec<Option<usize>>| {
            let mut events: Vec<usize> = events.into_iter().flatten().collect();
            events.sort_unstable();
            let at = Some((*at).clone());
            found.push(Anomaly {
                kind,
                at,
                what,
                events,
            });
        };
        let offsets = last.offsets();
        lost(index, partition, last, &offsets, &mut add);
        unwanted(partition, last, &offsets, &mut add);
    }
    found
}

type Add<'a> = dyn FnMut(Kind, String, Vec<Option<usize>>) + 'a;

fn never_read(at: &Place, partition: &Partition<'_>) -> Option<Anomaly> {
    let acked = partition.written.values().find_map(|w| w.acked)?;
    Some(Anomaly {
        kind: Kind::NeverRead,
        at: Some(at.clone()),
        what: "records were acknowledged, and there is no last full read".into(),
        events: vec![acked],
    })
}

fn lost(
    index: &Index<'_>,
    partition: &Partition<'_>,
    last: &Final<'_>,
    offsets: &BTreeMap<RecordId, Vec<i64>>,
    add: &mut Add<'_>,
) {
    for (record, written) in &partition.written {
        if written.acked.is_none() || written.acks != -1 || partition.may_lose.is_some() {
            continue;
        }
        let allowed_below = partition.start.min(last.log_start);
        let aged = last.log_start > 0 && index.is_aged(partition, written, last.event);
        match (offsets.get(record), written.acked_offset) {
            (None, offset) if partition.is_superseded(last, written.key, offset) => {}
            (None, Some(offset)) if offset < allowed_below => {}
            (None, Some(offset)) if offset < last.log_start && aged => {}
            // Its offset is not known: it may be what retention has taken.
            (None, None) if allowed_below > 0 || aged => {}
            (None, offset) => add(
                Kind::LostWrite,
                format!("{record}, acknowledged at {offset:?}, is not there"),
                vec![written.sent, written.acked, Some(last.event)],
            ),
            (Some(there), Some(offset)) if !there.contains(&offset) => add(
                Kind::InconsistentOffsets,
                format!("{record} was acknowledged at {offset} and is at {there:?}"),
                vec![written.acked, Some(last.event)],
            ),
            _ => {}
        }
    }
}

fn unwanted(
    partition: &Partition<'_>,
    last: &Final<'_>,
    offsets: &BTreeMap<RecordId, Vec<i64>>,
    add: &mut Add<'_>,
) {
    for seen in last.records {
        let known = seen
            .record
            .and_then(|record| partition.written.get(&record));
        if known.is_none_or(|written| written.sent.is_none()) {
            add(
                Kind::Phantom,
                format!("nobody has sent {:?} at {}", seen.record, seen.offset),
                vec![Some(last.event)],
            );
        }
    }
    for (record, there) in offsets {
        let written = &partition.written.get(record);
        if let Some(refused) = written.and_then(|written| written.refused_definitely) {
            add(
                Kind::RefusedButThere,
                format!("{record} was refused and is at {there:?}"),
                vec![Some(refused), Some(last.event)],
            );
        }
    }
}
