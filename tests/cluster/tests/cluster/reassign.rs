//! Replicas that move to other brokers while everything else goes on, or goes wrong.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cluster::Cluster;
use cluster::read::finish_and_check;
use wire::ErrorCode;

use crate::{PARTITIONS, TOPIC, loaded, scenario};

/// Five brokers, of which all replicas of a partition go to others than those that have it, but for one.
fn targets(cluster: &mut Cluster) -> Result<BTreeMap<i32, Option<Vec<i32>>>> {
    let topic = cluster.topic(TOPIC)?;
    let target = |replicas: &[i32]| vec![4, 5, replicas[1]];
    let partitions = topic.partitions.iter();
    Ok(partitions
        .map(|p| (p.index, Some(target(&p.replicas))))
        .collect())
}

fn wait_moved(cluster: &mut Cluster, targets: &BTreeMap<i32, Option<Vec<i32>>>) -> Result<()> {
    cluster.until("every replica is where it shall be", |cluster| {
        let there = cluster.topic(TOPIC)?;
        let moved = |p: &cluster::Partition| targets[&p.index].as_ref() == Some(&p.replicas);
        Ok(there.partitions.iter().all(moved) && cluster.moving()? == 0)
    })
}

#[test]
fn a_loaded_topic_moves_while_the_controller_dies() {
    let (cluster, load) = loaded(500).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        cluster.add_broker()?;
        cluster.add_broker()?;
        load.wait_more(500)?;
        let targets = targets(cluster)?;
        let before = cluster.topic(TOPIC)?;
        let controller = cluster.controller()?;
        ensure!(cluster.reassign(TOPIC, &targets)? == ErrorCode::None);
        cluster.node(controller).kill()?;
        load.wait_more(500)?;
        cluster.restart(controller)?;
        wait_moved(cluster, &targets)?;
        load.wait_more(300)?;
        for partition in before.partitions {
            let (index, kept) = (partition.index, &targets[&partition.index]);
            let gone = partition
                .replicas
                .iter()
                .filter(|id| !kept.iter().flatten().any(|kept| kept == *id));
            for id in gone {
                let directory = cluster.node(*id).partition_dir(TOPIC, index);
                cluster.until("a removed replica's log is deleted", |_| {
                    Ok(!directory.exists())
                })?;
            }
        }
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn a_move_that_cannot_end_is_taken_back() {
    let (cluster, load) = loaded(300).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let fourth = cluster.add_broker()?;
        cluster.node(fourth).stop()?;
        let before = cluster.topic(TOPIC)?;
        let to_fourth: BTreeMap<_, _> = (0..PARTITIONS)
            .map(|index| {
                let replicas = &before.partitions[index as usize].replicas;
                (index, Some(vec![replicas[0], replicas[1], fourth]))
            })
            .collect();
        let nothing: BTreeMap<i32, Option<Vec<i32>>> =
            (0..PARTITIONS).map(|index| (index, None)).collect();
        let refused = cluster.reassign(TOPIC, &nothing)?;
        ensure!(
            refused == ErrorCode::NoReassignmentInProgress,
            "{refused:?}"
        );
        ensure!(cluster.reassign(TOPIC, &to_fourth)? == ErrorCode::None);
        cluster.until("the moves are known", |cluster| {
            Ok(cluster.moving()? == PARTITIONS as usize)
        })?;
        load.wait_more(200)?;
        ensure!(
            cluster.moving()? == PARTITIONS as usize,
            "broker {fourth} is down"
        );
        ensure!(cluster.reassign(TOPIC, &nothing)? == ErrorCode::None);
        cluster.until("all is as before", |cluster| {
            let now = cluster.topic(TOPIC)?;
            let same = |p: &cluster::Partition| {
                let mut replicas = p.replicas.clone();
                let mut old = before.partitions[p.index as usize].replicas.clone();
                replicas.sort();
                old.sort();
                replicas == old
            };
            Ok(cluster.moving()? == 0 && now.partitions.iter().all(same))
        })?;
        load.wait_more(200)?;
        finish_and_check(cluster, TOPIC, load)
    });
}
