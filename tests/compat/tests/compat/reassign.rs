//! kafka-reassign-partitions, kafka-leader-election and kafka-cluster: Apache Kafka's own tools for moving replicas.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cluster::{Cluster, Settings};
use compat::Tools;
use wire::ErrorCode;

/// Runs a script with the cluster's address in `$SERVERS` and a directory of its own.
fn run(cluster: &Cluster, tools: &Tools, script: &str) -> String {
    tools.run(&with(cluster, script))
}

fn with(cluster: &Cluster, script: &str) -> String {
    let servers = cluster.bootstrap();
    let directory = cluster.directory().display();
    format!("cd '{directory}'; SERVERS={servers}\n{script}")
}

const REASSIGN: &str = "kafka-reassign-partitions.sh --bootstrap-server $SERVERS";

#[test]
fn kafka_reassign_partitions_generates_executes_verifies_and_cancels() -> Result<()> {
    let mut cluster = Cluster::with(Settings::default().brokers(4))?;
    let tools = Tools::find();
    cluster.create_topic_on("moved", &[&[1, 2, 3], &[2, 3, 1]])?;
    let plan = r#"
        echo '{"version":1,"topics":[{"topic":"moved"}]}' > topics.json
        $REASSIGN --generate --topics-to-move-json-file topics.json --broker-list 2,3,4 > generated
        sed '1,/^Proposed/d' generated | grep version > plan.json
        $REASSIGN --execute --reassignment-json-file plan.json"#;
    let plan = plan.replace("$REASSIGN", REASSIGN);
    let executed = run(&cluster, &tools, &plan);
    ensure!(executed.contains("Successfully started"), "{executed}");
    let verify = format!("{REASSIGN} --verify --reassignment-json-file plan.json");
    cluster.until("the tool says that it is complete", |cluster| {
        let verified = run(cluster, &tools, &verify);
        let done = verified.matches("is completed").count() == 2;
        ensure!(done || verified.contains("still in progress"), "{verified}");
        Ok(done)
    })?;
    for partition in cluster.topic("moved")?.partitions {
        ensure!(!partition.replicas.contains(&1), "{partition:?}");
    }
    // One that cannot end, because the broker is down, is listed and taken back. Kafka's tool does not ask for
    // such a one, and would set throttles on the broker that is down.
    cluster.node(1).stop()?;
    let back = BTreeMap::from([(0, Some(vec![1, 2, 3]))]);
    ensure!(cluster.reassign("moved", &back)? == ErrorCode::None);
    let back = r#"
        echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[1,2,3]}]}' > back.json
        $REASSIGN --list
        $REASSIGN --cancel --preserve-throttles --reassignment-json-file back.json"#;
    let cancelled = run(&cluster, &tools, &back.replace("$REASSIGN", REASSIGN));
    ensure!(cancelled.contains("moved-0: replicas: "), "{cancelled}");
    ensure!(cancelled.contains("Successfully cancelled"), "{cancelled}");
    ensure!(cluster.moving()? == 0);
    // A throttle is refused by name.
    let throttled =
        format!("{REASSIGN} --execute --reassignment-json-file plan.json --throttle 1000000");
    let (succeeded, output) = tools.attempt(&with(&cluster, &throttled));
    ensure!(!succeeded && output.contains("not offered"), "{output}");
    Ok(())
}

#[test]
fn kafka_leader_election_and_kafka_cluster_do_their_work() -> Result<()> {
    let settings = Settings::default().property("auto.leader.rebalance.enable", "false");
    let mut cluster = Cluster::with(settings)?;
    let tools = Tools::find();
    cluster.create_topic_on("led", &[&[1, 2, 3]])?;
    cluster.node(1).stop()?;
    cluster.restart(1)?;
    ensure!(
        cluster.leader("led", 0)? != 1,
        "nobody gives leaderships back here"
    );
    let elect = "kafka-leader-election.sh --bootstrap-server $SERVERS --election-type preferred --all-topic-partitions";
    let elected = run(&cluster, &tools, elect);
    ensure!(
        elected.contains("Successfully completed leader election"),
        "{elected}"
    );
    cluster.until("the preferred replica leads", |cluster| {
        Ok(cluster.leader("led", 0)? == 1)
    })?;
    let extra = cluster.add_broker()?;
    cluster.node(extra).stop()?;
    let forget = format!("kafka-cluster.sh unregister --bootstrap-server $SERVERS --id {extra}");
    cluster.until("the broker that has stopped is forgotten", |cluster| {
        let (done, output) = tools.attempt(&with(cluster, &forget));
        ensure!(done && output.contains("no longer registered"), "{output}");
        Ok(true)
    })
}
