//! What is in a record: the checker's name of it, and some bytes.

use checker::RecordId;

/// Bytes of a record behind its name, so that batches and segments have some size.
const PADDING: usize = 120;

/// The whole value of a record: its name first, a blank behind it.
pub fn value(record: RecordId) -> String {
    format!("{record} {}", "x".repeat(PADDING))
}
