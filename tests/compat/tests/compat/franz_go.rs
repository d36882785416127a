//! franz-go, the Go client (`tests/compat/franz-go`): groups, offsets and administration. Its codecs are in `codecs`.

use anyhow::Result;
use cluster::Cluster;
use compat::Tools;

#[test]
fn members_of_a_cooperative_group_come_and_go() -> Result<()> {
    let mut cluster = Cluster::start()?;
    cluster.create_topic("go-group", 6, 3, &[])?;
    let output = scenario(&cluster, "group", "go-group");
    assert!(output.contains("records, each seen once"), "{output}");
    Ok(())
}

#[test]
fn offsets_are_found_by_place_and_by_timestamp() -> Result<()> {
    let mut cluster = Cluster::start()?;
    cluster.create_topic("go-times", 1, 3, &[])?;
    // Given five records in two batches with the timestamps 10, 50, 30 and 40, 20 (KIP-79, KIP-734)
    let output = scenario(&cluster, "offsets", "go-times");
    let expected = "\
start: offset 0, timestamp -1
end: offset 5, timestamp -1
committed: offset 5, timestamp -1
greatest: offset 1, timestamp 50
since 10: offset 0, timestamp 10
since 11: offset 1, timestamp 50
since 51: offset 5, timestamp -1
";
    assert_eq!(output, expected);
    Ok(())
}

#[test]
fn kadm_administers_topics_and_groups() -> Result<()> {
    let cluster = Cluster::start()?;
    let output = scenario(&cluster, "admin", "go-life");
    let expected = "\
brokers [1 2 3], a controller true
broker 1: produce from 0
broker 2: produce from 0
broker 3: produce from 0
created go-life: partitions 3, replication factor 3, id true
created again: TOPIC_ALREADY_EXISTS
four replicas: INVALID_REPLICATION_FACTOR
described: 3 partitions, 3 of them led and in sync
retention.ms=soon: INVALID_CONFIG
config max.message.bytes=2000000 from DYNAMIC_TOPIC_CONFIG
config retention.ms=604800000 from DEFAULT_CONFIG
fewer partitions: INVALID_PARTITIONS
grown to 5
committed 2 positions
group listed true, state Empty, lag 0
positions left 1
group deleted again: GROUP_ID_NOT_FOUND
deleted again: UNKNOWN_TOPIC_OR_PARTITION
";
    assert_eq!(output, expected);
    Ok(())
}

fn scenario(cluster: &Cluster, name: &str, topic: &str) -> String {
    Tools::find().run(&format!("franz-go {name} {} {topic}", cluster.bootstrap()))
}
