//! Faults of the network around one broker.

use rand::Rng;
use rand::rngs::StdRng;

use crate::{Cluster, broker_name};

fn other_brokers(cluster: &Cluster<'_>, victim: i32) -> Vec<String> {
    let others = cluster.brokers().into_iter().filter(|id| *id != victim);
    others.map(broker_name).collect()
}

/// Other brokers cannot reach it, nor it them.
pub fn cut_off(cluster: &mut Cluster<'_>, victim: i32) {
    for other in other_brokers(cluster, victim) {
        cluster.sim.partition(broker_name(victim), other);
    }
}

/// Nobody can reach it, nor it anybody.
pub fn isolate(cluster: &mut Cluster<'_>, victim: i32) {
    cut_off(cluster, victim);
    for client in cluster.clients() {
        cluster.sim.partition(broker_name(victim), client.as_str());
    }
}

/// Whom a fault of one direction, or of some messages, is about: the other brokers, the clients, or everybody.
fn some_peers(cluster: &Cluster<'_>, victim: i32, dice: &mut StdRng) -> Vec<String> {
    let brokers = other_brokers(cluster, victim).into_iter();
    let clients = cluster.clients().iter().cloned();
    match dice.random_range(0..4) {
        0 | 1 => brokers.collect(),
        2 => clients.collect(),
        _ => brokers.chain(clients).collect(),
    }
}

/// What it says is lost; what is said to it arrives.
pub fn mute(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    for other in some_peers(cluster, victim, dice) {
        cluster.sim.partition_oneway(broker_name(victim), other);
    }
}

/// What is said to it is lost; what it says arrives.
pub fn deafen(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    for other in some_peers(cluster, victim, dice) {
        cluster.sim.partition_oneway(other, broker_name(victim));
    }
}

/// What is sent stays under way.
pub fn delay(cluster: &mut Cluster<'_>, victim: i32) {
    for other in other_brokers(cluster, victim) {
        cluster.sim.hold(broker_name(victim), other);
    }
}

/// What was held arrives.
pub fn deliver(cluster: &mut Cluster<'_>, victim: i32) {
    for other in other_brokers(cluster, victim) {
        cluster.sim.release(broker_name(victim), other);
    }
}

/// Everybody can reach it again. What was lost stays lost: turmoil sends nothing twice, so connections of that time hang.
pub fn heal(cluster: &mut Cluster<'_>, victim: i32) {
    for other in other_brokers(cluster, victim) {
        cluster.sim.repair(broker_name(victim), other);
    }
    for client in cluster.clients() {
        cluster.sim.repair(broker_name(victim), client.as_str());
    }
}

/// One in so many messages is lost.
const LOST: f64 = 0.01;

/// Some messages between it and others are lost.
pub fn lose(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    for other in some_peers(cluster, victim, dice) {
        let victim = broker_name(victim);
        cluster.sim.set_link_fail_rate(victim, other, LOST);
    }
}

/// No more are lost.
pub fn heal_loss(cluster: &mut Cluster<'_>, victim: i32) {
    let brokers = other_brokers(cluster, victim).into_iter();
    let everybody = brokers.chain(cluster.clients().iter().cloned());
    for other in everybody.collect::<Vec<_>>() {
        let victim = broker_name(victim);
        cluster.sim.set_link_fail_rate(victim, other, 0.0);
    }
    heal(cluster, victim);
}

/// About half of its connections are half open from now on; gives their number.
pub fn half_open(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) -> usize {
    cluster
        .host(victim)
        .connections()
        .silence(|| dice.random_bool(0.5))
}

/// About half of its connections are reset; gives their number.
pub fn reset(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) -> usize {
    cluster
        .host(victim)
        .connections()
        .reset(|| dice.random_bool(0.5))
}
