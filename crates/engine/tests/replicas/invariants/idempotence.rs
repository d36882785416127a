//! Invariant 5: each producer's sequences are in the log once and without a gap.

use std::collections::BTreeMap;

use wire::batch::BatchHeader;

#[derive(Default)]
pub struct Idempotence {
    next: BTreeMap<i64, i32>,
    seen: usize,
}

impl Idempotence {
    pub fn check(&mut self, committed: &[BatchHeader]) {
        for batch in &committed[self.seen..] {
            let expected = self.next.entry(batch.producer_id).or_insert(0);
            assert_eq!(
                batch.base_sequence, *expected,
                "producer {} at offset {}: a batch is missing or doubled",
                batch.producer_id, batch.base_offset
            );
            *expected = batch.base_sequence + batch.record_count;
        }
        self.seen = committed.len();
    }
}
