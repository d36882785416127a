//! Everything is killed or stopped once while records flow; then nothing is missing and nothing is doubled.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::Stack;

use crate::mesh::{GENERATORS, Mesh, SINKS};

/// Records between two blows, so that each hits work in progress.
const BETWEEN: u64 = 500;

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

/// Each service, a broker and each store is struck while records flow.
pub fn nothing_is_lost_or_doubled(mesh: &Mesh) -> Result<()> {
    let stack = &mesh.stack;
    // Given what a chapter before has had refused
    let refused_before = stack.dead_letters("web-logs")?;
    let is_earlier = |letter: &(String, String, String, String)| {
        let (_, topic, partition, offset) = letter;
        let same = |one: &(String, String, String, String)| {
            (&one.1, &one.2, &one.3) == (topic, partition, offset)
        };
        refused_before.iter().any(same)
    };
    // When services die in the middle of their work, a broker dies, and each store is away for a while
    mesh.start_again(GENERATORS)?;
    for service in ["etl", "archiver"] {
        stack.wait_acknowledged(BETWEEN)?;
        stack.kill(service)?;
    }
    let poison = produce_poison(stack)?;
    stack.kill("broker-1")?;
    stack.wait_acknowledged(BETWEEN)?;
    for (store, sink) in [
        ("postgres", "etl"),
        ("opensearch", "etl"),
        ("s3", "archiver"),
    ] {
        // a sink starts without its store, too
        stack.outage(store, || {
            stack.wait_acknowledged(BETWEEN)?;
            stack.kill(sink)
        })?;
    }
    // and all of them without a broker
    stack.outage("broker-1,broker-2,broker-3", || {
        let mut services = [GENERATORS, SINKS]
            .into_iter()
            .flat_map(|some| some.split(','));
        services.try_for_each(|service| stack.kill(service))
    })?;
    stack.wait_acknowledged(BETWEEN)?;

    // Then verify finds each record once in each sink
    mesh.stop(GENERATORS)?;
    println!("{}", stack.millrace(&["verify", "--wait", "180s"])?);
    // and the distinct dead letters are exactly the poison
    let mut dead = BTreeSet::new();
    for topic in ["web-logs", "bk-orders"] {
        dead.extend(stack.dead_letters(topic)?);
    }
    dead.retain(|letter| !is_earlier(letter));
    ensure!(
        dead == poison,
        "dead letters that are no poison, or poison without: {:#?}",
        dead.symmetric_difference(&poison)
    );
    Ok(())
}

/// Writes the poison and gives the dead letters that must come of it: (sink, topic, partition, offset).
fn produce_poison(stack: &Stack) -> Result<BTreeSet<(String, String, String, String)>> {
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
