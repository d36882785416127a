//! LeaveGroup, versions 0 to 5: members leave, from version 3 on several at once and static ones by their instance.

use engine::group::Reply;
use wire::ErrorCode;
use wire::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    request: LeaveGroupRequest,
    context: &RequestContext,
) -> LeaveGroupResponse {
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    let left = broker
        .groups
        .request(&request.group_id, |shard, now, token, out| {
            shard.leave(now, token, context.version, &request, out);
        });
    match left.await {
        Ok(Reply::Leave(response)) => response,
        Ok(_) => refused(ErrorCode::UnknownServerError),
        Err(error) => refused(error),
    }
}

fn refused(error: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse {
        error_code: error.code(),
        ..Default::default()
    }
}
