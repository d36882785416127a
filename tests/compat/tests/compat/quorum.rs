//! kafka-metadata-quorum: Apache Kafka's own look at the quorum, and ours beside it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cluster::Cluster;
use compat::Tools;
use serde_json::Value;

/// Runs kafka-metadata-quorum; an error with its output where it fails.
fn tool(cluster: &Cluster, tools: &Tools, what: &str) -> Result<String> {
    let servers = cluster.bootstrap();
    let script = format!("kafka-metadata-quorum.sh --bootstrap-server {servers} describe {what}");
    let (succeeded, output) = tools.attempt(&script);
    ensure!(succeeded, "{output}");
    Ok(output)
}

/// The lines `Name: value`.
fn fields(status: &str) -> BTreeMap<&str, &str> {
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name, value.trim())).collect()
}

/// The columns of a line of `--replication` by their names, by node.
fn replicas(shown: &str) -> Result<BTreeMap<i32, BTreeMap<&str, &str>>> {
    let mut lines = shown.lines().skip_while(|line| !line.starts_with("NodeId"));
    let header: Vec<&str> = lines.next().context("a header")?.split('\t').collect();
    let rows = lines.filter(|line| !line.trim().is_empty()).map(|line| {
        let cells = line.split('\t').map(str::trim);
        let row: BTreeMap<&str, &str> = header.iter().map(|name| name.trim()).zip(cells).collect();
        let node = row.get("NodeId").context("a node")?.parse()?;
        Ok((node, row))
    });
    rows.collect()
}

#[test]
fn kafka_metadata_quorum_shows_voters_and_observers_with_their_lag() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let observer = cluster.add_broker()?;
    let tools = Tools::find();
    let status = tool(&cluster, &tools, "--status")?;
    let found = fields(&status);
    let controller = cluster.controller()?;
    ensure!(
        found.get("LeaderId") == Some(&&*controller.to_string()),
        "{status}"
    );
    let number = |name| found.get(name).and_then(|value| value.parse::<i64>().ok());
    ensure!(number("LeaderEpoch") >= Some(1), "{status}");
    ensure!(number("HighWatermark") > Some(0), "{status}");
    let voters = found.get("CurrentVoters").context("voters")?;
    ensure!(
        (1..=3).all(|id| voters.contains(&format!("\"id\": {id}"))),
        "{status}"
    );
    let observers = found.get("CurrentObservers").context("observers")?;
    ensure!(
        observers.contains(&format!("\"id\": {observer}")),
        "{status}"
    );

    // A voter that stops lags from the next entry on; the others do not.
    let stopped = (1..=3).find(|id| *id != controller).context("a follower")?;
    cluster.node(stopped).stop()?;
    cluster.create_topic_on("later", &[&[controller]])?;
    cluster.until("the tool shows who lags", |cluster| {
        let shown = tool(cluster, &tools, "--replication")?;
        let rows = replicas(&shown)?;
        ensure!(rows.len() == 4, "{shown}");
        let of = |node: i32, name: &str| rows.get(&node).and_then(|row| row.get(name).copied());
        let lag = |node| of(node, "Lag").and_then(|lag| lag.parse::<i64>().ok());
        let time = |node| of(node, "LastFetchTimestamp").and_then(|at| at.parse::<i64>().ok());
        ensure!(of(controller, "Status") == Some("Leader"), "{shown}");
        ensure!(of(stopped, "Status") == Some("Follower"), "{shown}");
        ensure!(of(observer, "Status") == Some("Observer"), "{shown}");
        ensure!(lag(controller) == Some(0), "{shown}");
        ensure!(
            time(stopped) > Some(0) && time(stopped) < time(controller),
            "{shown}"
        );
        let others = rows.keys().filter(|id| **id != stopped);
        Ok(lag(stopped) > Some(0) && others.map(|id| lag(*id)).all(|lag| lag == Some(0)))
    })?;

    let text = cluster.millrace(&["cluster", "describe", "--json"])?;
    let quorum = &serde_json::from_str::<Value>(&text)?["quorum"];
    ensure!(quorum["leader"] == controller, "{text}");
    let voters = quorum["voters"].as_array().context("voters")?;
    let lag_of = |id: i32| {
        let voter = voters.iter().find(|voter| voter["id"] == id);
        voter.and_then(|voter| voter["lag"].as_i64())
    };
    ensure!(
        lag_of(controller) == Some(0) && lag_of(stopped) > Some(0),
        "{text}"
    );
    Ok(())
}
