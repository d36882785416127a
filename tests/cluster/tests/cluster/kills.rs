//! Brokers that die: `kill -9` under acks=all load.

use cluster::read::finish_and_check;

use crate::{TOPIC, loaded, scenario};

#[test]
fn a_killed_leader_loses_nothing() {
    let (cluster, load) = loaded(500).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let leader = cluster.leader(TOPIC, 0)?;
        cluster.node(leader).kill()?;
        load.wait_more(500)?;
        cluster.restart(leader)?;
        load.wait_more(500)?;
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn every_broker_killed_in_turn_loses_nothing() {
    let (cluster, load) = loaded(500).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        for id in 1..=3 {
            cluster.node(id).kill()?;
            load.wait_more(300)?;
            cluster.restart(id)?;
            cluster.wait_in_sync(TOPIC)?;
        }
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn two_killed_at_once_and_back_lose_nothing() {
    let (cluster, load) = loaded(500).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        cluster.node(1).kill()?;
        cluster.node(2).kill()?;
        // Nothing can be acknowledged now: both the quorum and min.insync.replicas are lost.
        cluster.node(1).start()?;
        cluster.node(2).start()?;
        cluster.wait_ready()?;
        load.wait_more(500)?;
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn all_killed_at_once_and_back_lose_nothing() {
    let (cluster, load) = loaded(500).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        for id in 1..=3 {
            cluster.node(id).kill()?;
        }
        for id in 1..=3 {
            cluster.node(id).start()?;
        }
        cluster.wait_ready()?;
        load.wait_more(500)?;
        finish_and_check(cluster, TOPIC, load)
    });
}
