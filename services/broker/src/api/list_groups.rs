//! ListGroups, versions 0 to 5: the groups that this broker coordinates, by state (KIP-518) and type (KIP-848).

use wire::messages::{ListGroupsRequest, ListGroupsResponse};

use super::RequestContext;
use crate::server::Broker;

pub async fn handle(
    broker: &Broker,
    request: ListGroupsRequest,
    _context: &RequestContext,
) -> ListGroupsResponse {
    match broker
        .groups
        .look_at_all(|shard| shard.list(&request.states_filter, &request.types_filter))
    {
        Ok(groups) => ListGroupsResponse {
            groups: groups.into_iter().flatten().collect(),
            ..Default::default()
        },
        Err(error) => ListGroupsResponse {
            error_code: error.code(),
            ..Default::default()
        },
    }
}
