//! Leaderships are given back to the preferred replicas, on purpose.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;
use wire::messages::ElectLeadersRequest;

use crate::clients::Session;
use crate::{Scene, Stage};

/// ElectLeaders' word for the preferred replica.
const PREFERRED: i8 = 0;

/// Asks for elections until everything is healed. What comes of one shows in what clients see.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    while scene.stage() < Stage::Settling {
        sleep(Duration::from_millis(dice.random_range(200..2000))).await;
        let request = ElectLeadersRequest {
            election_type: PREFERRED,
            topic_partitions: None,
            timeout_ms: 1000,
        };
        let broker = session.next_broker();
        let _ = session.call(broker, request, 2).await;
    }
    Ok(())
}
