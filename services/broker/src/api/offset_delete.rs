//! OffsetDelete, version 0: forgets positions of a group, except where its members are subscribed to the topic.

use engine::group::Reply;
use wire::ErrorCode;
use wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    mut request: OffsetDeleteRequest,
    _context: &RequestContext,
) -> OffsetDeleteResponse {
    let image = broker.quorum.image();
    let (known, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut request.topics)
        .into_iter()
        .partition(|topic| image.topic(&topic.name).is_some());
    request.topics = known;
    let deleted = broker
        .groups
        .write(&request.group_id, |shard, now, token, out| {
            shard.delete_offsets(now, token, &request, out);
        });
    let mut response = match deleted.await {
        Ok(Reply::OffsetDelete(response)) => response,
        Ok(_) => refused(ErrorCode::UnknownServerError),
        Err(error) => refused(error),
    };
    if response.error_code == 0 {
        let partition = |index| OffsetDeleteResponsePartition {
            partition_index: index,
            error_code: ErrorCode::UnknownTopicOrPartition.code(),
        };
        response.topics.extend(missing.into_iter().map(|topic| {
            OffsetDeleteResponseTopic {
                name: topic.name,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|p| partition(p.partition_index))
                    .collect(),
            }
        }));
    }
    response
}

fn refused(error: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse {
        error_code: error.code(),
        ..Default::default()
    }
}
