//! OpenSearch's answers to the ETL's bulk requests.

use serde_json::Value;

use crate::memory;
use crate::programs::fates_told;

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 256;

/// The answer's body.
pub fn bulk_answers(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "an answer", || {
        let answer: Value = serde_json::from_slice(input).unwrap_or(Value::Null);
        let items = answer["items"].as_array().map_or(0, Vec::len);
        if let Some(told) = fates_told(&answer, items) {
            assert_eq!(told, items, "each document has its own fate");
        }
        assert_eq!(fates_told(&answer, items + 1), None);
    });
}
