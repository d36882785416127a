//! Replicas move while everything else happens: wishes that begin, replace and take back a move.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::sleep;
use wire::Str;
use wire::messages::AlterPartitionReassignmentsRequest;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};

use crate::clients::Session;
use crate::plan::Topic;
use crate::{Scene, Stage};

/// Asks for moves until everything is healed. A wish may be refused, and the broker may be away.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    while scene.stage() < Stage::Settling {
        sleep(Duration::from_millis(dice.random_range(200..3000))).await;
        let Some(topic) = scene.topics.choose(&mut dice) else {
            break;
        };
        let partition = dice.random_range(0..scene.partitions(&topic.name));
        let request = wish(topic, partition, &scene.brokers, &mut dice);
        let broker = session.next_broker();
        let _ = session.call(broker, request, 1).await;
    }
    Ok(())
}

fn wish(
    topic: &Topic,
    partition_index: i32,
    brokers: &[i32],
    dice: &mut StdRng,
) -> AlterPartitionReassignmentsRequest {
    let mut target = brokers.to_vec();
    target.shuffle(dice);
    target.truncate(topic.replicas as usize);
    let partition = ReassignablePartition {
        partition_index,
        replicas: dice.random_bool(0.75).then_some(target),
    };
    let topic = ReassignableTopic {
        name: Str::copy_from(&topic.name),
        partitions: vec![partition],
    };
    AlterPartitionReassignmentsRequest {
        timeout_ms: 1_000,
        topics: vec![topic],
        ..AlterPartitionReassignmentsRequest::default()
    }
}
