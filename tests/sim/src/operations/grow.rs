//! Topics get more partitions while they are written to and read.

use std::time::Duration;

use anyhow::bail;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;
use wire::messages::CreatePartitionsRequest;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::{ErrorCode, Str};

use super::Patience;
use crate::clients::Session;
use crate::plan::MOST_PARTITIONS;
use crate::{Scene, Stage};

/// Rest between two tries.
const REST: Duration = Duration::from_millis(200);

/// Adds a partition now and then. One that has been asked for is waited for, however long things go wrong.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    while scene.stage() < Stage::Settling {
        sleep(Duration::from_millis(dice.random_range(1000..5000))).await;
        let Some(topic) = scene.topics.choose(&mut dice) else {
            break;
        };
        let wanted = scene.partitions(&topic.name) + 1;
        if wanted > MOST_PARTITIONS || scene.stage() >= Stage::Settling {
            continue;
        }
        let mut patience = Patience::default();
        while let Err(error) = grow(&mut session, &topic.name, wanted).await {
            patience.check(&scene, || format!("no partition more: {error:#}"))?;
            sleep(REST).await;
        }
        scene.grow(&topic.name, wanted);
    }
    scene.end_work();
    Ok(())
}

async fn grow(session: &mut Session, topic: &str, wanted: i32) -> anyhow::Result<()> {
    let one = CreatePartitionsTopic {
        name: Str::copy_from(topic),
        count: wanted,
        assignments: None,
    };
    let request = CreatePartitionsRequest {
        topics: vec![one],
        timeout_ms: 3000,
        ..CreatePartitionsRequest::default()
    };
    let broker = session.next_broker();
    let answer = session.call(broker, request, 3).await?;
    match answer
        .results
        .first()
        .map(|r| ErrorCode::from_code(r.error_code))
    {
        Some(Some(ErrorCode::None)) => Ok(()),
        // An earlier try has worked, whose answer has not come.
        Some(Some(ErrorCode::InvalidPartitions))
            if session.partitions(topic).await?.len() >= wanted as usize =>
        {
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}
