//! A machine without time to spare: several busy threads per core for a minute, beside a producer with acks=all.
//!
//! Nobody has died, so nobody may be fenced. Two witnesses: the leader epochs, which fencing a leader raises in one
//! write with everything else that follows, and the active controller's own warnings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster::read::finish_and_check;
use cluster::{Cluster, Settings, until};

use crate::{TOPIC, loaded_with, scenario};

const LASTING: Duration = Duration::from_secs(60);
const BUSY_PER_CORE: usize = 4;

/// Threads that do nothing as fast as they can, at normal priority.
struct Busy {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Busy {
    fn start() -> Result<Busy> {
        let end = Arc::new(AtomicBool::new(false));
        let cores = thread::available_parallelism()?.get();
        let threads = (0..cores * BUSY_PER_CORE)
            .map(|seed| {
                let end = end.clone();
                thread::spawn(move || spin(seed as u64, &end))
            })
            .collect();
        Ok(Busy { end, threads })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic in such a thread would have nothing to say.
            let _ = thread.join();
        }
    }
}

fn spin(mut x: u64, end: &AtomicBool) -> u64 {
    while !end.load(Ordering::Relaxed) {
        for _ in 0..10_000 {
            x = std::hint::black_box(x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
        }
    }
    x
}

/// Partition, leader, leader epoch.
fn leaderships(cluster: &mut Cluster) -> Result<Vec<(i32, Option<i32>, i32)>> {
    let partitions = cluster.topic(TOPIC)?.partitions;
    Ok(partitions
        .iter()
        .map(|p| (p.index, p.leader, p.leader_epoch))
        .collect())
}

#[test]
fn nobody_is_fenced_while_all_cores_are_saturated() {
    let (cluster, load) = loaded_with(Settings::default(), 300, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let (before, terms) = (leaderships(cluster)?, cluster.terms());
        let acked = load.acked();
        let busy = Busy::start()?;
        let begun = Instant::now();
        until(LASTING * 2, "a minute under full load", || {
            ensure!(begun.elapsed() >= LASTING, "{:?}", begun.elapsed());
            Ok(true)
        })?;
        let acked = load.acked() - acked;
        drop(busy);
        let terms = cluster.terms().len() - terms.len();
        println!(
            "60 s at {BUSY_PER_CORE} busy threads per core: {acked} acknowledged, {terms} new terms"
        );
        let fencings = cluster.fencings();
        ensure!(
            fencings.is_empty(),
            "fenced although nobody died: {fencings:#?}"
        );
        let after = leaderships(cluster)?;
        ensure!(
            before == after,
            "leaders have changed: {before:?}, {after:?}"
        );
        ensure!(acked > 0, "nothing was acknowledged under load");
        finish_and_check(cluster, TOPIC, load)
    });
}
