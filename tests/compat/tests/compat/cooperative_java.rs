//! Cooperative rebalancing of Java's console consumers: what `cooperative` shows of librdkafka.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster::client::call;
use cluster::{Cluster, until};
use compat::{Running, Tools};
use wire::messages::{ConsumerProtocolAssignment, DescribeGroupsRequest, FindCoordinatorRequest};
use wire::{Message, Reader, Str};

use crate::cooperative::{LIMIT, all_seen, loaded};

const ASSIGNOR: &str = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";

/// A console consumer in the group `java`, which prints where its records lie.
fn member(tools: &Tools, cluster: &Cluster) -> Running {
    tools.start(&format!(
        "kafka-console-consumer.sh --bootstrap-server {} --topic java --group java --from-beginning \
         --command-property partition.assignment.strategy={ASSIGNOR} \
         --command-property heartbeat.interval.ms=300 \
         --formatter-property print.partition=true --formatter-property print.offset=true \
         --formatter-property print.value=false",
        cluster.bootstrap()
    ))
}

/// `Partition:1\tOffset:7` for each record.
fn places(output: &str) -> Result<BTreeSet<(i32, i64)>> {
    let mut found = BTreeSet::new();
    for line in output.lines().filter(|line| line.starts_with("Partition:")) {
        let mut numbers = line
            .split('\t')
            .map(|field| field.rsplit(':').next().unwrap_or(""));
        let (partition, offset) = (numbers.next(), numbers.next());
        // The last line may be on its way still.
        if let (Some(partition), Some(offset)) = (partition, offset) {
            found.insert((partition.parse()?, offset.parse()?));
        }
    }
    Ok(found)
}

/// How many partitions each member of a stable group has, the least first; an error where one has two owners.
fn shares(cluster: &mut Cluster, group: &str) -> Result<Vec<usize>> {
    let ask = FindCoordinatorRequest {
        coordinator_keys: vec![Str::copy_from(group)],
        ..Default::default()
    };
    let found = call(cluster.any_running()?, &ask, 4)?;
    let coordinator = found.coordinators.first().context("no answer")?.node_id;
    ensure!(coordinator > 0, "no coordinator yet");
    let request = DescribeGroupsRequest {
        groups: vec![Str::copy_from(group)],
        ..Default::default()
    };
    let answer = call(cluster.node(coordinator).address, &request, 5)?;
    let group = answer.groups.first().context("no answer")?;
    ensure!(&*group.group_state == "Stable", "{}", &*group.group_state);
    assert_eq!(&*group.protocol_data, "cooperative-sticky");
    let (mut owned, mut counts) = (BTreeSet::new(), Vec::new());
    for member in &group.members {
        let mut reader = Reader::new(member.member_assignment.clone());
        let version = reader.i16()?;
        let assignment = ConsumerProtocolAssignment::decode(&mut reader, version)?;
        let partitions = assignment.assigned_partitions.iter();
        let partitions: Vec<i32> = partitions.flat_map(|t| t.partitions.clone()).collect();
        counts.push(partitions.len());
        for partition in partitions {
            assert!(owned.insert(partition), "partition {partition} twice");
        }
    }
    counts.sort_unstable();
    Ok(counts)
}

fn wait_for(cluster: &mut Cluster, expected: &[usize]) -> Result<()> {
    cluster.until(&format!("partitions are shared {expected:?}"), |cluster| {
        let counts = shares(cluster, "java")?;
        ensure!(counts == expected, "they are shared {counts:?}");
        Ok(true)
    })
}

#[test]
fn console_consumers_come_and_go() -> Result<()> {
    let (mut cluster, load) = loaded("java")?;
    let tools = Tools::find();
    let first = member(&tools, &cluster);
    wait_for(&mut cluster, &[6])?;
    let second = member(&tools, &cluster);
    wait_for(&mut cluster, &[3, 3])?;
    let third = member(&tools, &cluster);
    wait_for(&mut cluster, &[2, 2, 2])?;
    // Each says goodbye and commits.
    let mut seen = places(&second.stop()?)?;
    wait_for(&mut cluster, &[3, 3])?;
    seen.extend(places(&first.stop()?)?);
    wait_for(&mut cluster, &[6])?;
    load.wait_more(100)?;
    let acks = load.finish()?;
    until(LIMIT, "every record is seen", || {
        let rest = places(&third.output())?;
        all_seen(&acks, |place| seen.contains(place) || rest.contains(place))?;
        Ok(true)
    })?;
    third.stop()?;
    Ok(())
}
