//! ListOffsets, versions 1 to 11: earliest (-2), latest (-1), largest timestamp (-3, KIP-734), or by time.
//!
//! Offsets of tiered storage (-4 earliest local, -5 latest tiered, -6) are answered as Kafka does without tiered
//! storage: the earliest local offset is the earliest one, and nothing is tiered.

use std::sync::Arc;

use engine::ids::{BrokerId, LeaderEpoch};
use engine::metadata::Image;
use engine::replica::Reader;
use wire::ErrorCode;
use wire::messages::list_offsets_request::ListOffsetsPartition;
use wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::RequestContext;
use super::partition_lookup::{TopicKey, find};
use crate::partition::{FoundOffset, Wanted};
use crate::server::Broker;

const OFFSET_NOT_AVAILABLE_FROM: i16 = 5;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

pub async fn handle(
    broker: &Arc<Broker>,
    request: ListOffsetsRequest,
    context: &RequestContext,
) -> ListOffsetsResponse {
    let image = broker.quorum.image();
    let reader = match request.replica_id {
        id if id >= 0 => Reader::Follower {
            id: BrokerId(id),
            broker_epoch: None,
        },
        _ => Reader::Consumer {
            read_committed: request.isolation_level == 1,
        },
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let key = TopicKey::Name(topic.name.clone());
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let found = look_up(broker, &image, &key, &asked, reader).await;
            let found = found.map_err(|code| for_version(code, context.version));
            partitions.push(partition_response(&asked, found));
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

async fn look_up(
    broker: &Broker,
    image: &Image,
    topic: &TopicKey,
    asked: &ListOffsetsPartition,
    reader: Reader,
) -> Result<Option<FoundOffset>, ErrorCode> {
    let wanted = match asked.timestamp {
        LATEST => Wanted::Latest,
        EARLIEST | EARLIEST_LOCAL => Wanted::Earliest,
        MAX_TIMESTAMP => Wanted::MaxTimestamp,
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(None),
        time if time >= 0 => Wanted::AtTime(time),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    let partition = find(broker, image, topic, asked.partition_index)?;
    let epoch = Some(LeaderEpoch(asked.current_leader_epoch)).filter(|epoch| epoch.0 >= 0);
    partition.find_offset(wanted, reader, epoch).await
}

/// Clients before version 5 do not know the error of KIP-207; this one makes them ask again too.
fn for_version(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::OffsetNotAvailable if version < OFFSET_NOT_AVAILABLE_FROM => {
            ErrorCode::LeaderNotAvailable
        }
        code => code,
    }
}

fn partition_response(
    asked: &ListOffsetsPartition,
    found: Result<Option<FoundOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let nothing = ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    };
    match found {
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp_ms,
            offset: found.offset.0,
            leader_epoch: found.leader_epoch.0,
            ..nothing
        },
        Ok(None) => nothing,
        Err(code) => ListOffsetsPartitionResponse {
            error_code: code as i16,
            ..nothing
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_are_told_what_they_know() {
        let code = ErrorCode::OffsetNotAvailable;
        assert_eq!(for_version(code, 4), ErrorCode::LeaderNotAvailable);
        assert_eq!(for_version(code, 5), code);
        assert_eq!(
            for_version(ErrorCode::FencedLeaderEpoch, 4),
            ErrorCode::FencedLeaderEpoch
        );
    }
}
