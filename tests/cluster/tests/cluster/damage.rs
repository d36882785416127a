//! Bits that change in real files, under load and while a broker is away.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use cluster::read::finish_and_check;
use cluster::{Cluster, Settings};

use crate::{TOPIC, loaded_with, scenario};

/// Changes a bit in the middle of what is there of a replica.
fn flip(cluster: &mut Cluster, broker: i32, partition: i32) -> Result<()> {
    let directory = cluster.node(broker).partition_dir(TOPIC, partition);
    let path = directory.join("00000000000000000000.log");
    let file = File::options().read(true).write(true).open(&path)?;
    let at = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 0x20], at)?;
    println!("broker {broker}: a bit of byte {at} of {}", path.display());
    Ok(())
}

/// Waits until a replica's damaged segment has been replaced.
fn wait_repaired(cluster: &mut Cluster, broker: i32, partition: i32) -> Result<()> {
    let directory = cluster.node(broker).partition_dir(TOPIC, partition);
    cluster.until("the segment is repaired", |_| {
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory)? {
            names.push(entry?.file_name());
        }
        let ends = |end| names.iter().any(|n| n.to_string_lossy().ends_with(end));
        Ok(ends(".log.damaged") && !ends(".swap"))
    })
}

fn repaired(cluster: &mut Cluster, broker: i32) -> Result<u32> {
    let metrics = cluster.node(broker).metrics()?;
    let name = "millrace_broker_log_repaired_segments_total ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.context("no such metric")?.trim().parse()?)
}

#[test]
fn a_bit_that_changes_on_a_disk_is_put_right() {
    let settings = Settings::default()
        .property("log.scrub.interval.ms", "2000")
        .property("log.flush.interval.ms", "100");
    let (cluster, load) = loaded_with(settings, 300, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        load.wait_more(600)?;
        let leader = cluster.leader(TOPIC, 0)?;
        let follower = leader % 3 + 1;
        flip(cluster, leader, 0)?;
        flip(cluster, follower, 0)?;
        wait_repaired(cluster, leader, 0)?;
        wait_repaired(cluster, follower, 0)?;
        // It is counted when the old files are gone.
        cluster.until("the repair is counted", |cluster| {
            Ok(repaired(cluster, leader)? == 1)
        })?;

        cluster.node(follower).stop()?;
        flip(cluster, follower, 1)?;
        cluster.restart(follower)?;
        wait_repaired(cluster, follower, 1)?;
        load.wait_more(100)?;
        for broker in 1..=3 {
            let damaged = cluster.node(broker).events_with("no other replica");
            ensure!(damaged.is_empty(), "{damaged:?}");
        }
        finish_and_check(cluster, TOPIC, load)
    });
}
