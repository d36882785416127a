//! FindCoordinator, versions 0 to 6: which broker coordinates a group.
//!
//! From version 4 on a request names several keys. The first request of a cluster's life creates
//! `__consumer_offsets`. Transactions and share groups are not offered: their keys are refused at once.

use wire::messages::find_coordinator_response::Coordinator;
use wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use wire::{ErrorCode, Str};

use super::RequestContext;
use crate::server::Broker;

const GROUP: i8 = 0;

pub async fn handle(
    broker: &Broker,
    request: FindCoordinatorRequest,
    context: &RequestContext,
) -> FindCoordinatorResponse {
    if context.version >= 4 {
        let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
        for key in request.coordinator_keys {
            coordinators.push(find(broker, key, request.key_type, context.listener()).await);
        }
        return FindCoordinatorResponse {
            coordinators,
            ..Default::default()
        };
    }
    let found = find(broker, request.key, request.key_type, context.listener()).await;
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

async fn find(broker: &Broker, key: Str, key_type: i8, listener: &str) -> Coordinator {
    let refused = |key, error: ErrorCode, why: &'static str| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: error.code(),
        error_message: Some(why.into()),
        ..Default::default()
    };
    if key_type != GROUP {
        let why = "This broker coordinates consumer groups only.";
        return refused(key, ErrorCode::InvalidRequest, why);
    }
    match broker.groups.find(&key, listener).await {
        Ok(found) => Coordinator {
            key,
            node_id: found.node.0,
            host: found.host,
            port: found.port,
            ..Default::default()
        },
        Err(error) => refused(key, error, "The coordinator is not available."),
    }
}
