//! JoinGroup, versions 0 to 9: become a member of a group, or join its next generation.
//!
//! The answer waits until all members have joined or the rebalance timeout is over.

use engine::group::{JoinCall, Reply};
use wire::ErrorCode;
use wire::messages::{JoinGroupRequest, JoinGroupResponse};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    request: JoinGroupRequest,
    context: &RequestContext,
) -> JoinGroupResponse {
    let unique = broker.groups.unique();
    let host = format!("/{}", context.peer.address.ip());
    let call = JoinCall {
        request: &request,
        version: context.version,
        client_id: context.client_id(),
        client_host: &host,
        unique: &unique,
    };
    let joined = broker
        .groups
        .request(&request.group_id, |shard, now, token, out| {
            shard.join(now, token, call, out);
        });
    match joined.await {
        Ok(Reply::Join(mut response)) => {
            // Before version 7 the name cannot be null.
            if context.version < 7 && response.protocol_name.is_none() {
                response.protocol_name = Some(Default::default());
            }
            response
        }
        Ok(_) => refused(&request, context.version, ErrorCode::UnknownServerError),
        Err(error) => refused(&request, context.version, error),
    }
}

fn refused(request: &JoinGroupRequest, version: i16, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        member_id: request.member_id.clone(),
        protocol_name: (version < 7).then(Default::default),
        ..Default::default()
    }
}
