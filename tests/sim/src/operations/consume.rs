//! Reading without a group: from the log's start on, again and again, and asking for the latest offset.

use std::time::Duration;

use anyhow::{bail, ensure};
use checker::What;
use checker::history::Place;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;
use wire::{ErrorCode, Uuid};
use wire_client::{EARLIEST, LATEST, Listed, Read};

use crate::clients::Session;
use crate::scene::now_us;
use crate::{Scene, Stage, marks};

/// How long a leader waits for what there is to read.
const MAX_WAIT_MS: i32 = 100;

/// Reads all partitions until everything is healed.
pub async fn run(scene: Scene, name: String, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    let mut positions: Vec<(Place, i64)> = Vec::new();
    while scene.stage() < Stage::Settling {
        for at in scene.places() {
            if !positions.iter().any(|(known, _)| *known == at) {
                positions.push((at, 0));
            }
        }
        let chosen = dice.random_range(0..positions.len());
        let (at, position) = &mut positions[chosen];
        if dice.random_bool(0.2) {
            // From anywhere below: what was shown stays.
            *position = dice.random_range(0..=*position);
        }
        let worked = match dice.random_bool(0.2) {
            true => latest(&scene, &name, &mut session, at, at)
                .await
                .map(|_| ()),
            false => step(&scene, &name, &mut session, at, position).await,
        };
        if worked.is_err() {
            let _ = session.partitions(&at.topic).await;
        }
        sleep(Duration::from_millis(dice.random_range(1..80))).await;
    }
    Ok(())
}

async fn step(
    scene: &Scene,
    name: &str,
    session: &mut Session,
    at: &Place,
    position: &mut i64,
) -> anyhow::Result<()> {
    let Some(read) = fetch(session, at, *position).await? else {
        *position = earliest(scene, name, session, at).await?;
        return Ok(());
    };
    let what = What::Fetched {
        at: at.clone(),
        leader_epoch: Some(read.leader_epoch),
        sent_us: read.sent_us,
        from: *position,
        next: read.next,
        high_watermark: read.high_watermark,
        log_start: read.log_start,
        records: read.records,
    };
    *position = read.next;
    scene.record(name, what);
    Ok(())
}

/// Where what is committed ends, written down as told of `known_as`.
pub async fn latest(
    scene: &Scene,
    name: &str,
    session: &mut Session,
    at: &Place,
    known_as: &Place,
) -> anyhow::Result<i64> {
    let told = list(session, at, LATEST).await?;
    let what = What::Latest {
        at: known_as.clone(),
        leader_epoch: Some(told.leader_epoch),
        sent_us: told.sent_us,
        offset: told.offset,
    };
    scene.record(name, what);
    Ok(told.offset)
}

/// Where the log starts.
pub async fn earliest(
    scene: &Scene,
    name: &str,
    session: &mut Session,
    at: &Place,
) -> anyhow::Result<i64> {
    let offset = list(session, at, EARLIEST).await?.offset;
    let at = at.clone();
    scene.record(name, What::Earliest { at, offset });
    Ok(offset)
}

/// The offset that is asked for with this word.
async fn list(session: &mut Session, at: &Place, word: i64) -> anyhow::Result<Listed> {
    let told = session.list(at, word, now_us).await?;
    if told.error == Some(ErrorCode::OffsetNotAvailable) {
        marks::note(marks::NOT_AVAILABLE);
    }
    ensure!(told.error.is_none(), "{:?}", told.error);
    Ok(told)
}

/// Asks the leader, in the epoch that is known, for what begins at `from`; none where there is nothing any more.
pub async fn fetch(session: &mut Session, at: &Place, from: i64) -> anyhow::Result<Option<Read>> {
    fetch_of(session, at, None, from).await
}

/// The same from a topic of this id.
pub async fn fetch_of(
    session: &mut Session,
    at: &Place,
    id: Option<Uuid>,
    from: i64,
) -> anyhow::Result<Option<Read>> {
    let read = session.fetch(at, id, from, MAX_WAIT_MS, now_us).await?;
    match read.error {
        None => Ok(Some(read)),
        Some(ErrorCode::OffsetOutOfRange) => {
            marks::note(marks::TAKEN);
            Ok(None)
        }
        Some(error) => bail!("{error:?}"),
    }
}
