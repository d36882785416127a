//! Faults of one broker's disk.

use std::time::Duration;

use broker::quorum::DIRECTORY as METADATA;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use storage::disk::memory::{Fault, Operation};

use crate::Cluster;

/// The logs of the workload's topics, in whichever log directory.
const LOGS: &str = "/lives";
/// Those of what groups have committed.
const OFFSETS: &str = "/__consumer_offsets";
/// The small files by which a start knows where each log was.
const CHECKPOINTS: &str = "-checkpoint";

/// Where a disk goes wrong: mostly where most is written and read, at times in what all of a broker depends on.
fn place(dice: &mut StdRng, rare: &[&'static str]) -> &'static str {
    match dice.random_bool(0.6) {
        true => LOGS,
        false => rare.choose(dice).copied().unwrap_or(LOGS),
    }
}

/// There is room for a few more bytes.
pub fn fill(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    let disk = cluster.host(victim).disk();
    let room = dice.random_range(0..4096);
    disk.set_capacity_bytes(Some(disk.used_bytes() + room));
}

/// The next fsync of a log, of the metadata or of a checkpoint fails.
pub fn fail_sync(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    let place = place(dice, &[OFFSETS, METADATA, CHECKPOINTS]);
    let fault = Fault::once(Operation::Sync, place);
    cluster.host(victim).disk().inject(fault);
}

/// A few reads of logs fail.
pub fn fail_reads(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    reads(cluster, victim, Operation::Read, dice);
}

/// A few reads of logs give something else than what is there.
pub fn flip_reads(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    reads(cluster, victim, Operation::Flip, dice);
}

fn reads(cluster: &mut Cluster<'_>, victim: i32, operation: Operation, dice: &mut StdRng) {
    let place = place(dice, &[OFFSETS, METADATA]);
    let suffix = if place == METADATA { ".raft" } else { ".log" };
    // What reads wrong twice at a start is damaged to a voter, which gives its metadata up: several of them would at once.
    let lasting = (place, operation) != (METADATA, Operation::Flip);
    let fault = Fault {
        suffix: suffix.into(),
        after: dice.random_range(0..5),
        times: if lasting { dice.random_range(1..5) } else { 1 },
        ..Fault::once(operation, place)
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
