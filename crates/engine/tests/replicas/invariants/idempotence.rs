//! Invariant 5: each producer's sequences are in the log once and without a gap.

use std::collections::BTreeMap;

use wire::batch::BatchHeader;

pub fn check(committed: &[BatchHeader]) {
    let mut next: BTreeMap<i64, i32> = BTreeMap::new();
    for batch in committed {
        let expected = next.entry(batch.producer_id).or_insert(0);
        assert_eq!(
            batch.base_sequence, *expected,
            "producer {} at offset {}: a batch is missing or doubled",
            batch.producer_id, batch.base_offset
        );
        *expected = batch.base_sequence + batch.record_count;
    }
}
