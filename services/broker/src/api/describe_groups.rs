//! DescribeGroups, versions 0 to 6: state, protocol and members of groups.

use std::collections::BTreeSet;

use wire::messages::describe_groups_response::DescribedGroup;
use wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use super::RequestContext;
use crate::server::Broker;

/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS: without authorisation everybody may do everything.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub async fn handle(
    broker: &Broker,
    request: DescribeGroupsRequest,
    context: &RequestContext,
) -> DescribeGroupsResponse {
    let describe = |group_id: &wire::Str| {
        let looked = broker
            .groups
            .look(group_id, |shard| shard.describe(group_id, context.version));
        let mut group = looked.unwrap_or_else(|error| DescribedGroup {
            error_code: error.code(),
            group_id: group_id.clone(),
            ..Default::default()
        });
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = ALL_OPERATIONS;
        }
        group
    };
    // Nobody is told the same thing twice: the answer is not larger than what there is to tell.
    let mut seen = BTreeSet::new();
    let asked = request.groups.iter().filter(|id| seen.insert(id.as_str()));
    DescribeGroupsResponse {
        groups: asked.map(describe).collect(),
        ..Default::default()
    }
}
