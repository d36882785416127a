//! OffsetForLeaderEpoch, versions 2 to 4 (KIP-101, KIP-320): where a leader epoch ends, for clients that look for a
//! truncation. Followers learn it from Fetch.

use std::sync::Arc;

use engine::epochs::EpochEnd;
use engine::ids::LeaderEpoch;
use engine::metadata::Image;
use wire::ErrorCode;
use wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::RequestContext;
use super::partition_lookup::{TopicKey, find};
use crate::server::Broker;

pub async fn handle(
    broker: &Arc<Broker>,
    request: OffsetForLeaderEpochRequest,
    _context: &RequestContext,
) -> OffsetForLeaderEpochResponse {
    let image = broker.quorum.image();
    let topics = request.topics.into_iter().map(|topic| {
        let key = TopicKey::Name(topic.topic.clone());
        let partitions = topic
            .partitions
            .iter()
            .map(|asked| partition_response(broker, &image, &key, asked))
            .collect();
        OffsetForLeaderTopicResult {
            topic: topic.topic,
            partitions,
        }
    });
    OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn partition_response(
    broker: &Broker,
    image: &Image,
    topic: &TopicKey,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let current = Some(LeaderEpoch(asked.current_leader_epoch)).filter(|epoch| epoch.0 >= 0);
    let end = find(broker, image, topic, asked.partition)
        .and_then(|partition| partition.end_of_epoch(LeaderEpoch(asked.leader_epoch), current));
    let (error, end) = match end {
        Ok(end) => (ErrorCode::None, end),
        Err(error) => (error, None),
    };
    let EpochEnd { epoch, end } = end.unwrap_or(EpochEnd {
        epoch: LeaderEpoch::NONE,
        end: (-1).into(),
    });
    EpochEndOffset {
        error_code: error as i16,
        partition: asked.partition,
        leader_epoch: epoch.0,
        end_offset: end.0,
    }
}
