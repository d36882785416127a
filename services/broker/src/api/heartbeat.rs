//! Heartbeat, versions 0 to 4: a member lives, and learns of a rebalance.

use engine::group::Reply;
use wire::ErrorCode;
use wire::messages::{HeartbeatRequest, HeartbeatResponse};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    request: HeartbeatRequest,
    _context: &RequestContext,
) -> HeartbeatResponse {
    let error = beat(broker, &request).await;
    HeartbeatResponse {
        error_code: error.code(),
        ..Default::default()
    }
}

async fn beat(broker: &Broker, request: &HeartbeatRequest) -> ErrorCode {
    if request.group_id.is_empty() {
        return ErrorCode::InvalidGroupId;
    }
    let beaten = broker
        .groups
        .request(&request.group_id, |shard, now, token, out| {
            shard.heartbeat(now, token, request, out);
        });
    match beaten.await {
        Ok(Reply::Heartbeat(error)) => error,
        Ok(_) => ErrorCode::UnknownServerError,
        // As in Kafka: a member that beats while its coordinator loads has nothing to do but to go on.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Err(error) => error,
    }
}
