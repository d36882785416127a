//! kafka-topics, kafka-configs, kafka-broker-api-versions, kafka-cluster.

use anyhow::Result;
use cluster::Cluster;
use compat::{Output, kafka_tool, run};

fn tool(cluster: &Cluster, name: &str, arguments: &[&str]) -> Output {
    let mut command = kafka_tool(name);
    command
        .args(["--bootstrap-server", &cluster.bootstrap()])
        .args(arguments);
    run(&mut command, "")
}

#[test]
fn kafka_topics_creates_describes_alters_and_deletes() -> Result<()> {
    let cluster = Cluster::start()?;
    let topics = |arguments: &[&str]| tool(&cluster, "kafka-topics", arguments);
    // Created with the cluster's defaults: three replicas
    topics(&["--create", "--topic", "admin-life", "--partitions", "6"]).expect_success();
    let described = topics(&["--describe", "--topic", "admin-life"]).expect_success();
    assert!(
        described.contains("PartitionCount: 6\tReplicationFactor: 3"),
        "{described}"
    );
    let partitions = described
        .lines()
        .filter(|line| line.contains("Leader: "))
        .count();
    assert_eq!(partitions, 6, "{described}");
    // More partitions, never fewer
    topics(&["--alter", "--topic", "admin-life", "--partitions", "8"]).expect_success();
    let refused =
        topics(&["--alter", "--topic", "admin-life", "--partitions", "7"]).expect_failure();
    assert!(refused.contains("would not be an increase"), "{refused}");
    let described = topics(&["--describe", "--topic", "admin-life"]).expect_success();
    assert!(described.contains("PartitionCount: 8"), "{described}");
    // Gone
    topics(&["--delete", "--topic", "admin-life"]).expect_success();
    let listed = topics(&["--list"]).expect_success();
    assert!(!listed.lines().any(|line| line == "admin-life"), "{listed}");
    Ok(())
}

#[test]
fn kafka_topics_is_told_what_is_wrong() -> Result<()> {
    let cluster = Cluster::start()?;
    let topics = |arguments: &[&str]| tool(&cluster, "kafka-topics", arguments);
    for (arguments, reason) in [
        (&["--create", "--topic", "bad name"][..], "invalid"),
        (
            &[
                "--create",
                "--topic",
                "admin-wide",
                "--replication-factor",
                "4",
            ],
            "only 3 broker(s)",
        ),
        (&["--create", "--topic", "__cluster_metadata"], "prohibited"),
        (&["--delete", "--topic", "admin-nowhere"], "does not exist"),
        (
            &[
                "--create",
                "--topic",
                "admin-where",
                "--replica-assignment",
                "1:9",
            ],
            "no such broker is registered",
        ),
    ] {
        let refused = topics(arguments).expect_failure();
        assert!(refused.contains(reason), "{arguments:?}: {refused}");
    }
    topics(&[
        "--create",
        "--topic",
        "admin-manual",
        "--replica-assignment",
        "1:2,3:1",
    ])
    .expect_success();
    let described = topics(&["--describe", "--topic", "admin-manual"]).expect_success();
    assert!(
        described.contains("Partition: 1\tLeader: 3\tReplicas: 3,1"),
        "{described}"
    );
    let again = topics(&["--create", "--topic", "admin-manual"]).expect_failure();
    assert!(again.contains("already exists"), "{again}");
    topics(&["--create", "--topic", "admin-manual", "--if-not-exists"]).expect_success();
    Ok(())
}

#[test]
fn kafka_configs_sets_lists_and_takes_back() -> Result<()> {
    let cluster = Cluster::start()?;
    let configs = |arguments: &[&str]| tool(&cluster, "kafka-configs", arguments);
    tool(
        &cluster,
        "kafka-topics",
        &["--create", "--topic", "admin-configs"],
    )
    .expect_success();
    let named = ["--entity-type", "topics", "--entity-name", "admin-configs"];
    let alter = |change: &[&str]| configs(&[&named[..], &["--alter"], change].concat());
    alter(&[
        "--add-config",
        "retention.ms=600000,cleanup.policy=[compact,delete]",
    ])
    .expect_success();
    let described = configs(&[&named[..], &["--describe"]].concat()).expect_success();
    assert!(described.contains("retention.ms=600000"), "{described}");
    assert!(
        described.contains("cleanup.policy=compact,delete"),
        "{described}"
    );
    alter(&["--delete-config", "retention.ms"]).expect_success();
    let all = configs(&[&named[..], &["--describe", "--all"]].concat()).expect_success();
    assert!(all.contains("retention.ms=604800000"), "{all}");
    assert!(all.contains("min.insync.replicas=2"), "{all}");
    for (change, reason) in [
        ("no.such.setting=1", "no.such.setting"),
        ("min.insync.replicas=0", "min.insync.replicas"),
        ("retention.ms=soon", "retention.ms"),
    ] {
        let refused = alter(&["--add-config", change]).expect_failure();
        assert!(refused.contains(reason), "{refused}");
    }
    Ok(())
}

#[test]
fn kafka_configs_shows_a_broker_and_does_not_change_it() -> Result<()> {
    let cluster = Cluster::start()?;
    let configs = |arguments: &[&str]| tool(&cluster, "kafka-configs", arguments);
    let broker = ["--entity-type", "brokers", "--entity-name", "2"];
    let all = configs(&[&broker[..], &["--describe", "--all"]].concat()).expect_success();
    assert!(all.contains("default.replication.factor=3"), "{all}");
    let refused = configs(&[&broker[..], &["--alter", "--add-config", "node.id=9"]].concat())
        .expect_failure();
    assert!(refused.contains("node.id"), "{refused}");
    Ok(())
}

#[test]
fn every_broker_offers_what_the_clients_use() -> Result<()> {
    let cluster = Cluster::start()?;
    let offered = tool(&cluster, "kafka-broker-api-versions", &[]).expect_success();
    assert_eq!(
        offered.matches("Produce(0): 0 to 13 [usable: 13]").count(),
        3,
        "{offered}"
    );
    for api in [
        "Fetch(1)",
        "Metadata(3)",
        "JoinGroup(11)",
        "InitProducerId(22)",
        "DescribeTopicPartitions(75)",
    ] {
        let lines: Vec<&str> = offered
            .lines()
            .filter(|line| line.contains(&format!("{api}:")))
            .collect();
        assert_eq!(lines.len(), 3, "{offered}");
        assert!(
            lines.iter().all(|line| line.contains("usable")),
            "{offered}"
        );
    }
    Ok(())
}

#[test]
fn kafka_cluster_tells_the_id_and_the_endpoints() -> Result<()> {
    let cluster = Cluster::start()?;
    let id = tool_of_cluster(&cluster, "cluster-id");
    assert!(id.starts_with("Cluster ID: "), "{id}");
    let endpoints = tool_of_cluster(&cluster, "list-endpoints");
    let unfenced = endpoints
        .lines()
        .filter(|line| line.contains("unfenced"))
        .count();
    assert_eq!(unfenced, 3, "{endpoints}");
    Ok(())
}

/// Here the command stands before the options.
fn tool_of_cluster(cluster: &Cluster, command: &str) -> String {
    let mut tool = kafka_tool("kafka-cluster");
    tool.args([command, "--bootstrap-server", &cluster.bootstrap()]);
    run(&mut tool, "").expect_success()
}
