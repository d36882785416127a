//! Disks of real processes: one that is full, and one that dies under a broker.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::read::{everything, finish_and_check};
use cluster::{Cluster, Load, Mount, Settings, produce};
use wire::ErrorCode;

use crate::{PARTITIONS, TOPIC, scenario};

/// The broker whose disk is hurt.
const VICTIM: i32 = 1;
/// A topic that nobody else has a replica of.
const ALONE: &str = "alone";
/// Its small disk, and the free space below which it refuses to write.
const DISK_MIB: u64 = 128;
const FLOOR_MIB: u64 = 32;

fn skip() -> bool {
    let lacking = Mount::lacking();
    if let Some(lacking) = lacking {
        println!("SKIPPED: no disks can be made here: {lacking} is missing");
    }
    lacking.is_some()
}

/// Whether every partition of the load is led by another broker and does not wait for this one.
fn is_out(cluster: &mut Cluster) -> Result<bool> {
    let partitions = cluster.topic(TOPIC)?.partitions;
    Ok(partitions
        .iter()
        .all(|p| p.leader.is_some_and(|id| id != VICTIM) && !p.isr.contains(&VICTIM)))
}

fn loaded(cluster: &mut Cluster) -> Result<Load> {
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[])?;
    let load = Load::start(cluster, TOPIC, 300, 200, &[])?;
    load.wait_more(100)?;
    Ok(load)
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    if skip() {
        return;
    }
    let settings = Settings::default()
        .property("log.min.free.bytes", &(FLOOR_MIB << 20).to_string())
        .property("metadata.log.reserve.bytes", "4194304");
    let mut cluster = Cluster::prepare(&settings).expect("a cluster");
    let mount = Mount::memory(&cluster.node(VICTIM).data, DISK_MIB).expect("a small disk");
    cluster.hold(mount);
    cluster.start_all().expect("it starts");
    scenario(cluster, |cluster| {
        cluster.create_topic_on(ALONE, &[&[VICTIM]])?;
        let load = loaded(cluster)?;
        let address = cluster.node(VICTIM).address;
        ensure!(produce(address, ALONE, 0, -1)? == Some(ErrorCode::None));
        // The reserve is made some seconds after the start.
        let reserve = cluster.node(VICTIM).data.join("__cluster_metadata-0");
        cluster.until("the reserve is there", |_| {
            let mut sizes = Vec::new();
            for entry in fs::read_dir(&reserve)? {
                sizes.push(entry?.metadata()?.len());
            }
            Ok(sizes.contains(&(4 << 20)))
        })?;

        let ballast = cluster.mounts()[0].fill(FLOOR_MIB << 19)?;
        let mut answers = BTreeSet::new();
        cluster.until("a nearly full disk refuses", |_| {
            let code = produce(address, ALONE, 0, -1)?.context("an unknown code")?;
            answers.insert(format!("{code:?}"));
            Ok(code == ErrorCode::KafkaStorageError)
        })?;
        cluster.until("others lead", is_out)?;
        load.wait_more(300)?;

        // Not a byte is left but the reserve, and the metadata log is still written.
        cluster.mounts()[0].fill(0)?;
        for number in 0..10 {
            cluster.create_topic_on(&format!("meanwhile-{number}"), &[&[2, 3]])?;
        }
        cluster.until("its metadata goes on", |cluster| {
            Ok(cluster.topic_at(Some(VICTIM), "meanwhile-9").is_ok())
        })?;
        let code = produce(address, ALONE, 0, -1)?;
        ensure!(code == Some(ErrorCode::KafkaStorageError), "{code:?}");
        load.wait_more(100)?;
        ensure!(cluster.node(VICTIM).is_running(), "the broker has ended");
        println!("a full disk: {answers:?}");
        let read = everything(cluster, ALONE)?;
        ensure!(!read[&0].is_empty(), "nothing can be read");

        fs::remove_file(ballast)?;
        cluster.until("there is room again", |_| {
            Ok(produce(address, ALONE, 0, -1)? == Some(ErrorCode::None))
        })?;
        load.wait_more(100)?;
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn a_disk_that_dies_takes_its_directory_out_of_service_and_nothing_else() {
    if skip() {
        return;
    }
    let mut cluster = Cluster::prepare(&Settings::default()).expect("a cluster");
    let place = cluster.directory().join("second-disk");
    let image = cluster.directory().join("second-disk.ext4");
    cluster
        .node(VICTIM)
        .add_directory(&place)
        .expect("a directory");
    match Mount::device(&place, &image, 64) {
        Ok(mount) => cluster.hold(mount),
        Err(error) => {
            println!("SKIPPED: no disk can be made to fail here: {error:#}");
            return;
        }
    }
    let small = ("log.min.free.bytes", "1048576");
    cluster
        .node(VICTIM)
        .add_property(small.0, small.1)
        .expect("a property");
    cluster.start_all().expect("it starts");
    scenario(cluster, |cluster| {
        let load = loaded(cluster)?;
        cluster.mounts()[0].fail()?;
        cluster.until("others lead", is_out)?;
        load.wait_more(300)?;
        ensure!(cluster.node(VICTIM).is_running(), "the broker has ended");
        let out = cluster.node(VICTIM).events_with("out of service");
        ensure!(!out.is_empty(), "it has not told");

        cluster.node(VICTIM).kill()?;
        cluster.mounts()[0].replace()?;
        cluster.restart(VICTIM)?;
        load.wait_more(100)?;
        finish_and_check(cluster, TOPIC, load)
    });
}
