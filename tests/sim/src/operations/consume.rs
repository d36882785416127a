//! Reading without a group: from the log's start on, again and again, and asking for the latest offset.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use checker::history::Place;
use checker::{Seen, What};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::{FetchRequest, ListOffsetsRequest};
use wire::{ErrorCode, Records, Str, Uuid};

use crate::clients::Session;
use crate::scene::now_us;
use crate::{Scene, Stage, marks};

/// ListOffsets' words for the end of the log, and for its start.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// The first version of Fetch that names topics by their id.
const FETCH_BY_ID: i16 = 13;

/// What one fetch brought.
pub struct Read {
    pub sent_us: u64,
    pub leader_epoch: i32,
    pub next: i64,
    pub high_watermark: i64,
    pub log_start: i64,
    pub records: Vec<Seen>,
}

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
    let sent_us = now_us();
    let (offset, epoch) = list(session, at, LATEST).await?;
    let what = What::Latest {
        at: known_as.clone(),
        leader_epoch: Some(epoch),
        sent_us,
        offset,
    };
    scene.record(name, what);
    Ok(offset)
}

/// Where the log starts.
pub async fn earliest(
    scene: &Scene,
    name: &str,
    session: &mut Session,
    at: &Place,
) -> anyhow::Result<i64> {
    let (offset, _) = list(session, at, EARLIEST).await?;
    let at = at.clone();
    scene.record(name, What::Earliest { at, offset });
    Ok(offset)
}

/// The offset that is asked for with this word, and the leader's epoch.
async fn list(session: &mut Session, at: &Place, word: i64) -> anyhow::Result<(i64, i32)> {
    let (leader, epoch) = session.leader(&at.topic, at.partition, false).await?;
    let partition = ListOffsetsPartition {
        partition_index: at.partition,
        current_leader_epoch: epoch,
        timestamp: word,
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: Str::copy_from(&at.topic),
            partitions: vec![partition],
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = session.call(leader, request, 7).await?;
    let result = answer
        .topics
        .first()
        .and_then(|topic| topic.partitions.first())
        .context("an answer without the partition")?;
    let error = ErrorCode::from_code(result.error_code);
    if error == Some(ErrorCode::OffsetNotAvailable) {
        marks::note(marks::NOT_AVAILABLE);
    }
    ensure!(error == Some(ErrorCode::None), "{error:?}");
    Ok((result.offset, epoch))
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
    let (leader, leader_epoch) = session.leader(&at.topic, at.partition, false).await?;
    let sent_us = now_us();
    let partition = FetchPartition {
        partition: at.partition,
        current_leader_epoch: leader_epoch,
        fetch_offset: from,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: Str::copy_from(&at.topic),
        topic_id: id.unwrap_or(Uuid::ZERO),
        partitions: vec![partition],
    };
    let request = FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let version = if id.is_some() { FETCH_BY_ID } else { 12 };
    let mut answer = session.call(leader, request, version).await?;
    let mut topic = answer
        .responses
        .pop()
        .context("an answer without the topic")?;
    let result = topic
        .partitions
        .pop()
        .context("an answer without the partition")?;
    match ErrorCode::from_code(result.error_code) {
        Some(ErrorCode::None) => {}
        Some(ErrorCode::OffsetOutOfRange) => {
            marks::note(marks::TAKEN);
            return Ok(None);
        }
        other => bail!("{other:?}"),
    }
    let (next, records) = records(result.records.unwrap_or_default(), from)?;
    Ok(Some(Read {
        sent_us,
        leader_epoch,
        next,
        high_watermark: result.high_watermark,
        log_start: result.log_start_offset,
        records,
    }))
}

fn records(records: Records, from: i64) -> anyhow::Result<(i64, Vec<Seen>)> {
    let (mut next, mut seen) = (from, Vec::new());
    for batch in wire::batch::split(records.to_bytes()) {
        let batch = batch?;
        let base = batch.header.base_offset;
        let all = wire::record::iter(batch.payload(), batch.header.record_count);
        for record in all {
            let record = record?;
            // Of compacted batches some records are gone.
            let offset = base + i64::from(record.offset_delta);
            let value = record.value.context("every record has a value")?;
            let record = std::str::from_utf8(&value)
                .ok()
                .and_then(|v| v.parse().ok());
            // A batch may begin before what was asked for.
            if offset >= from {
                seen.push(Seen { offset, record });
            }
        }
        next = batch.header.next_offset().max(from);
    }
    Ok((next, seen))
}
