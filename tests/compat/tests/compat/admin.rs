//! kafka-topics, kafka-configs and kafka-broker-api-versions: what they do, and what they are told when they cannot.

use anyhow::Result;
use cluster::Cluster;
use compat::Tools;

struct Admin {
    cluster: Cluster,
    tools: Tools,
}

impl Admin {
    fn start() -> Result<Admin> {
        Ok(Admin {
            cluster: Cluster::start()?,
            tools: Tools::find(),
        })
    }

    /// Runs a tool that must succeed; what it printed.
    fn run(&self, tool: &str, arguments: &str) -> String {
        self.tools.run(&self.script(tool, arguments))
    }

    /// Runs a tool that must fail; what it printed.
    fn refused(&self, tool: &str, arguments: &str) -> String {
        let (succeeded, output) = self.tools.attempt(&self.script(tool, arguments));
        assert!(!succeeded, "{tool} {arguments} succeeded: {output}");
        output
    }

    fn script(&self, tool: &str, arguments: &str) -> String {
        format!(
            "{tool}.sh --bootstrap-server {} {arguments}",
            self.cluster.bootstrap()
        )
    }
}

#[test]
fn kafka_topics_creates_describes_alters_and_deletes() -> Result<()> {
    let admin = Admin::start()?;
    let topics = |arguments: &str| admin.run("kafka-topics", arguments);
    // With the cluster's default of three replicas
    topics("--create --topic life --partitions 6");
    let described = topics("--describe --topic life");
    assert!(
        described.contains("PartitionCount: 6\tReplicationFactor: 3"),
        "{described}"
    );
    assert_eq!(described.matches("Leader: ").count(), 6, "{described}");
    // More partitions, never fewer
    topics("--alter --topic life --partitions 8");
    let refused = admin.refused("kafka-topics", "--alter --topic life --partitions 7");
    assert!(refused.contains("would not be an increase"), "{refused}");
    let described = topics("--describe --topic life");
    assert!(described.contains("PartitionCount: 8"), "{described}");
    // As assigned by hand
    topics("--create --topic manual --replica-assignment 1:2,3:1");
    let described = topics("--describe --topic manual");
    assert!(
        described.contains("Partition: 1\tLeader: 3\tReplicas: 3,1"),
        "{described}"
    );
    topics("--create --topic manual --if-not-exists");
    // Gone
    topics("--delete --topic life");
    assert_eq!(topics("--list").trim(), "manual");
    Ok(())
}

#[test]
fn kafka_topics_is_told_what_is_wrong() -> Result<()> {
    let admin = Admin::start()?;
    admin.run("kafka-topics", "--create --topic taken");
    for (arguments, reason) in [
        ("--create --topic taken", "already exists"),
        ("--create --topic 'bad name'", "invalid"),
        (
            "--create --topic wide --replication-factor 4",
            "only 3 broker(s)",
        ),
        ("--create --topic __cluster_metadata", "prohibited"),
        (
            "--create --topic where --replica-assignment 1:9",
            "no such broker is registered",
        ),
        ("--delete --topic nowhere", "does not exist"),
    ] {
        let refused = admin.refused("kafka-topics", arguments);
        assert!(refused.contains(reason), "{arguments}: {refused}");
    }
    Ok(())
}

#[test]
fn kafka_configs_sets_lists_and_takes_back() -> Result<()> {
    let admin = Admin::start()?;
    admin.run("kafka-topics", "--create --topic set");
    let topic = "--entity-type topics --entity-name set";
    let alter = format!("{topic} --alter");
    admin.run(
        "kafka-configs",
        &format!("{alter} --add-config retention.ms=600000,cleanup.policy=[compact,delete]"),
    );
    let described = admin.run("kafka-configs", &format!("{topic} --describe"));
    assert!(described.contains("retention.ms=600000"), "{described}");
    assert!(
        described.contains("cleanup.policy=compact,delete"),
        "{described}"
    );
    admin.run(
        "kafka-configs",
        &format!("{alter} --delete-config retention.ms"),
    );
    let all = admin.run("kafka-configs", &format!("{topic} --describe --all"));
    assert!(all.contains("retention.ms=604800000"), "{all}");
    assert!(all.contains("min.insync.replicas=2"), "{all}");
    for (setting, key) in [
        ("no.such.setting=1", "no.such.setting"),
        ("min.insync.replicas=0", "min.insync.replicas"),
        ("retention.ms=soon", "retention.ms"),
    ] {
        let refused = admin.refused("kafka-configs", &format!("{alter} --add-config {setting}"));
        assert!(refused.contains(key), "{refused}");
    }
    Ok(())
}

