//! Everything is killed or stopped once while records flow; then nothing is missing and nothing is doubled.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::poison::{self, Letter};

use crate::mesh::{GENERATORS, Mesh, SINKS};

/// Records between two blows, so that each hits work in progress.
const BETWEEN: u64 = 500;

/// Each service, a broker and each store is struck while records flow.
pub fn nothing_is_lost_or_doubled(mesh: &Mesh) -> Result<()> {
    let stack = &mesh.stack;
    // Given what a chapter before has had refused
    let refused_before = stack.dead_letters("web-logs")?;
    let is_earlier = |letter: &Letter| {
        let (_, topic, partition, offset) = letter;
        let same = |one: &Letter| (&one.1, &one.2, &one.3) == (topic, partition, offset);
        refused_before.iter().any(same)
    };
    // When services die in the middle of their work, a broker dies, and each store is away for a while
    mesh.start_again(GENERATORS)?;
    for service in ["etl", "archiver"] {
        stack.wait_acknowledged(BETWEEN)?;
        stack.kill(service)?;
    }
    let poison = poison::produce(stack)?;
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
