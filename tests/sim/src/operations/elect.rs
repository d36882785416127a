//! Leaderships are given back to the preferred replicas, on purpose; and where a topic may lose records, replicas that lack
//! some are made leaders when nobody else is left.

use std::collections::BTreeSet;
use std::time::Duration;

use checker::What;
use checker::history::{Event, Place, RecordId};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;
use wire::Str;
use wire::messages::ElectLeadersRequest;
use wire::messages::elect_leaders_request::TopicPartitions;

use crate::clients::Session;
use crate::{Scene, Stage, Topic};

/// ElectLeaders' words for the preferred replica, and for any that there is.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// A partition that was made while its other replicas were away had a single one in its ISR. Where that one has lost its
/// memory, nobody qualifies to lead, and somebody must ask for an unclean election, unless something must be there that was
/// acknowledged under the name by which the checker knows it.
pub async fn revive(scene: &Scene, session: &mut Session, at: &Place, known_as: &Place) {
    let partitions = session.partitions(&at.topic).await.unwrap_or_default();
    let mut of_it = partitions
        .iter()
        .filter(|p| p.partition_index == at.partition);
    let is_left = of_it.any(|p| p.leader_id < 0 && p.isr_nodes.is_empty());
    if !is_left || is_acknowledged(scene, known_as) {
        return;
    }
    let request = ElectLeadersRequest {
        election_type: UNCLEAN,
        topic_partitions: Some(vec![TopicPartitions {
            topic: Str::copy_from(&at.topic),
            partitions: vec![at.partition],
        }]),
        timeout_ms: 1000,
    };
    let broker = session.next_broker();
    let _ = session.call(broker, request, 2).await;
}

/// Whether somebody was told that a record is there as long as a replica in sync has kept what it had.
fn is_acknowledged(scene: &Scene, place: &Place) -> bool {
    let events = scene.recorder().events();
    let sent: BTreeSet<RecordId> = (events.iter())
        .filter_map(|event| match &event.what {
            What::Sent {
                at,
                record,
                acks: -1,
                ..
            } if at == place => Some(*record),
            _ => None,
        })
        .collect();
    let is_acked = |event: &Event| matches!(&event.what, What::Acked { at, record, .. } if at == place && sent.contains(record));
    events.iter().any(is_acked)
}

/// Asks for elections until everything is healed. What comes of one shows in what clients see.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    let topics = scene.topics.iter().filter(|topic| topic.may_lose);
    let unsafe_ones: Vec<&Topic> = topics.collect();
    while scene.stage() < Stage::Settling {
        sleep(Duration::from_millis(dice.random_range(200..2000))).await;
        let chosen = unsafe_ones
            .choose(&mut dice)
            .filter(|_| dice.random_bool(0.5));
        let partitions = |topic: &&Topic| TopicPartitions {
            topic: Str::copy_from(&topic.name),
            partitions: (0..scene.partitions(&topic.name)).collect(),
        };
        let request = ElectLeadersRequest {
            election_type: if chosen.is_some() { UNCLEAN } else { PREFERRED },
            topic_partitions: chosen.map(|topic| vec![partitions(topic)]),
            timeout_ms: 1000,
        };
        let broker = session.next_broker();
        let _ = session.call(broker, request, 2).await;
    }
    Ok(())
}
