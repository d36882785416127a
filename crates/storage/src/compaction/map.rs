//! The newest offset of each key, in bounded memory: of a key only 128 bits of a keyed hash are kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// What one key costs, with the table's slack.
const ENTRY_BYTES: usize = 48;

pub(super) struct OffsetMap {
    offsets: HashMap<u128, i64>,
    limit: usize,
    hashers: [RandomState; 2],
}

impl OffsetMap {
    pub fn new(limit_bytes: usize) -> OffsetMap {
        OffsetMap {
            offsets: HashMap::new(),
            limit: (limit_bytes / ENTRY_BYTES).max(1),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }

    /// Whether `keys` more might not fit.
    pub fn is_full_for(&self, keys: usize) -> bool {
        self.offsets.len() + keys > self.limit && !self.offsets.is_empty()
    }

    /// Offsets must grow.
    pub fn put(&mut self, key: &[u8], offset: i64) {
        self.offsets.insert(self.hash(key), offset);
    }

    /// Whether a newer record than the one at `offset` has the key.
    pub fn supersedes(&self, key: &[u8], offset: i64) -> bool {
        self.offsets
            .get(&self.hash(key))
            .is_some_and(|newest| *newest > offset)
    }
}
