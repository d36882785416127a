//! A member's side of the classic group protocol, request by request.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use checker::history::Place;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    DeleteGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use wire::{ErrorCode, Request, Str};

use crate::{Network, Session};

/// A member that is silent for this long is expelled, if nothing else is asked for.
pub const SESSION_MS: i32 = 3_000;

/// What a member is told instead of an answer.
#[derive(Debug)]
pub enum Trouble {
    /// The group forms its next generation: join again.
    Rebalance,
    /// The member is none any more, or its generation is over.
    Expelled(ErrorCode),
    /// The coordinator does not know yet what its predecessor has written.
    Loading,
    /// Nothing that the protocol says anything of: look for the coordinator, and try again.
    Other(anyhow::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Rebalance => f.write_str("a rebalance"),
            Trouble::Expelled(error) => write!(f, "expelled: {error:?}"),
            Trouble::Loading => f.write_str("the coordinator loads"),
            Trouble::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Trouble {
        Trouble::Other(error)
    }
}

fn checked(code: i16) -> Result<(), Trouble> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(ErrorCode::RebalanceInProgress) => Err(Trouble::Rebalance),
        Some(ErrorCode::CoordinatorLoadInProgress) => Err(Trouble::Loading),
        Some(
            error @ (ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::FencedInstanceId),
        ) => Err(Trouble::Expelled(error)),
        other => Err(Trouble::Other(anyhow::anyhow!("{other:?} ({code})"))),
    }
}

/// Who a member is to its coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Empty until the coordinator has given one.
    pub member_id: String,
    pub generation: i32,
    /// Of a static member (KIP-345).
    pub instance: Option<String>,
}

impl Identity {
    /// Of who is no member, and commits all the same.
    pub fn none() -> Identity {
        Identity {
            generation: -1,
            ..Identity::default()
        }
    }

    fn instance(&self) -> Option<Str> {
        self.instance.as_deref().map(Str::copy_from)
    }
}

/// One group as one client sees it.
pub struct Group<N: Network> {
    pub name: String,
    pub session: Session<N>,
    /// How long a member may be silent.
    pub session_ms: i32,
    coordinator: Option<i32>,
}

impl<N: Network + Default> Group<N> {
    pub fn new(name: &str, brokers: &[i32]) -> Group<N> {
        Group::over(name, Session::new(brokers))
    }
}

impl<N: Network> Group<N> {
    /// As `session` sees it.
    pub fn over(name: &str, session: Session<N>) -> Group<N> {
        Group {
            name: name.to_string(),
            session,
            session_ms: SESSION_MS,
            coordinator: None,
        }
    }

    fn name(&self) -> Str {
        Str::copy_from(&self.name)
    }

