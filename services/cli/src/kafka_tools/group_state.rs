//! What the coordinator knows of a group: members, their partitions, committed offsets.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use pipeline::KafkaOptions;
use wire::messages::consumer_protocol_assignment::TopicPartition;
use wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use wire::messages::{
    ConsumerProtocolAssignment, DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest,
    OffsetFetchRequest,
};
use wire::{ErrorCode, Message, Reader, Str};

use super::log_offsets::Place;
use crate::admin::TIMEOUT;
use crate::wire_client::{AGAIN, Connection, check, may_pass};

/// One group in the list of all.
pub struct Listed {
    pub id: String,
    pub state: String,
    /// `Classic` or `Consumer`.
    pub kind: String,
}

/// The consumer groups of every broker, in the order of their names.
pub async fn list(kafka: &KafkaOptions) -> anyhow::Result<Vec<Listed>> {
    let mut any = Connection::bootstrap(kafka).await?;
    let brokers = any.metadata(Some(Vec::new())).await?.brokers;
    let mut groups = Vec::new();
    for broker in brokers {
        let mut connection = Connection::broker(kafka, broker.node_id).await?;
        let answer = connection.call(&ListGroupsRequest::default(), 5).await?;
        check(answer.error_code, None)?;
        let consumers = answer
            .groups
            .into_iter()
            .filter(|group| matches!(&*group.protocol_type, "consumer" | ""));
        groups.extend(consumers.map(|group| Listed {
            id: group.group_id.to_string(),
            state: group.group_state.to_string(),
            kind: capitalised(&group.group_type, "Classic"),
        }));
    }
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(groups)
}

fn capitalised(word: &str, default: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        None => default.to_owned(),
        Some(first) => first.to_uppercase().chain(letters).collect(),
    }
}

/// A group and its coordinator; `None` when there is no such group.
pub async fn describe(
    kafka: &KafkaOptions,
    group: &str,
) -> anyhow::Result<Option<(DescribedGroup, Coordinator)>> {
    let deadline = Instant::now() + TIMEOUT;
    let request = DescribeGroupsRequest {
        groups: vec![Str::copy_from(group)],
        include_authorized_operations: false,
    };
    loop {
        let (mut connection, coordinator) = Coordinator::find(kafka, group, deadline).await?;
        let answer = connection.call(&request, 6).await?;
        let Some(found) = answer.groups.into_iter().next() else {
            anyhow::bail!("the cluster gave no answer")
        };
        if may_pass(found.error_code) && Instant::now() < deadline {
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        // Brokers before version 6 of the request say "Dead" instead.
        let missing = found.error_code == ErrorCode::GroupIdNotFound as i16
            || (found.error_code == 0 && &*found.group_state == "Dead");
        if missing {
            return Ok(None);
        }
        check(found.error_code, found.error_message.as_deref())?;
        return Ok(Some((found, coordinator)));
    }
}

/// Where a group is coordinated.
pub struct Coordinator {
    pub address: String,
    pub id: i32,
}

impl Coordinator {
    async fn find(
        kafka: &KafkaOptions,
        group: &str,
        deadline: Instant,
    ) -> anyhow::Result<(Connection, Coordinator)> {
        let request = FindCoordinatorRequest {
            key: Str::copy_from(group),
            ..FindCoordinatorRequest::default()
        };
        loop {
            let mut any = Connection::bootstrap(kafka).await?;
            let found = any.call(&request, 3).await?;
            if may_pass(found.error_code) && Instant::now() < deadline {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            check(found.error_code, found.error_message.as_deref())?;
            let coordinator = Coordinator {
                address: format!("{}:{}", &*found.host, found.port),
                id: found.node_id,
            };
            return Ok((Connection::broker(kafka, found.node_id).await?, coordinator));
        }
    }
}

/// A committed offset and the leader epoch that was committed with it, -1 for none.
#[derive(Clone, Copy)]
pub struct Committed {
    pub offset: i64,
    pub leader_epoch: i32,
}

/// Every offset that the group has committed.
pub async fn committed(
    kafka: &KafkaOptions,
    group: &str,
) -> anyhow::Result<BTreeMap<Place, Committed>> {
    let deadline = Instant::now() + TIMEOUT;
    let request = OffsetFetchRequest {
        group_id: Str::copy_from(group),
        topics: None,
        ..OffsetFetchRequest::default()
    };
    let answer = loop {
        let mut coordinator = Connection::coordinator(kafka, group, deadline).await?;
        let answer = coordinator.call(&request, 7).await?;
        if !may_pass(answer.error_code) || Instant::now() >= deadline {
            break answer;
        }
        tokio::time::sleep(AGAIN).await;
    };
    check(answer.error_code, None)?;
    let mut all = BTreeMap::new();
    for topic in &answer.topics {
        for partition in topic
            .partitions
            .iter()
            .filter(|one| one.committed_offset >= 0)
        {
            check(partition.error_code, None)?;
            let committed = Committed {
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
            };
            all.insert(
                (topic.name.to_string(), partition.partition_index),
                committed,
            );
        }
    }
    Ok(all)
}

/// The partitions that a member reads, as the consumers themselves encode them.
pub fn assigned(member: &DescribedGroupMember) -> anyhow::Result<Vec<Place>> {
    if member.member_assignment.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(Bytes::copy_from_slice(&member.member_assignment));
    let version = reader.i16()?.clamp(0, 3);
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, version)?;
    let of_topic = |topic: &TopicPartition| {
        let name = topic.topic.to_string();
        let places = topic.partitions.iter().map(move |id| (name.clone(), *id));
        places.collect::<Vec<_>>()
    };
    Ok(assignment
        .assigned_partitions
        .iter()
        .flat_map(of_topic)
        .collect())
}