#[test]
fn settings_of_brokers_change_while_they_run() -> Result<()> {
    let admin = Admin::start()?;
    admin.run("kafka-topics", "--create --topic kept");
    let (all, one) = (
        "--entity-type brokers --entity-default",
        "--entity-type brokers --entity-name 2",
    );
    let configs = |what: String| admin.run("kafka-configs", &what);
    configs(format!(
        "{all} --alter --add-config log.retention.ms=600000,max.connections=5000"
    ));
    configs(format!(
        "{one} --alter --add-config log.retention.ms=700000"
    ));
    let described = configs(format!("{all} --describe"));
    assert!(described.contains("log.retention.ms=600000"), "{described}");
    assert!(described.contains("max.connections=5000"), "{described}");
    let described = configs(format!("{one} --describe"));
    let synonyms = "{DYNAMIC_BROKER_CONFIG:log.retention.ms=700000, \
                    DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=600000, DEFAULT_CONFIG:log.retention.hours=168}";
    assert!(described.contains(synonyms), "{described}");
    let topic = configs("--entity-type topics --entity-name kept --describe --all".into());
    assert!(
        topic.contains("retention.ms=600000") || topic.contains("retention.ms=700000"),
        "{topic}"
    );

    configs(format!("{one} --alter --delete-config log.retention.ms"));
    configs(format!(
        "{all} --alter --delete-config log.retention.ms,max.connections"
    ));
    let described = configs(format!("{all} --describe"));
    assert!(!described.contains("max.connections"), "{described}");
    for setting in ["log.dirs=/elsewhere", "log.retention.ms=soon"] {
        let refused = admin.refused(
            "kafka-configs",
            &format!("{all} --alter --add-config {setting}"),
        );
        assert!(
            refused.contains(setting.split('=').next().unwrap_or("")),
            "{refused}"
        );
    }
    Ok(())
}

#[test]
fn a_broker_shows_its_settings_and_its_apis() -> Result<()> {
    let admin = Admin::start()?;
    let broker = "--entity-type brokers --entity-name 2";
    let all = admin.run("kafka-configs", &format!("{broker} --describe --all"));
    assert!(all.contains("default.replication.factor=3"), "{all}");
    let refused = admin.refused(
        "kafka-configs",
        &format!("{broker} --alter --add-config node.id=9"),
    );
    assert!(refused.contains("node.id"), "{refused}");
    // Produce from 0: with a higher minimum librdkafka silently stops compressing (KAFKA-18659)
    let offered = admin.run("kafka-broker-api-versions", "");
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
        let usable = |line: &&str| line.contains(&format!("{api}:")) && line.contains("usable");
        assert_eq!(
            offered.lines().filter(usable).count(),
            3,
            "{api}: {offered}"
        );
    }
    Ok(())
}

#[test]
fn kafka_get_offsets_finds_records_by_place_and_by_time() -> Result<()> {
    let mut admin = Admin::start()?;
    admin.cluster.create_topic("found", 1, 3, &[])?;
    let servers = admin.cluster.bootstrap();
    // The greatest timestamp in the middle: Python may say when a record was made.
    admin.tools.python(&format!(
        "from kafka import KafkaProducer\n\
         import time\n\
         now = int(time.time() * 1000)\n\
         p = KafkaProducer(bootstrap_servers='{servers}'.split(','), linger_ms=500)\n\
         for ago in [3000, 1000, 2000]: p.send('found', b'x', timestamp_ms=now - ago)\n\
         p.flush()\n"
    ));
    for (time, expected) in [
        ("earliest", "found:0:0"),
        ("latest", "found:0:3"),
        ("max-timestamp", "found:0:1"),
        ("0", "found:0:0"),
        // Nothing is as young as that.
        ("99999999999999", ""),
    ] {
        let found = admin.run("kafka-get-offsets", &format!("--topic found --time {time}"));
        assert_eq!(found.trim(), expected, "{time}");
    }
    Ok(())
}