    async fn find(&mut self) -> Result<i32, Trouble> {
        if let Some(known) = self.coordinator {
            return Ok(known);
        }
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![self.name()],
            ..FindCoordinatorRequest::default()
        };
        let broker = self.session.next_broker();
        let answer = self.session.call(broker, request, 4).await?;
        let found = answer.coordinators.first();
        let found = found.ok_or_else(|| anyhow::anyhow!("an answer without the group"))?;
        checked(found.error_code)?;
        self.coordinator = Some(found.node_id);
        Ok(found.node_id)
    }

    async fn call<R: Request>(&mut self, request: R, version: i16) -> Result<R::Response, Trouble> {
        let coordinator = self.find().await?;
        let answered = self.session.call(coordinator, request, version).await;
        if answered.is_err() {
            self.coordinator = None;
        }
        Ok(answered?)
    }

    /// The coordinator is another one from now on, unless the trouble is the protocol's own.
    fn judged<T>(&mut self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if matches!(result, Err(Trouble::Other(_))) {
            self.coordinator = None;
        }
        result
    }

    /// Asks to be in the next generation. A coordinator that wants its members to have an id first gives one.
    pub async fn join(
        &mut self,
        who: &mut Identity,
        topics: &[&str],
    ) -> Result<JoinGroupResponse, Trouble> {
        for _ in 0..2 {
            let protocol = JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: subscription(topics),
            };
            let request = JoinGroupRequest {
                group_id: self.name(),
                session_timeout_ms: self.session_ms,
                rebalance_timeout_ms: self.session_ms,
                member_id: Str::copy_from(&who.member_id),
                group_instance_id: who.instance(),
                protocol_type: "consumer".into(),
                protocols: vec![protocol],
                ..JoinGroupRequest::default()
            };
            let answer = self.call(request, 9).await?;
            if ErrorCode::from_code(answer.error_code) == Some(ErrorCode::MemberIdRequired) {
                who.member_id = answer.member_id.to_string();
                continue;
            }
            self.judged(checked(answer.error_code))?;
            who.member_id = answer.member_id.to_string();
            who.generation = answer.generation_id;
            return Ok(answer);
        }
        Err(anyhow::anyhow!("two ids, and neither is known").into())
    }

    /// The member's part of the generation; its leader brings everybody's.
    pub async fn sync(
        &mut self,
        who: &Identity,
        parts: BTreeMap<String, Vec<Place>>,
    ) -> Result<Vec<Place>, Trouble> {
        let part = |(member, places): (String, Vec<Place>)| SyncGroupRequestAssignment {
            member_id: Str::from(member),
            assignment: assignment(&places),
        };
        let request = SyncGroupRequest {
            group_id: self.name(),
            generation_id: who.generation,
            member_id: Str::copy_from(&who.member_id),
            group_instance_id: who.instance(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: parts.into_iter().map(part).collect(),
        };
        let answer = self.call(request, 5).await?;
        self.judged(checked(answer.error_code))?;
        Ok(places(answer.assignment))
    }

    pub async fn heartbeat(&mut self, who: &Identity) -> Result<(), Trouble> {
        let request = HeartbeatRequest {
            group_id: self.name(),
            generation_id: who.generation,
            member_id: Str::copy_from(&who.member_id),
            group_instance_id: who.instance(),
        };
        let answer = self.call(request, 4).await?;
        self.judged(checked(answer.error_code))
    }

    pub async fn leave(&mut self, who: &Identity) -> Result<(), Trouble> {
        let member = MemberIdentity {
            member_id: Str::copy_from(&who.member_id),
            group_instance_id: who.instance(),
            reason: None,
        };
        let request = LeaveGroupRequest {
            group_id: self.name(),
            members: vec![member],
            ..LeaveGroupRequest::default()
        };
        let answer = self.call(request, 5).await?;
        self.judged(checked(answer.error_code))
    }

    /// Commits an offset of one partition.
    pub async fn commit(&mut self, who: &Identity, at: &Place, offset: i64) -> Result<(), Trouble> {
        let partition = OffsetCommitRequestPartition {
            partition_index: at.partition,
            committed_offset: offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: Str::copy_from(&at.topic),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: self.name(),
            generation_id_or_member_epoch: who.generation,
            member_id: Str::copy_from(&who.member_id),
            group_instance_id: who.instance(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let answer = self.call(request, 9).await?;
        let result = answer.topics.first().and_then(|t| t.partitions.first());
        let result = result.ok_or_else(|| anyhow::anyhow!("an answer without the partition"))?;
        self.judged(checked(result.error_code))
    }

    /// Deletes the group, which has no members.
    pub async fn delete(&mut self) -> Result<(), Trouble> {
        let request = DeleteGroupsRequest {
            groups_names: vec![self.name()],
        };
        let answer = self.call(request, 2).await?;
        let result = answer.results.first();
        let result = result.ok_or_else(|| anyhow::anyhow!("an answer without the group"))?;
        self.judged(forgotten(result.error_code))
    }

    /// Deletes the group's offsets of these partitions.
    pub async fn forget(&mut self, places: &[Place]) -> Result<(), Trouble> {
        let mut topics = BTreeMap::<_, Vec<_>>::new();
        for at in places {
            let partition = OffsetDeleteRequestPartition {
                partition_index: at.partition,
            };
            topics.entry(at.topic.as_str()).or_default().push(partition);
        }
        let topic = |(name, partitions)| OffsetDeleteRequestTopic {
            name: Str::copy_from(name),
            partitions,
        };
        let request = OffsetDeleteRequest {
            group_id: self.name(),
            topics: topics.into_iter().map(topic).collect(),
        };
        let answer = self.call(request, 0).await?;
        self.judged(forgotten(answer.error_code))?;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        for partition in partitions {
            self.judged(checked(partition.error_code))?;
        }
        Ok(())
    }

    /// The group's offset of a partition.
    pub async fn committed(&mut self, at: &Place) -> Result<Option<i64>, Trouble> {
        let topic = OffsetFetchRequestTopics {
            name: Str::copy_from(&at.topic),
            partition_indexes: vec![at.partition],
            ..OffsetFetchRequestTopics::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: self.name(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest {
            groups: vec![group],
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        let answer = self.call(request, 8).await?;
        let group = answer.groups.first();
        let group = group.ok_or_else(|| anyhow::anyhow!("an answer without the group"))?;
        self.judged(checked(group.error_code))?;
        let found = group.topics.first().and_then(|t| t.partitions.first());
        let found = found.ok_or_else(|| anyhow::anyhow!("an answer without the partition"))?;
        self.judged(checked(found.error_code))?;
        Ok(Some(found.committed_offset).filter(|offset| *offset >= 0))
    }
}

/// Whoever forgets twice finds nothing left.
fn forgotten(code: i16) -> Result<(), Trouble> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::GroupIdNotFound) => Ok(()),
        _ => checked(code),
    }
}

/// A ConsumerProtocolSubscription of version 0.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// What a member is to read, in words of this client's own: coordinators hand it on unread.
fn assignment(places: &[Place]) -> Bytes {
    let mut bytes = BytesMut::new();
    for place in places {
        bytes.put_i32(place.partition);
        bytes.put_i32(place.topic.len() as i32);
        bytes.put_slice(place.topic.as_bytes());
    }
    bytes.freeze()
}

fn places(mut bytes: Bytes) -> Vec<Place> {
    let mut places = Vec::new();
    while bytes.remaining() >= 8 {
        let partition = bytes.get_i32();
        let length = bytes.get_i32() as usize;
        let topic = String::from_utf8_lossy(&bytes.split_to(length)).into_owned();
        places.push(Place { topic, partition });
    }
    places
}

/// Whether it worked. What the protocol does not speak of passes.
pub fn patient(result: Result<(), Trouble>) -> Result<bool, Trouble> {
    match result {
        Ok(()) => Ok(true),
        Err(Trouble::Loading | Trouble::Other(_)) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// Each member has every so-many-th partition.
pub fn shares(members: &[String], places: &[Place]) -> BTreeMap<String, Vec<Place>> {
    let share = |(number, member): (usize, &String)| {
        let own = places.iter().skip(number).step_by(members.len());
        (member.clone(), own.cloned().collect())
    };
    members.iter().enumerate().map(share).collect()
}
