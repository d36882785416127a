//! What members make the coordinator keep in memory: counted, so that it can be bounded.

use super::join::JoinCall;
use super::member::Member;
use super::state::Group;

/// What a member takes beside its own bytes, about.
const MEMBER_BYTES: usize = 512;
/// What a handed-out id takes beside its own bytes, about.
const PENDING_BYTES: usize = 128;

/// What one group, or all groups of a partition, keep for members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub bytes: usize,
    /// Ids that were handed out and not used yet.
    pub pending: usize,
}

impl Held {
    /// The sum, with one group's part brought up to date.
    pub fn updated(self, before: Held, after: Held) -> Held {
        Held {
            bytes: (self.bytes + after.bytes).saturating_sub(before.bytes),
            pending: (self.pending + after.pending).saturating_sub(before.pending),
        }
    }
}

impl Group {
    pub fn held(&self) -> Held {
        let members: usize = self.members.values().map(Member::held_bytes).sum();
        let pending: usize = self.pending.keys().map(|id| PENDING_BYTES + id.len()).sum();
        let own = if members + pending > 0 {
            self.id.len()
        } else {
            0
        };
        Held {
            bytes: own + members + pending,
            pending: self.pending.len(),
        }
    }
}

impl Member {
    pub fn held_bytes(&self) -> usize {
        let protocols: usize = self
            .protocols
            .iter()
            .map(|(name, metadata)| name.len() + metadata.len())
            .sum();
        let instance = self.instance_id.as_ref().map_or(0, |id| id.len());
        MEMBER_BYTES
            + self.id.len()
            + instance
            + self.client_id.len()
            + self.client_host.len()
            + protocols
            + self.assignment.len()
    }
}

impl JoinCall<'_> {
    /// About what the group keeps once this call has been accepted.
    pub(super) fn held_bytes(&self) -> usize {
        let request = self.request;
        let protocols: usize = request
            .protocols
            .iter()
            .map(|p| p.name.len() + p.metadata.len())
            .sum();
        let instance = request.group_instance_id.as_ref().map_or(0, |id| id.len());
        // A new id begins with the client's or the instance's.
        let id = request
            .member_id
            .len()
            .max(self.client_id.len())
            .max(instance);
        MEMBER_BYTES + request.group_id.len() + id + instance + self.client_id.len() + protocols
    }
}
