//! Logs of which compaction has removed records.

use checker::Kind;
use checker::history::{Keyed, What};

use crate::events::*;

fn compacted() -> What {
    What::Compacted { at: at() }
}

/// A record of key 1, 2, ... at an offset.
fn record(key: u64, offset: i64) -> Keyed {
    Keyed {
        offset,
        key,
        digest: 100 * key + offset as u64,
        tombstone: false,
    }
}

fn tombstone(key: u64, offset: i64) -> Keyed {
    Keyed {
        tombstone: true,
        ..record(key, offset)
    }
}

/// A replica with a batch for each record, all below the high watermark 6.
fn cleaned_replica(broker: i32, log_start: i64, cleaned: i64, records: &[Keyed]) -> What {
    let batch = |record: &Keyed| (record.offset, record.offset + 1, record.digest);
    What::Replica {
        at: at(),
        broker,
        log_start,
        high_watermark: 6,
        cleaned,
        batches: records.iter().map(batch).collect(),
        records: records.to_vec(),
    }
}

fn both(one: What, other: What) -> Vec<What> {
    vec![compacted(), one, other]
}

/// Two keys, each written three times.
fn whole() -> Vec<Keyed> {
    (0..6).map(|n| record(n as u64 % 2 + 1, n)).collect()
}

fn without(offsets: &[i64]) -> Vec<Keyed> {
    let mut records = whole();
    records.retain(|record| !offsets.contains(&record.offset));
    records
}

#[test]
fn compaction_takes_records_but_changes_none() {
    accepts(vec![
        compacted(),
        sent(0),
        acked(0, 0),
        sent(1),
        acked(1, 1),
        fetched(0, 2, &[(0, p(1, 0)), (1, p(1, 1))]),
        last(0, 2, &[(1, p(1, 1))]),
    ]);
    rejects(
        Kind::InconsistentOffsets,
        vec![
            compacted(),
            sent(0),
            sent(1),
            fetched(0, 2, &[(1, p(1, 0))]),
            last(0, 2, &[(1, p(1, 1))]),
        ],
    );
}

#[test]
fn each_replica_is_compacted_as_far_as_it_likes() {
    let behind = || cleaned_replica(1, 0, 0, &whole());
    accepts(both(behind(), cleaned_replica(2, 0, 4, &without(&[0, 1]))));
    accepts(both(
        cleaned_replica(1, 0, 2, &whole()),
        cleaned_replica(2, 0, 6, &without(&[0, 1, 2, 3])),
    ));
    // What is missing lies above what either has cleaned, although a newer record of its key is there.
    rejects(
        Kind::ReplicasDiffer,
        both(behind(), cleaned_replica(2, 0, 2, &without(&[0, 1, 3]))),
    );
    // Who compacts nothing has no gap, whatever its replicas say.
    rejects(
        Kind::ReplicasDiffer,
        vec![behind(), cleaned_replica(2, 0, 4, &without(&[0, 1]))],
    );
}

#[test]
fn the_newest_record_of_each_key_is_the_same() {
    let behind = || cleaned_replica(1, 0, 0, &whole());
    // Key 2 has lost its newest record, or all of them.
    rejects(
        Kind::ReplicasDiffer,
        both(behind(), cleaned_replica(2, 0, 6, &without(&[0, 2, 5]))),
    );
    rejects(
        Kind::ReplicasDiffer,
        both(
            behind(),
            cleaned_replica(2, 0, 6, &without(&[0, 1, 2, 3, 5])),
        ),
    );
    // Another record is in its place.
    let mut other = without(&[0, 1, 2, 3]);
    other[1].digest += 1;
    rejects(
        Kind::ReplicasDiffer,
        both(behind(), cleaned_replica(2, 0, 6, &other)),
    );
    // What a log start has passed is compared no more.
    let never_again = [record(3, 0)];
    let with = [&never_again[..], &without(&[0])].concat();
    rejects(
        Kind::ReplicasDiffer,
        both(
            cleaned_replica(1, 0, 0, &with),
            cleaned_replica(2, 0, 6, &without(&[0])),
        ),
    );
    accepts(both(
        cleaned_replica(1, 0, 0, &with),
        cleaned_replica(2, 1, 6, &without(&[0])),
    ));
}

#[test]
fn a_tombstone_may_be_gone_and_nothing_that_it_has_buried_may_be_back() {
    let buried = [record(1, 0), record(2, 1), tombstone(1, 2), record(2, 3)];
    let behind = || cleaned_replica(1, 0, 0, &buried);
    accepts(both(
        behind(),
        cleaned_replica(2, 0, 4, &[tombstone(1, 2), record(2, 3)]),
    ));
    accepts(both(behind(), cleaned_replica(2, 0, 4, &[record(2, 3)])));
    rejects(
        Kind::ReplicasDiffer,
        both(
            behind(),
            cleaned_replica(2, 0, 4, &[record(1, 0), record(2, 3)]),
        ),
    );
}
