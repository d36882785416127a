//! Records that must become dead letters, each of some sinks.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::Stack;

/// A dead letter: sink, topic, partition and offset, as its headers name them.
pub type Letter = (String, String, String, String);

/// What is produced by hand: topic, value, and the sinks that must refuse it.
const POISON: [(&str, &str, &[&str]); 4] = [
    (
        "web-logs",
        "this is no JSON",
        &["postgres", "opensearch", "s3"],
    ),
    (
        "web-logs",
        r#"{"ip":"nowhere","status_code":"many"}"#,
        &["postgres", "opensearch"],
    ),
    (
        "bk-orders",
        "two croissants, please",
        &["postgres", "opensearch", "s3"],
    ),
    // PostgreSQL alone cannot hold this character.
    (
        "bk-orders",
        r#"{"id":"poison","customer":"a\u0000b","items":[],"total":0,"store":"s","payment_method":"cash","ordered_at":"2026-01-01T12:00:00.000Z"}"#,
        &["postgres"],
    ),
];

/// Writes the poison and gives the dead letters that must come of it: (sink, topic, partition, offset).
pub fn produce(stack: &Stack) -> Result<BTreeSet<Letter>> {
    let mut expected = BTreeSet::new();
    for (topic, value, sinks) in POISON {
        let printed = stack.millrace(&["produce", topic, "--value", value, "--verbose"])?;
        // "web-logs-3 offset 17"
        let (partition, offset) = printed
            .lines()
            .find_map(|line| {
                line.strip_prefix(topic)?
                    .strip_prefix('-')?
                    .split_once(" offset ")
            })
            .with_context(|| format!("where is it? {printed}"))?;
        for sink in sinks {
            expected.insert((
                sink.to_string(),
                topic.to_string(),
                partition.to_string(),
                offset.trim().to_string(),
            ));
        }
    }
    Ok(expected)
}
