//! DescribeGroups, ListGroups and DeleteGroups.

use wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use wire::messages::list_groups_response::ListedGroup;
use wire::{ErrorCode, Str};

use super::effects::{Effects, Reply};
use super::state::{Group, Phase};
use super::{Now, Record, Shard, Token};

/// The type that ListGroups shows for groups of this protocol.
const TYPE: &str = "Classic";

/// A group as metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOverview {
    pub id: Str,
    pub state: &'static str,
    pub members: usize,
}

impl Shard {
    /// Every group, with nothing of its members but their number.
    pub fn overview(&self) -> impl Iterator<Item = GroupOverview> + '_ {
        self.groups.values().map(|group| GroupOverview {
            id: group.id.clone(),
            state: group.phase.name(),
            members: group.members.len(),
        })
    }

    /// Before version 6 a group that does not exist is described as dead.
    pub fn describe(&self, group_id: &str, version: i16) -> DescribedGroup {
        let Some(group) = self.groups.get(group_id) else {
            let missing = if version >= 6 {
                ErrorCode::GroupIdNotFound
            } else {
                ErrorCode::None
            };
            return DescribedGroup {
                error_code: missing.code(),
                error_message: (version >= 6)
                    .then(|| format!("Group {group_id} not found.").into()),
                group_id: Str::copy_from(group_id),
                group_state: "Dead".into(),
                ..Default::default()
            };
        };
        // What the members chose is of interest only once it holds.
        let protocol = group
            .protocol
            .as_ref()
            .filter(|_| group.phase == Phase::Stable);
        DescribedGroup {
            group_id: group.id.clone(),
            group_state: group.phase.name().into(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.cloned().unwrap_or_default(),
            members: group.described_members(protocol),
            ..Default::default()
        }
    }

    /// Groups that are in one of the states and of one of the types; an empty filter lets everything through.
    pub fn list(&self, states: &[Str], types: &[Str]) -> Vec<ListedGroup> {
        let passes = |filter: &[Str], name: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        if !passes(types, TYPE) {
            return Vec::new();
        }
        let listed = |group: &Group| ListedGroup {
            group_id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            group_state: group.phase.name().into(),
            group_type: TYPE.into(),
        };
        self.groups
            .values()
            .filter(|group| passes(states, group.phase.name()))
            .map(listed)
            .collect()
    }

    /// Deletes a group that has no members, offsets and all.
    pub fn delete_group(&mut self, now: Now, token: Token, group_id: &str, out: &mut Effects) {
        let found = self.step(now, group_id, false, out, |group, durable, cx| {
            if group.phase != Phase::Empty {
                return cx
                    .out
                    .reply(token, Reply::DeleteGroup(ErrorCode::NonEmptyGroup));
            }
            let mut records: Vec<Record> = durable
                .offsets_of(&group.id)
                .map(|(topic, partition, _)| Record::offset(&group.id, topic, partition, None))
                .collect();
            records.push(Record::Group {
                group: group.id.clone(),
                value: None,
            });
            group.pending.clear();
            cx.write_in_pieces(
                group,
                records,
                vec![(token, Reply::DeleteGroup(ErrorCode::None))],
            );
        });
        if found.is_none() {
            out.reply(token, Reply::DeleteGroup(ErrorCode::GroupIdNotFound));
        }
    }
}

impl Group {
    fn described_members(&self, protocol: Option<&Str>) -> Vec<DescribedGroupMember> {
        self.members
            .values()
            .map(|m| DescribedGroupMember {
                member_id: m.id.clone(),
                group_instance_id: m.instance_id.clone(),
                client_id: m.client_id.clone(),
                client_host: m.client_host.clone(),
                member_metadata: protocol.map(|name| m.metadata(name)).unwrap_or_default(),
                member_assignment: if protocol.is_some() {
                    m.assignment.clone()
                } else {
                    Default::default()
                },
            })
            .collect()
    }
}
