//! The answer to a fetch.

use engine::metadata::Image;
use wire::ErrorCode;
use wire::messages::FetchResponse;
use wire::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use wire::{Records, Str, Uuid};

use super::super::partition_lookup::{LeaderHints, TopicKey};
use super::session::{Item, Session, Told};
use super::{Answered, Found};
use crate::partition::ReadAnswer;

/// A request that its session does not allow.
pub(super) fn refused(error: ErrorCode) -> FetchResponse {
    FetchResponse {
        error_code: error as i16,
        ..FetchResponse::default()
    }
}

/// In a session, only what is new is told; otherwise everything.
pub(super) fn build(
    image: &Image,
    listener: &str,
    session: &mut Session,
    found: Vec<Found>,
    by_id: bool,
) -> FetchResponse {
    let mut hints = LeaderHints::default();
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    let mut told = Vec::with_capacity(found.len());
    for Found { mut item, read, .. } in found {
        let (data, has_records) = partition(image, listener, &mut hints, &item, read);
        let now = Told {
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
        };
        let is_news = has_records
            || data.error_code != 0
            || data.diverging_epoch.end_offset >= 0
            || item.told != Some(now);
        // What has failed is told again, until it does not fail.
        item.told = (data.error_code == 0).then_some(now);
        if is_news || !session.is_incremental() {
            push(&mut topics, &item.topic, by_id, data);
        }
        told.push((item, has_records));
    }
    session.leave(told);
    let nodes = hints.nodes.into_iter();
    FetchResponse {
        session_id: session.id(),
        responses: topics,
        node_endpoints: nodes
            .map(|(node_id, n)| NodeEndpoint {
                node_id,
                host: n.host,
                port: n.port,
                rack: n.rack,
            })
            .collect(),
        ..FetchResponse::default()
    }
}

fn partition(
    image: &Image,
    listener: &str,
    hints: &mut LeaderHints,
    item: &Item,
    read: Result<Answered, ErrorCode>,
) -> (PartitionData, bool) {
    let mut data = PartitionData {
        partition_index: item.index,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        records: Some(Records::default()),
        ..PartitionData::default()
    };
    let (answer, records) = match read {
        Ok(Answered { read, records }) => {
            data.high_watermark = read.high_watermark.0;
            data.last_stable_offset = read.last_stable_offset.0;
            data.log_start_offset = read.log_start.0;
            (read.answer, records)
        }
        Err(error) => (Err(error), Records::default()),
    };
    let has_records = !records.is_empty();
    data.records = Some(records);
    match answer {
        Ok(ReadAnswer::Records(_)) => {}
        Ok(ReadAnswer::Diverging(end)) => {
            data.diverging_epoch = EpochEndOffset {
                epoch: end.epoch.0,
                end_offset: end.end.0,
            };
        }
        Err(error) => {
            data.error_code = error as i16;
            if let Some(hint) = hints.after(error, image, &item.topic, item.index, listener) {
                data.current_leader = LeaderIdAndEpoch {
                    leader_id: hint.id,
                    leader_epoch: hint.epoch,
                };
            }
        }
    }
    (data, has_records)
}

/// Partitions of one topic that follow each other share its entry.
fn push(
    topics: &mut Vec<FetchableTopicResponse>,
    topic: &TopicKey,
    by_id: bool,
    data: PartitionData,
) {
    let (name, id) = match topic {
        TopicKey::Id(id) => (Str::default(), *id),
        TopicKey::Name(name) => (name.clone(), Uuid::ZERO),
    };
    let same = |t: &&mut FetchableTopicResponse| {
        if by_id {
            t.topic_id == id
        } else {
            t.topic == name
        }
    };
    match topics.last_mut().filter(same) {
        Some(last) => last.partitions.push(data),
        None => {
            topics.push(FetchableTopicResponse {
                topic: name,
                topic_id: id,
                partitions: vec![data],
            });
        }
    }
}
