//! Retention takes records while the sinks are down: the gap stands in each store, in a metric, and in verify's report.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cluster::until;
use serde_json::{Value, json};

use crate::mesh::{GENERATORS, Mesh, PATIENCE, SINKS, Verified};

const TOPIC: &str = "web-logs";
const STORES: [(&str, &str); 3] = [
    ("postgres", "etl"),
    ("opensearch", "etl"),
    ("s3", "archiver"),
];

/// Log start and end of each partition.
type Log = BTreeMap<i64, (i64, i64)>;

pub fn what_it_took_is_recorded_and_reported(mesh: &Mesh) -> Result<()> {
    // Given sinks that hold everything and are stopped, and records that only the log holds
    let before = log(mesh)?;
    mesh.stop(SINKS)?;
    mesh.start_again(GENERATORS)?;
    mesh.stack.wait_acknowledged(600)?;
    mesh.stop(GENERATORS)?;
    // When retention takes them, and then records come again, and the sinks too
    let alter = ["configs", "alter", "topic", TOPIC];
    mesh.millrace(&[&alter[..], &["--set", "retention.ms=1"]].concat())?;
    until(PATIENCE, "retention takes every record", || {
        Ok(log(mesh)?.values().all(|(start, end)| start == end))
    })?;
    let after = log(mesh)?;
    mesh.millrace(&[&alter[..], &["--set", "retention.ms=604800000"]].concat())?;
    mesh.start_again(GENERATORS)?;
    mesh.start_again(SINKS)?;
    mesh.stack.wait_acknowledged(600)?;
    mesh.stop(GENERATORS)?;

    // Then each sink says which offsets it never saw, and nothing else is wrong
    let taken = |(partition, (_, end)): (&i64, &(i64, i64))| (*partition, *end, after[partition].0);
    let gaps: Vec<(i64, i64, i64)> = before.iter().map(taken).collect();
    ensure!(gaps.iter().all(|(_, from, to)| from < to), "{gaps:?}");
    let verified = mesh.verify(&["--wait", "90s"])?;
    mesh.expect_clean(&verified)?;
    for (sink, part) in STORES {
        expect_reported(&verified, sink, &gaps)?;
        expect_counted(mesh, part, sink, &gaps)?;
    }
    Ok(())
}

fn log(mesh: &Mesh) -> Result<Log> {
    let verified = mesh.verify(&["--topic", TOPIC, "--sink", "postgres"])?;
    let partitions = verified.report["topics"][0]["partitions"].clone();
    let one = |partition: &Value| {
        let number = |name: &str| partition[name].as_i64().context("a number");
        Ok((number("partition")?, (number("start")?, number("end")?)))
    };
    partitions
        .as_array()
        .context("partitions")?
        .iter()
        .map(one)
        .collect()
}

fn expect_reported(verified: &Verified, sink: &str, gaps: &[(i64, i64, i64)]) -> Result<()> {
    let gap = |(partition, from, to): &(i64, i64, i64)| json!({"partition": partition, "first": from, "last": to - 1});
    let expected: Vec<Value> = gaps.iter().map(gap).collect();
    let sinks = verified.report["topics"][0]["sinks"]
        .as_array()
        .context("sinks")?;
    let found = sinks
        .iter()
        .find(|report| report["sink"] == sink)
        .context("the sink")?;
    ensure!(
        found["retention_gaps"] == json!(expected),
        "{sink}: expected {expected:?}, but {}",
        found["retention_gaps"]
    );
    Ok(())
}

/// The sink's metric, over all partitions.
fn expect_counted(mesh: &Mesh, part: &str, sink: &str, gaps: &[(i64, i64, i64)]) -> Result<()> {
    let metrics = mesh.asked(part, "/metrics")?;
    let lost: i64 = gaps.iter().map(|(_, from, to)| to - from).sum();
    let labels = format!("{{sink=\"{sink}\",topic=\"{TOPIC}\"}}");
    let sample = format!("millrace_sink_gap_offsets_total{labels} {lost}");
    ensure!(
        metrics.lines().any(|line| line == sample),
        "no {sample:?} in: {metrics}"
    );
    Ok(())
}
