//! Invariants 1 and 2 as readers see them: whoever reads `[from, next)` sees just what the last full read has there.
//!
//! - Missed read: a record that the last full read has in the range was passed over. Where
//!   compaction may have removed records only what both have is compared.
//! - Truncated read: a record was shown that is not there any more, nor a newer one of its key where the log is compacted.
//! - Inconsistent offsets: at an offset another record was shown than is there.
//!
//! A read that ends before an acknowledged record is judged in `stale`.

use super::index::{Final, Index, Partition};
use crate::history::{Place, Seen};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    for (at, partition) in &index.partitions {
        let Some(last) = &partition.last_read else {
            continue;
        };
        if partition.may_lose.is_some() {
            continue;
        }
        for (event, from, next, records) in &partition.reads {
            let read = Read {
                event: *event,
                from: *from,
                next: *next,
                records,
            };
            found.extend(compare(at, partition, last, &read));
        }
    }
    found
}

struct Read<'a> {
    event: usize,
    from: i64,
    next: i64,
    records: &'a [Seen],
}

fn compare(
    at: &Place,
    partition: &Partition<'_>,
    last: &Final<'_>,
    read: &Read<'_>,
) -> Option<Anomaly> {
    // What retention has taken since can be compared no more.
    let from = read.from.max(last.log_start).max(partition.start);
    let there = last.between(from, read.next);
    let shown = &read.records[read.records.partition_point(|seen| seen.offset < from)..];
    if partition.compacted {
        return changed(at, read, last, shown)
            .or_else(|| removed(at, partition, read, last, shown));
    }
    let differs = there.iter().zip(shown).find(|(a, b)| a != b);
    let (kind, what) = match differs {
        Some((a, b)) if a.offset == b.offset => (
            Kind::InconsistentOffsets,
            format!("{} held {:?}, and now {:?}", a.offset, b.record, a.record),
        ),
        Some((a, b)) if a.offset < b.offset => (
            Kind::MissedRead,
            format!("{:?} at {} was passed over", a.record, a.offset),
        ),
        Some((_, b)) => (Kind::TruncatedRead, gone(b)),
        None if there.len() > shown.len() => {
            let missed = there[shown.len()];
            (
                Kind::MissedRead,
                format!("{:?} at {} was passed over", missed.record, missed.offset),
            )
        }
        None if there.len() < shown.len() => (Kind::TruncatedRead, gone(&shown[there.len()])),
        None if read.next > last.end.max(from) => (
            Kind::TruncatedRead,
            format!(
                "a reader went on at {}, the log ends at {}",
                read.next, last.end
            ),
        ),
        None => return None,
    };
    Some(Anomaly {
        kind,
        at: Some(at.clone()),
        what,
        events: ordered(read.event, last.event),
    })
}

/// Where compaction may remove records, those that are still there are the ones that were shown.
fn changed(at: &Place, read: &Read<'_>, last: &Final<'_>, shown: &[Seen]) -> Option<Anomaly> {
    let there = |seen: &Seen| last.between(seen.offset, seen.offset + 1).first();
    let (old, new) = shown
        .iter()
        .filter_map(|seen| there(seen).map(|now| (seen, now)))
        .find(|(old, new)| old.record != new.record)?;
    Some(Anomaly {
        kind: Kind::InconsistentOffsets,
        at: Some(at.clone()),
        what: format!(
            "{} held {:?}, and now {:?}",
            old.offset, old.record, new.record
        ),
        events: ordered(read.event, last.event),
    })
}

/// Compaction removes what has a newer record of its key, and nothing else.
fn removed(
    at: &Place,
    partition: &Partition<'_>,
    read: &Read<'_>,
    last: &Final<'_>,
    shown: &[Seen],
) -> Option<Anomaly> {
    let is_there = |seen: &Seen| !last.between(seen.offset, seen.offset + 1).is_empty();
    let key = |seen: &Seen| partition.written.get(&seen.record?)?.key;
    let lost = shown.iter().find(|seen| {
        !is_there(seen) && !partition.is_superseded(last, key(seen), Some(seen.offset))
    })?;
    Some(Anomaly {
        kind: Kind::TruncatedRead,
        at: Some(at.clone()),
        what: gone(lost),
        events: ordered(read.event, last.event),
    })
}

fn gone(seen: &Seen) -> String {
    format!("{:?} was shown at {} and is gone", seen.record, seen.offset)
}

fn ordered(a: usize, b: usize) -> Vec<usize> {
    vec![a.min(b), a.max(b)]
}
