//! OffsetCommit and OffsetDelete. Reading offsets needs no step: see [`Shard::durable`].

use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use wire::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};
use wire::{ErrorCode, Str};

use super::effects::{Effects, Reply};
use super::shard::Then;
use super::state::{Cx, Group, Phase};
use super::{CommittedOffset, Durable, Now, Record, Shard, Token};

impl Shard {
    /// Commits offsets, of a member or of a client that only stores offsets. Topics have their names, whatever the
    /// version; ids go into the records where they are known.
    pub fn commit_offsets(
        &mut self,
        now: Now,
        token: Token,
        version: i16,
        request: &OffsetCommitRequest,
        out: &mut Effects,
    ) {
        let simple = request.generation_id_or_member_epoch < 0;
        let done = self.step(now, &request.group_id, simple, out, |group, _, cx| {
            if let Err(error) = group.may_commit(request) {
                return cx.out.reply(token, all_commits(request, error));
            }
            if !request.member_id.is_empty() {
                group.keep_alive(&request.member_id, cx);
            }
            group.commit(token, version, request, cx);
        });
        if done.is_none() {
            // Clients of older versions know only the error that a group's next generation would give.
            let missing = if version >= 9 {
                ErrorCode::GroupIdNotFound
            } else {
                ErrorCode::IllegalGeneration
            };
            out.reply(token, all_commits(request, missing));
        }
    }

    /// Deletes offsets of a group, except of topics that its members are subscribed to.
    pub fn delete_offsets(
        &mut self,
        now: Now,
        token: Token,
        request: &OffsetDeleteRequest,
        out: &mut Effects,
    ) {
        let done = self.step(now, &request.group_id, false, out, |group, durable, cx| {
            if group.phase != Phase::Empty && group.protocol_type.as_deref() != Some("consumer") {
                return cx.out.reply(token, no_delete(ErrorCode::NonEmptyGroup));
            }
            group.delete_offsets(token, request, durable, cx);
        });
        if done.is_none() {
            out.reply(token, no_delete(ErrorCode::GroupIdNotFound));
        }
    }

    /// Forgets the offsets of topics that were deleted, in all groups.
    pub fn on_topics_deleted(
        &mut self,
        now: Now,
        deleted: impl Fn(&str) -> bool,
        out: &mut Effects,
    ) {
        let ids: Vec<Str> = self.durable.groups_with_offsets().cloned().collect();
        for id in ids {
            self.step(now, &id, false, out, |group, durable, cx| {
                let gone: Vec<Record> = durable
                    .offsets_of(&group.id)
                    .filter(|(topic, _, _)| deleted(topic))
                    .map(|(topic, partition, _)| Record::offset(&group.id, topic, partition, None))
                    .collect();
                cx.write_in_pieces(group, gone, Vec::new());
            });
        }
    }
}

impl Group {
    fn may_commit(&self, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(());
        }
        if generation < 0 && request.member_id.is_empty() && request.group_instance_id.is_none() {
            // Nobody may move the offsets of a group that has members from outside.
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate(&request.member_id, request.group_instance_id.as_deref())?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.phase {
            // Its members do not own anything yet.
            Phase::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            Phase::Empty | Phase::PreparingRebalance | Phase::Stable => Ok(()),
        }
    }

    fn commit(
        &mut self,
        token: Token,
        version: i16,
        request: &OffsetCommitRequest,
        cx: &mut Cx<'_>,
    ) {
        let limit = cx.config.max_offset_metadata_bytes;
        let retention_ms = (2..=4)
            .contains(&version)
            .then_some(request.retention_time_ms)
            .filter(|ms| *ms >= 0);
        let expires = retention_ms.map(|ms| cx.now.wall_ms.saturating_add(ms));
        let mut records = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let name = Str::copy_from(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for p in &topic.partitions {
                let too_large = p
                    .committed_metadata
                    .as_deref()
                    .is_some_and(|m| m.len() > limit);
                let error = if too_large {
                    ErrorCode::OffsetMetadataTooLarge
                } else {
                    ErrorCode::None
                };
                partitions.push(committed(p.partition_index, error));
                if !too_large {
                    let mut value = position(p, cx.now.wall_ms, expires);
                    value.topic_id = topic.topic_id;
                    records.push(Record::offset(
                        &self.id,
                        &name,
                        p.partition_index,
                        Some(value),
                    ));
                }
            }
            let topic_id = topic.topic_id;
            topics.push(OffsetCommitResponseTopic {
                name,
                topic_id,
                partitions,
            });
        }
        let reply = Reply::OffsetCommit(OffsetCommitResponse {
            topics,
            ..Default::default()
        });
        if records.is_empty() {
            return cx.out.reply(token, reply);
        }
        cx.write(self, records, Then::Nothing, vec![(token, reply)]);
    }

    fn delete_offsets(
        &mut self,
        token: Token,
        request: &OffsetDeleteRequest,
        durable: &Durable,
        cx: &mut Cx<'_>,
    ) {
        let mut records = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let subscribed = self.phase != Phase::Empty && self.is_subscribed_to(&topic.name);
            let error = if subscribed {
                ErrorCode::GroupSubscribedToTopic
            } else {
                ErrorCode::None
            };
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for p in &topic.partitions {
                if !subscribed
                    && durable
                        .offset(&self.id, &topic.name, p.partition_index)
                        .is_some()
                {
                    let name = Str::copy_from(&topic.name);
                    records.push(Record::offset(&self.id, &name, p.partition_index, None));
                }
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                });
            }
            topics.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions,
            });
        }
        let reply = Reply::OffsetDelete(OffsetDeleteResponse {
            topics,
            ..Default::default()
        });
        if records.is_empty() {
            return cx.out.reply(token, reply);
        }
        cx.write(self, records, Then::Nothing, vec![(token, reply)]);
    }
}

fn position(
    p: &OffsetCommitRequestPartition,
    wall_ms: i64,
    expires: Option<i64>,
) -> CommittedOffset {
    CommittedOffset {
        offset: p.committed_offset,
        leader_epoch: p.committed_leader_epoch,
        metadata: p
            .committed_metadata
            .as_deref()
            .map(Str::copy_from)
            .unwrap_or_default(),
        commit_timestamp_ms: wall_ms,
        expire_timestamp_ms: expires,
        topic_id: Default::default(),
    }
}

fn committed(partition_index: i32, error: ErrorCode) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition {
        partition_index,
        error_code: error.code(),
    }
}

fn no_delete(error: ErrorCode) -> Reply {
    Reply::OffsetDelete(OffsetDeleteResponse {
        error_code: error.code(),
        ..Default::default()
    })
}

/// The same answer for every partition of the request.
fn all_commits(request: &OffsetCommitRequest, error: ErrorCode) -> Reply {
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|p| committed(p.partition_index, error))
                .collect(),
        });
    Reply::OffsetCommit(OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}
