//! Machines that vanish without a word (power, a cut cable): nobody's connection is closed, nothing is refused.
//!
//! The brokers run in network namespaces behind a switch of the test's own, whose cables it pulls.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::read::finish_and_check;
use cluster::{Cluster, Load, Machines, Settings, produce, until, within};
use wire::ErrorCode;

use crate::{PARTITIONS, TOPIC, loaded_with, scenario};

/// Where single records are tried, apart from the load.
const PROBE: &str = "probe";
/// Below `broker.session.timeout.ms`: nothing has waited for that.
const LIMIT: Duration = Duration::from_secs(8);
/// Acknowledgements that had arrived before the cut may be told so much later.
const IN_FLIGHT: Duration = Duration::from_millis(200);
/// A machine that stands still for so long is not gone.
const STILL: Duration = Duration::from_secs(4);

/// The partitions of a topic that a broker leads.
fn led_by(cluster: &mut Cluster, topic: &str, broker: i32) -> Result<Vec<i32>> {
    let partitions = cluster.topic(topic)?.partitions;
    let led = partitions.iter().filter(|p| p.leader == Some(broker));
    Ok(led.map(|p| p.index).collect())
}

/// Waits until each of these partitions of a lost broker is acknowledged by another leader, as a client sees it that
/// asks another broker.
fn acknowledged(cluster: &mut Cluster, victim: i32, partitions: &[i32]) -> Result<()> {
    let asked = (1..=3).find(|id| *id != victim);
    for partition in partitions.iter().copied() {
        within(LIMIT * 3, "another leader acknowledges", || {
            let topic = cluster.topic_at(asked, PROBE)?;
            let found = topic.partitions.iter().find(|p| p.index == partition);
            let leader = found.and_then(|p| p.leader).context("no leader")?;
            ensure!(leader != victim, "the lost broker leads");
            let code = produce(cluster.node(leader).address, PROBE, partition, -1)?;
            ensure!(code == Some(ErrorCode::None), "{code:?}");
            Ok(Some(()))
        })?;
    }
    Ok(())
}

/// Cuts one off, prints what that does, and waits until it is back in every ISR.
fn cut_and_heal(cluster: &mut Cluster, load: &Load, victim: i32, who: &str) -> Result<Duration> {
    let probed = led_by(cluster, PROBE, victim)?;
    let loaded = led_by(cluster, TOPIC, victim)?;
    ensure!(!probed.is_empty() && !loaded.is_empty(), "it leads nothing");
    cluster.machines()?.cut(victim)?;
    let cut = Instant::now();
    acknowledged(cluster, victim, &probed)?;
    let took = cut.elapsed();
    let client = load.first_acks_since(cut + IN_FLIGHT, &loaded)?;
    let client = client.values().max().copied().unwrap_or_default() + IN_FLIGHT;
    cluster.machines()?.heal(victim)?;
    let healed = Instant::now();
    cluster.wait_in_sync(TOPIC)?;
    cluster.wait_in_sync(PROBE)?;
    println!(
        "the machine of {who} vanishes: its partitions are acknowledged after {took:?} \
         (a librdkafka with socket.timeout.ms=2000: {client:?}); back in sync {:?} after its return",
        healed.elapsed()
    );
    Ok(took)
}

/// The leader of its share that is, or is not, the active controller.
fn victim(cluster: &mut Cluster, is_controller: bool) -> Result<i32> {
    let mut found = None;
    cluster.until("every broker leads its share", |cluster| {
        let controller = cluster.controller()?;
        let topic = cluster.topic(PROBE)?;
        let leads = |id| {
            topic
                .partitions
                .iter()
                .filter(|p| p.leader == Some(id))
                .count()
        };
        found = (1..=3).find(|id| (*id == controller) == is_controller);
        Ok((1..=3).all(|id| leads(id) == PARTITIONS as usize / 3))
    })?;
    found.context("no such broker")
}

#[test]
fn a_vanished_machine_is_noticed_and_one_that_stands_still_is_not() {
    if let Some(lacking) = Machines::lacking() {
        println!("SKIPPED: no machines can be made to vanish here: {lacking} is missing");
        return;
    }
    let settings = Settings::default()
        .machines()
        .property("leader.imbalance.check.interval.seconds", "1");
    let patience = [
        ("socket.timeout.ms", "2000"),
        ("socket.connection.setup.timeout.ms", "1000"),
    ];
    let (cluster, load) = loaded_with(settings, 300, &patience).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        cluster.create_topic(PROBE, PARTITIONS, 3, &[])?;
        let still = victim(cluster, false)?;
        let (before, terms) = (cluster.fencings().len(), cluster.terms().len());
        cluster.node(still).pause()?;
        let begun = Instant::now();
        until(STILL * 2, "it stands still for a while", || {
            Ok(begun.elapsed() >= STILL)
        })?;
        cluster.node(still).resume()?;
        load.wait_more(100)?;
        let fencings = cluster.fencings();
        ensure!(
            fencings.len() == before,
            "fenced for {STILL:?}: {fencings:#?}"
        );
        ensure!(cluster.terms().len() == terms, "the controller has changed");

        let other = victim(cluster, false)?;
        let took = cut_and_heal(cluster, &load, other, "another broker")?;
        let controller = victim(cluster, true)?;
        let took = took.max(cut_and_heal(
            cluster,
            &load,
            controller,
            "the active controller",
        )?);
        ensure!(took < LIMIT, "noticed after {took:?} only");
        finish_and_check(cluster, TOPIC, load)
    });
}
