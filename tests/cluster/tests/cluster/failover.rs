//! How long a partition is without a leader after a `kill -9`: the one bound on time in these tests,
//! loose, on a median, and printed in full.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cluster::read::finish_and_check;
use cluster::{Cluster, Settings};

use crate::{PARTITIONS, TOPIC, loaded_with, scenario};

/// Kills that are measured.
const ROUNDS: usize = 10;
/// Acknowledgements that the dead broker had sent may still arrive for so long.
const IN_FLIGHT: Duration = Duration::from_millis(50);
/// The loose limit on the median.
const LIMIT: Duration = Duration::from_secs(10);

/// The active controller, with the partitions that it leads: waits until it leads its share again.
fn leading_controller(cluster: &mut Cluster) -> Result<(i32, Vec<i32>)> {
    let share = PARTITIONS as usize / 3;
    let mut found = None;
    cluster.until("the active controller leads its share", |cluster| {
        let controller = cluster.controller()?;
        let topic = cluster.topic(TOPIC)?;
        let led: Vec<i32> = topic
            .partitions
            .iter()
            .filter(|partition| partition.leader == Some(controller))
            .map(|partition| partition.index)
            .collect();
        let enough = led.len() >= share;
        found = Some((controller, led));
        Ok(enough)
    })?;
    found.context("the wait above has found it")
}

#[test]
fn after_a_kill_of_the_active_controller_its_partitions_are_acknowledged_soon() {
    let settings = Settings::default().property("leader.imbalance.check.interval.seconds", "1");
    let (cluster, load) = loaded_with(settings, 500, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let mut gaps = Vec::new();
        for _ in 0..ROUNDS {
            cluster.wait_in_sync(TOPIC)?;
            let (controller, led) = leading_controller(cluster)?;
            cluster.node(controller).kill()?;
            let killed = Instant::now() + IN_FLIGHT;
            let first = load.first_acks_since(killed, &led)?;
            gaps.push(first.values().max().copied().unwrap_or_default() + IN_FLIGHT);
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
