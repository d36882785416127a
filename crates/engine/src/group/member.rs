//! One member of a group, as the coordinator that is in charge now sees it.

use std::collections::BTreeSet;

use bytes::Bytes;
use wire::Str;
use wire::messages::JoinGroupRequest;

use super::durable::MemberSnapshot;
use super::{JoinCall, Token};

#[derive(Debug)]
pub(super) struct Member {
    pub id: Str,
    pub instance_id: Option<Str>,
    pub client_id: Str,
    pub client_host: Str,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// What the member can do, in its order of preference, with the metadata for each.
    pub protocols: Vec<(Str, Bytes)>,
    pub assignment: Bytes,
    pub awaiting_join: Option<Token>,
    pub awaiting_sync: Option<Token>,
    /// Has never completed a join: it is dropped when that takes too long, for it has no session yet.
    pub is_new: bool,
    /// When the session ends; none while the coordinator owes the member an answer.
    pub session_deadline_ms: Option<u64>,
}

impl Member {
    pub fn from_join(id: Str, call: &JoinCall<'_>) -> Member {
        let mut member = Member {
            id,
            instance_id: call
                .request
                .group_instance_id
                .as_deref()
                .map(Str::copy_from),
            client_id: Str::default(),
            client_host: Str::default(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session_deadline_ms: None,
        };
        member.update(call);
        member
    }

    pub fn from_snapshot(saved: &MemberSnapshot, protocol: Option<&Str>) -> Member {
        Member {
            id: saved.member_id.clone(),
            instance_id: saved.instance_id.clone(),
            client_id: saved.client_id.clone(),
            client_host: saved.client_host.clone(),
            session_timeout_ms: saved.session_timeout_ms,
            rebalance_timeout_ms: match saved.rebalance_timeout_ms {
                -1 => saved.session_timeout_ms,
                ms => ms,
            },
            protocols: protocol
                .map(|name| (name.clone(), saved.subscription.clone()))
                .into_iter()
                .collect(),
            assignment: saved.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session_deadline_ms: None,
        }
    }

    /// Takes over what a (re)joining client says. Copies, so that the request's frame is not kept alive.
    pub fn update(&mut self, call: &JoinCall<'_>) {
        let request = call.request;
        self.client_id = Str::copy_from(call.client_id);
        self.client_host = Str::copy_from(call.client_host);
        self.session_timeout_ms = request.session_timeout_ms;
        self.rebalance_timeout_ms = call.rebalance_timeout_ms();
        self.protocols = request
            .protocols
            .iter()
            .map(|p| (Str::copy_from(&p.name), Bytes::copy_from_slice(&p.metadata)))
            .collect();
    }

    pub fn snapshot(&self, protocol: Option<&Str>, assignment: Bytes) -> MemberSnapshot {
        MemberSnapshot {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: protocol.map(|name| self.metadata(name)).unwrap_or_default(),
            assignment,
        }
    }

    /// The metadata for a protocol, empty for one that the member does not name.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Its first choice among the candidates.
    pub fn vote(&self, candidates: &BTreeSet<Str>) -> Option<Str> {
        self.protocols
            .iter()
            .map(|(name, _)| name)
            .find(|name| candidates.contains(*name))
            .cloned()
    }

    /// Whether the request says what is known already: then no rebalance is needed.
    pub fn says_the_same(&self, request: &JoinGroupRequest) -> bool {
        self.protocols.len() == request.protocols.len()
            && self
                .protocols
                .iter()
                .zip(&request.protocols)
                .all(|((name, metadata), new)| *name == new.name && *metadata == new.metadata)
    }

    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }
}
