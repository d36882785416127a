//! Faults of one broker's disk.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use storage::disk::memory::{Fault, Operation};

use crate::Cluster;

/// The logs of the workload's topics, and not the metadata's.
const LOGS: &str = "/data/lives";

/// There is room for a few more bytes.
pub fn fill(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    let disk = cluster.host(victim).disk();
    let room = dice.random_range(0..4096);
    disk.set_capacity_bytes(Some(disk.used_bytes() + room));
}

/// The next fsync of a partition's log fails.
pub fn fail_sync(cluster: &mut Cluster<'_>, victim: i32) {
    let fault = Fault::once(Operation::Sync, LOGS);
    cluster.host(victim).disk().inject(fault);
}

/// A few reads of partitions' logs fail.
pub fn fail_reads(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    reads(cluster, victim, Operation::Read, dice);
}

/// A few reads of partitions' logs give something else than what is there.
pub fn flip_reads(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    reads(cluster, victim, Operation::Flip, dice);
}

fn reads(cluster: &mut Cluster<'_>, victim: i32, operation: Operation, dice: &mut StdRng) {
    let fault = Fault {
        suffix: ".log".into(),
        after: dice.random_range(0..5),
        times: dice.random_range(1..5),
        ..Fault::once(operation, LOGS)
    };
    cluster.host(victim).disk().inject(fault);
}

/// The disk is well again; the broker starts anew on it, as its log directory stays out of service until then.
pub fn replace(cluster: &mut Cluster<'_>, victim: i32) {
    cluster.host(victim).disk().heal();
    cluster.restart(victim);
}

/// Cold reads and fsyncs wait.
pub fn slow(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    let stall = Duration::from_millis(dice.random_range(5..500));
    cluster.host(victim).set_stall(stall);
}
