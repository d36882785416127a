//! From three brokers to five and back, under load.

use anyhow::{Context, Result, ensure};
use cluster::read::{check_acked, finish_and_check};
use cluster::{Cluster, Load, Settings, longest_wait, until};
use serde_json::Value;

use crate::{TOPIC, loaded_with, scenario};

/// Without the probe, whose topic gets a partition on each new broker by itself.
fn loaded(per_second: u32) -> Result<(Cluster, Load)> {
    let settings = Settings::default().property("probe.interval.ms", "0");
    loaded_with(settings, per_second, &[])
}

fn described(cluster: &Cluster) -> Result<Value> {
    let text = cluster.millrace(&["cluster", "describe", "--json"])?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

/// How many replicas a broker has, as the controller knows; none where it is not registered.
fn replicas(cluster: &Cluster, id: i32) -> Result<Option<u64>> {
    let all = described(cluster)?;
    let brokers = all["brokers"].as_array().context("no brokers")?;
    let broker = brokers.iter().find(|b| b["id"] == id);
    Ok(broker.and_then(|b| b["replicas"].as_u64()))
}

#[test]
fn to_five_brokers_and_back_to_three_loses_nothing() {
    let (cluster, load) = loaded(400).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let added = [cluster.add_broker()?, cluster.add_broker()?];
        for id in added {
            ensure!(replicas(cluster, id)? == Some(0), "{id} is new");
        }
        cluster.millrace(&["cluster", "balance"])?;
        for id in added {
            ensure!(
                replicas(cluster, id)?.is_some_and(|n| n >= 3),
                "{id} has its share"
            );
        }
        // New topics use them too, and a broker without a vote restarts as any other.
        cluster.create_topic("later", 5, 3, &[])?;
        cluster.node(added[0]).stop()?;
        cluster.restart(added[0])?;
        load.wait_more(200)?;
        for id in added.iter().rev() {
            let name = id.to_string();
            cluster.millrace(&["cluster", "drain", &name])?;
            ensure!(replicas(cluster, *id)? == Some(0), "{id} is drained");
            cluster.create_topic(&format!("without-{id}"), 5, 3, &[])?;
            ensure!(replicas(cluster, *id)? == Some(0), "{id} gets nothing");
            let running = cluster.millrace(&["cluster", "unregister", &name]);
            ensure!(running.is_err(), "{id} runs");
            cluster.node(*id).stop()?;
            until(std::time::Duration::from_secs(30), "it is fenced", || {
                cluster
                    .millrace(&["cluster", "unregister", &name])
                    .map(|_| true)
            })?;
            ensure!(replicas(cluster, *id)?.is_none(), "{id} is forgotten");
        }
        // The three could not hold what they must without one of them: nothing is changed.
        ensure!(cluster.millrace(&["cluster", "drain", "2"]).is_err());
        ensure!(described(cluster)?["brokers"][1]["drained"] == false);
        load.wait_more(200)?;
        let acks = load.finish()?;
        println!("the longest wait of a producer: {:?}", longest_wait(&acks));
        cluster.wait_in_sync(TOPIC)?;
        check_acked(cluster, TOPIC, &acks)?;
        cluster::replicas::check_identical(cluster, TOPIC)
    });
}

#[test]
fn a_dead_broker_is_drained_and_its_successor_begins_anew() {
    let (cluster, load) = loaded(300).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let fourth = cluster.add_broker()?;
        cluster.millrace(&["cluster", "balance"])?;
        ensure!(replicas(cluster, fourth)?.is_some_and(|n| n > 0));
        cluster.node(fourth).kill()?;
        let name = fourth.to_string();
        cluster.millrace(&["cluster", "drain", &name])?;
        cluster.millrace(&["cluster", "unregister", &name])?;
        ensure!(replicas(cluster, fourth)?.is_none());
        // It comes back with what it had: nobody takes its old logs for replicas.
        let held: Vec<_> = std::fs::read_dir(&cluster.node(fourth).data)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains(&format!("/{TOPIC}-")))
            .collect();
        ensure!(!held.is_empty(), "it had replicas");
        cluster.restart(fourth)?;
        ensure!(replicas(cluster, fourth)? == Some(0));
        until(
            std::time::Duration::from_secs(60),
            "what has moved is deleted",
            || Ok(held.iter().all(|path| !path.exists())),
        )?;
        cluster.millrace(&["cluster", "balance"])?;
        ensure!(
            replicas(cluster, fourth)?.is_some_and(|n| n > 0),
            "no longer drained"
        );
        load.wait_more(200)?;
        finish_and_check(cluster, TOPIC, load)
    });
}
