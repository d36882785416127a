//! Brokers that are stopped in order: one after the other, while another is missing, all at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster::read::{check_acked, finish_and_check};
use cluster::replicas::check_identical;
use cluster::{Cluster, Load, Settings, http, longest_wait, until};

use crate::{TOPIC, loaded, loaded_with, scenario};

/// What is promised is two seconds; a machine that does other things too may take this much longer.
const LIMIT: Duration = Duration::from_secs(10);
/// Nobody waits so long by himself in these tests.
const LONG_MS: &str = "120000";
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the load, proves that nothing is lost, and that no partition kept its producer waiting.
fn check_and_measure(cluster: &mut Cluster, load: Load, what: &str) -> Result<()> {
    let acks = load.finish()?;
    let longest = longest_wait(&acks);
    println!(
        "{what}: {} records, the longest wait of a producer {longest:?}",
        acks.len()
    );
    cluster.wait_in_sync(TOPIC)?;
    check_acked(cluster, TOPIC, &acks)?;
    check_identical(cluster, TOPIC)?;
    ensure!(longest < LIMIT, "a producer waited {longest:?}");
    Ok(())
}

#[test]
fn a_rolling_restart_loses_nothing_and_keeps_no_producer_waiting() {
    let settings = Settings::default().property("controlled.shutdown.timeout.ms", LONG_MS);
    let (cluster, load) = loaded_with(settings, 500, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        for id in 1..=3 {
            cluster.node(id).stop()?;
            // Ready: back in every ISR. The next one could go at once.
            cluster.restart(id)?;
            for partition in cluster.topic_at(Some(id), TOPIC)?.partitions {
                ensure!(partition.isr.contains(&id), "{id} is ready: {partition:?}");
            }
        }
        load.wait_more(200)?;
        check_and_measure(cluster, load, "rolling restart")
    });
}

#[test]
fn a_broker_that_is_needed_serves_until_another_is_back() {
    let settings = Settings::default().property("controlled.shutdown.timeout.ms", LONG_MS);
    let (cluster, load) = loaded_with(settings, 500, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        cluster.node(1).stop()?;
        cluster.node(2).terminate()?;
        let (address, log) = (cluster.node(2).http, "waiting to leave");
        until(PATIENCE, "broker 2 waits", || {
            let why = http::ask(address, "/readyz")?;
            Ok(why.contains("stopping") && cluster.node(2).log_text().contains(log))
        })?;
        // Without its replicas nothing could be acknowledged, and it leads nothing any more.
        load.wait_more(300)?;
        ensure!(cluster.node(2).is_running(), "it was not waited for");
        let led = cluster.topic_at(Some(3), TOPIC)?.partitions;
        ensure!(led.iter().all(|p| p.leader == Some(3)), "{led:?}");
        cluster.restart(1)?;
        cluster.node(2).wait_end()?;
        load.wait_more(300)?;
        cluster.restart(2)?;
        check_and_measure(cluster, load, "two at a time")
    });
}

#[test]
fn a_second_signal_ends_the_wait() {
    let settings = Settings::default().property("controlled.shutdown.timeout.ms", LONG_MS);
    let (cluster, load) = loaded_with(settings, 200, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        cluster.node(1).stop()?;
        cluster.node(2).terminate()?;
        until(PATIENCE, "broker 2 waits", || {
            Ok(cluster.node(2).log_text().contains("waiting to leave"))
        })?;
        cluster.node(2).terminate()?;
        cluster.node(2).wait_end()?;
        let log = cluster.node(2).log_text();
        ensure!(log.contains("leaving although") && log.contains(&format!("{TOPIC}-")));
        cluster.restart(1)?;
        cluster.restart(2)?;
        load.wait_more(100)?;
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn all_that_stop_at_once_do_not_wait_for_one_another() {
    let settings = Settings::default().property("controlled.shutdown.timeout.ms", LONG_MS);
    let (cluster, load) = loaded_with(settings, 200, &[]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let begun = Instant::now();
        for id in 1..=3 {
            cluster.node(id).terminate()?;
        }
        for id in 1..=3 {
            cluster.node(id).wait_end()?;
        }
        println!("three brokers stopped at once in {:?}", begun.elapsed());
        for id in 1..=3 {
            cluster.node(id).start()?;
        }
        cluster.wait_ready()?;
        load.wait_more(100)?;
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn a_broker_is_ready_for_good_once_it_is_back() {
    let (cluster, load) = loaded(200).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        // Its partitions have no leader that it could follow, and that is not its fault.
        cluster.node(2).kill()?;
        cluster.node(3).kill()?;
        let address = cluster.node(1).http;
        let lone = cluster.node(1).log_text();
        ensure!(http::get(address, "/readyz")? == "ready\n", "{lone}");
        cluster.restart(2)?;
        cluster.restart(3)?;
        load.wait_more(100)?;
        finish_and_check(cluster, TOPIC, load)
    });
}
