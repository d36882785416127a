//! SyncGroup, versions 0 to 5: the leader brings the assignments, every member gets its own.

use engine::group::Reply;
use wire::ErrorCode;
use wire::messages::{SyncGroupRequest, SyncGroupResponse};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    request: SyncGroupRequest,
    _context: &RequestContext,
) -> SyncGroupResponse {
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    let synced = broker
        .groups
        .request(&request.group_id, |shard, now, token, out| {
            shard.sync(now, token, &request, out);
        });
    match synced.await {
        Ok(Reply::Sync(response)) => response,
        Ok(_) => refused(ErrorCode::UnknownServerError),
        Err(error) => refused(error),
    }
}

fn refused(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: error.code(),
        ..Default::default()
    }
}
