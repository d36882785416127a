//! DeleteGroups, versions 0 to 2: deletes groups that have no members, with their positions.

use engine::group::Reply;
use futures::future::join_all;
use wire::messages::delete_groups_response::DeletableGroupResult;
use wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use wire::{ErrorCode, Str};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    request: DeleteGroupsRequest,
    _context: &RequestContext,
) -> DeleteGroupsResponse {
    let results = join_all(
        request
            .groups_names
            .into_iter()
            .map(|group| delete(broker, group)),
    )
    .await;
    DeleteGroupsResponse {
        results,
        ..Default::default()
    }
}

async fn delete(broker: &Broker, group_id: Str) -> DeletableGroupResult {
    let deleted = broker.groups.write(&group_id, |shard, now, token, out| {
        shard.delete_group(now, token, &group_id, out);
    });
    let error = match deleted.await {
        Ok(Reply::DeleteGroup(error)) => error,
        Ok(_) => ErrorCode::UnknownServerError,
        Err(error) => error,
    };
    DeletableGroupResult {
        group_id,
        error_code: error.code(),
    }
}
