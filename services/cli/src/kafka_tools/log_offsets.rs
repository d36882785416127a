//! Where partitions begin and end, asked of their leaders.

use std::collections::BTreeMap;

use anyhow::Context;
use pipeline::KafkaOptions;
use wire::Str;
use wire::messages::ListOffsetsRequest;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::names::name_of;
use crate::wire_client::{Connection, check};

/// Topic and partition.
pub type Place = (String, i32);

/// What to ask for, in place of a time in milliseconds.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

/// The leader of every partition; those without one are left out.
pub async fn leaders(kafka: &KafkaOptions) -> anyhow::Result<BTreeMap<Place, i32>> {
    let mut connection = Connection::bootstrap(kafka).await?;
    let topics = connection.metadata(None).await?.topics;
    let mut leaders = BTreeMap::new();
    for topic in &topics {
        for partition in topic.partitions.iter().filter(|one| one.leader_id >= 0) {
            let place = (name_of(topic).to_owned(), partition.partition_index);
            leaders.insert(place, partition.leader_id);
        }
    }
    Ok(leaders)
}

/// The first offset at or after `time` in each partition. `None` where there is no such record; partitions without a
/// leader are left out.
pub async fn look_up(
    kafka: &KafkaOptions,
    places: impl IntoIterator<Item = &Place>,
    time: i64,
) -> anyhow::Result<BTreeMap<Place, Option<i64>>> {
    let leaders = leaders(kafka).await?;
    let mut by_leader: BTreeMap<i32, BTreeMap<&str, Vec<ListOffsetsPartition>>> = BTreeMap::new();
    for place in places {
        if let Some(leader) = leaders.get(place) {
            let topics = by_leader.entry(*leader).or_default();
            topics
                .entry(&place.0)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: place.1,
                    current_leader_epoch: -1,
                    timestamp: time,
                });
        }
    }
    let mut found = BTreeMap::new();
    for (leader, topics) in by_leader {
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: Str::copy_from(name),
                partitions,
            });
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: topics.collect(),
            ..ListOffsetsRequest::default()
        };
        let answer = Connection::broker(kafka, leader)
            .await?
            .call(&request, 7)
            .await?;
        for topic in answer.topics {
            for partition in topic.partitions {
                check(partition.error_code, None).with_context(|| {
                    format!(
                        "the offsets of {}-{}",
                        &*topic.name, partition.partition_index
                    )
                })?;
                let offset = (partition.offset >= 0).then_some(partition.offset);
                found.insert((topic.name.to_string(), partition.partition_index), offset);
            }
        }
    }
    Ok(found)
}
