//! Real brokers under load: killed, stopped, cut off, starved, out of room, out of replicas, added, emptied, removed.
//!
//! Each scenario ends with a full read that shows every acknowledged record once and in order, and
//! with a comparison of the replicas byte for byte below the high watermark.

mod chaos;
mod damage;
mod disks;
mod failover;
mod groups;
mod hostile;
mod kills;
mod metrics;
mod pause;
mod reassign;
mod rolling;
mod saturation;
mod scaling;
mod shortage;
mod vanish;

use std::process::Command;

use anyhow::Result;
use cluster::{Cluster, Load, Settings, binary};
use serde_json::Value;

/// The topic of a scenario.
const TOPIC: &str = "load";
/// Its partitions: each broker leads two.
const PARTITIONS: i32 = 6;

/// A cluster with the topic and a load on it that is being acknowledged.
fn loaded(per_second: u32) -> Result<(Cluster, Load)> {
    loaded_with(Settings::default(), per_second, &[])
}

fn loaded_with(
    settings: Settings,
    per_second: u32,
    producer: &[(&str, &str)],
) -> Result<(Cluster, Load)> {
    let mut cluster = Cluster::with(settings)?;
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[])?;
    let load = Load::start(&mut cluster, TOPIC, per_second, 200, producer)?;
    load.wait_more(100)?;
    Ok((cluster, load))
}

/// Runs a scenario; where it fails, the brokers' last log lines are part of the error.
fn scenario(mut cluster: Cluster, run: impl FnOnce(&mut Cluster) -> Result<()>) {
    if let Err(error) = run(&mut cluster) {
        panic!("{error:?}\n{}", cluster.log_tails());
    }
}

/// Runs one of this package's programs to its good end; gives its closing lines, and what it has told before.
fn closing(program: &str, arguments: &[&str]) -> (Value, String) {
    let run = Command::new(binary(program).expect("it is built with this test"))
        .args(arguments)
        .args(["--format", "json"])
        .output()
        .expect("it can be started");
    let story = String::from_utf8_lossy(&run.stderr).into_owned();
    let closing = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}\n{story}\n{closing}", run.status);
    let closing = serde_json::from_str(&closing).expect("the closing lines are JSON");
    println!("{closing:#}");
    (closing, story)
}
