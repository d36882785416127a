//! Brokers are taken for gone for good. One that runs, or that has replicas, is refused; another is forgotten, and when it
//! comes back it registers as a new one.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;
use wire::messages::UnregisterBrokerRequest;

use crate::clients::Session;
use crate::{Scene, Stage, marks};

/// Asks for it until everything is healed.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    while scene.stage() < Stage::Settling {
        sleep(Duration::from_millis(dice.random_range(100..800))).await;
        let Some(victim) = scene.brokers.choose(&mut dice) else {
            break;
        };
        let request = UnregisterBrokerRequest { broker_id: *victim };
        let broker = session.next_broker();
        let answer = session.call(broker, request, 0).await;
        if answer.is_ok_and(|answer| answer.error_code == 0) {
            marks::note(marks::UNREGISTERED);
        }
    }
    Ok(())
}
