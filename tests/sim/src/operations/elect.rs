//! Leaderships are given back to the preferred replicas, on purpose; and where a topic may lose records, replicas that lack
//! some are made leaders when nobody else is left.

use std::time::Duration;

use checker::history::Place;
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

/// Asks for any leader of one partition.
pub async fn unclean(session: &mut Session, at: &Place) -> anyhow::Result<()> {
    let request = ElectLeadersRequest {
        election_type: UNCLEAN,
        topic_partitions: Some(vec![TopicPartitions {
            topic: Str::copy_from(&at.topic),
            partitions: vec![at.partition],
        }]),
        timeout_ms: 1000,
    };
    let broker = session.next_broker();
    session.call(broker, request, 2).await?;
    Ok(())
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
