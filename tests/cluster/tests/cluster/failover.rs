//! How long a partition is without a leader after a `kill -9`: the one bound on time in these tests,
//! loose, on a median, and printed in full.

use std::time::{Duration, Instant};

use cluster::read::finish_and_check;

use crate::{TOPIC, loaded, scenario};

/// Kills that are measured.
const ROUNDS: usize = 5;
/// The loose limit on the median.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn after_a_kill_of_the_active_controller_its_partitions_are_acknowledged_soon() {
    let (cluster, load) = loaded(500).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let mut gaps = Vec::new();
        for _ in 0..ROUNDS {
            cluster.wait_in_sync(TOPIC)?;
            let controller = cluster.controller()?;
            let led: Vec<i32> = cluster
                .topic(TOPIC)?
                .partitions
                .iter()
                .filter(|partition| partition.leader == Some(controller))
                .map(|partition| partition.index)
                .collect();
            let killed = Instant::now();
            cluster.node(controller).kill()?;
            let first = load.first_acks_since(killed, &led)?;
            gaps.push(first.values().max().copied().unwrap_or_default());
            cluster.restart(controller)?;
        }
        println!("kill -9 of the active controller to the last partition's next ack: {gaps:?}");
        gaps.sort();
        let median = gaps[gaps.len() / 2];
        println!("median: {median:?}");
        anyhow::ensure!(
            median < LIMIT,
            "the median of {gaps:?} is not below {LIMIT:?}"
        );
        finish_and_check(cluster, TOPIC, load)
    });
}
