//! A coordinator with its log, driven step by step: the log may hold back, fail or forget what was not committed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use engine::group::{Config, Durable, Effects, JoinCall, Now, Record, Reply, Shard, Token};
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
};
use wire::{ErrorCode, Str};

/// Keys and values as they would stand in the log.
type Stored = (Bytes, Option<Bytes>);

pub struct World {
    config: Config,
    shard: Shard,
    now: Now,
    next_token: u64,
    unique: u64,
    replies: BTreeMap<u64, Reply>,
    committed: Vec<Stored>,
    /// Writes in the log whose records are not committed yet.
    tail: VecDeque<(u64, Vec<Stored>)>,
    holding: bool,
    /// The version of the OffsetCommit requests.
    pub commit_version: i16,
}

impl World {
    pub fn new(config: Config) -> World {
        let now = Now {
            mono_ms: 1,
            wall_ms: 1_000_000,
        };
        World {
            shard: Shard::new(config.clone(), Durable::default(), now),
            config,
            now,
            next_token: 0,
            unique: 0,
            replies: BTreeMap::new(),
            committed: Vec::new(),
            tail: VecDeque::new(),
            holding: false,
            commit_version: 9,
        }
    }

    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    fn step(&mut self, step: impl FnOnce(&mut Shard, Now, &mut Effects)) {
        let mut out = Effects::default();
        step(&mut self.shard, self.now, &mut out);
        self.absorb(out);
        if !self.holding {
            self.commit_some(usize::MAX);
        }
    }

    fn absorb(&mut self, out: Effects) {
        for (token, reply) in out.replies {
            assert!(
                self.replies.insert(token.0, reply).is_none(),
                "a request is answered once"
            );
        }
        for write in out.writes {
            let stored = write
                .records
                .iter()
                .map(|r| r.encode().expect("records encode"))
                .collect();
            self.tail.push_back((write.ticket, stored));
        }
    }

    fn request(&mut self, step: impl FnOnce(&mut Shard, Now, Token, &mut Effects)) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.step(|shard, now, out| step(shard, now, Token(token), out));
        token
    }

    pub fn reply(&mut self, token: u64) -> Option<Reply> {
        self.replies.remove(&token)
    }

    pub fn take_replies(&mut self) -> BTreeMap<u64, Reply> {
        std::mem::take(&mut self.replies)
    }

    /// From here on records stay uncommitted until they are told otherwise.
    pub fn hold_commits(&mut self) {
        self.holding = true;
    }

    pub fn commit_all(&mut self) {
        self.commit_some(usize::MAX);
    }

    /// The high watermark passes up to `count` writes.
    pub fn commit_some(&mut self, count: usize) {
        for _ in 0..count {
            let Some((ticket, stored)) = self.tail.pop_front() else {
                return;
            };
            self.committed.extend(stored);
            let mut out = Effects::default();
            self.shard.on_committed(self.now, ticket, &mut out);
            self.absorb(out);
        }
    }

    /// The log refuses what was asked for last and everything before that is not committed.
    pub fn fail_all(&mut self, error: ErrorCode) {
        for (ticket, _) in std::mem::take(&mut self.tail) {
            let mut out = Effects::default();
            self.shard.on_failed(self.now, ticket, error, &mut out);
            self.absorb(out);
        }
    }

    /// The coordinator is lost; another one takes over with all that was committed and some of what was not.
    pub fn crash_keeping(&mut self, kept_writes: usize) {
        for (_, stored) in std::mem::take(&mut self.tail).into_iter().take(kept_writes) {
            self.committed.extend(stored);
        }
        let mut durable = Durable::default();
        for (key, value) in &self.committed {
            durable
                .apply(&Record::decode(Some(key.clone()), value.clone()).expect("records decode"));
        }
        let old = std::mem::replace(
            &mut self.shard,
            Shard::new(self.config.clone(), durable, self.now),
        );
        for (token, reply) in old.unload(ErrorCode::NotCoordinator) {
            assert!(
                self.replies.insert(token.0, reply).is_none(),
                "a request is answered once"
            );
        }
    }

    pub fn crash(&mut self) {
        self.crash_keeping(0);
    }

    /// Time passes, with every timer at its time.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        loop {
            let next = self
                .shard
                .next_deadline()
                .filter(|at| *at <= end)
                .unwrap_or(end);
            let next = next.max(self.now.mono_ms);
            self.now.wall_ms += (next - self.now.mono_ms) as i64;
            self.now.mono_ms = next;
            self.step(|shard, now, out| shard.on_time(now, out));
            if next == end && self.shard.next_deadline().is_none_or(|at| at > end) {
                return;
            }
        }
    }

    pub fn expire(&mut self) {
        self.step(|shard, now, out| shard.expire(now, out));
    }

    pub fn join(&mut self, request: JoinGroupRequest) -> u64 {
        self.unique += 1;
        let unique = self.unique.to_string();
        let call = JoinCall {
            request: &request,
            version: 9,
            client_id: "c",
            client_host: "/127.0.0.1",
            unique: &unique,
        };
        self.request(|shard, now, token, out| shard.join(now, token, call, out))
    }

    pub fn sync(
        &mut self,
        group: &str,
        member: &str,
        generation: i32,
        assign: &[(&str, &[u8])],
    ) -> u64 {
        let assignments = assign.iter().map(|(id, bytes)| SyncGroupRequestAssignment {
            member_id: Str::copy_from(id),
            assignment: Bytes::copy_from_slice(bytes),
        });
        let request = SyncGroupRequest {
            group_id: Str::copy_from(group),
            member_id: Str::copy_from(member),
            generation_id: generation,
            assignments: assignments.collect(),
            ..Default::default()
        };
        self.request(|shard, now, token, out| shard.sync(now, token, &request, out))
    }

    pub fn heartbeat(&mut self, group: &str, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: Str::copy_from(group),
            member_id: Str::copy_from(member),
            generation_id: generation,
            ..Default::default()
        };
        let token =
            self.request(|shard, now, token, out| shard.heartbeat(now, token, &request, out));
        match self.reply(token) {
            Some(Reply::Heartbeat(error)) => error,
            other => panic!("heartbeats are answered at once: {other:?}"),
        }
    }

    pub fn leave(&mut self, group: &str, member: &str) -> ErrorCode {
        let request = LeaveGroupRequest {
            group_id: Str::copy_from(group),
            member_id: Str::copy_from(member),
            ..Default::default()
        };
        let token =
            self.request(|shard, now, token, out| shard.leave(now, token, 2, &request, out));
        match self.reply(token) {
            Some(Reply::Leave(left)) => {
                ErrorCode::from_code(left.error_code).expect("a known code")
            }
            other => panic!("leaving is answered at once: {other:?}"),
        }
    }

    pub fn commit(
        &mut self,
        group: &str,
        member: &str,
        generation: i32,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> u64 {
        self.commit_request(OffsetCommitRequest {
            group_id: Str::copy_from(group),
            member_id: Str::copy_from(member),
            generation_id_or_member_epoch: generation,
            topics: one_offset(topic, partition, offset),
            ..Default::default()
        })
    }

    /// Commits an offset of a topic `t` in group `g`, in the first generation.
    pub fn commit_as_instance(&mut self, instance: &str, member: &str, offset: i64) -> u64 {
        self.commit_request(OffsetCommitRequest {
            group_id: "g".into(),
            group_instance_id: Some(Str::copy_from(instance)),
            member_id: Str::copy_from(member),
            generation_id_or_member_epoch: 1,
            topics: one_offset("t", 0, offset),
            ..Default::default()
        })
    }

    fn commit_request(&mut self, request: OffsetCommitRequest) -> u64 {
        let version = self.commit_version;
        self.request(|shard, now, token, out| {
            shard.commit_offsets(now, token, version, &request, out)
        })
    }

    pub fn commit_error(&mut self, token: u64) -> ErrorCode {
        match self.reply(token) {
            Some(Reply::OffsetCommit(answer)) => {
                ErrorCode::from_code(answer.topics[0].partitions[0].error_code)
                    .expect("a known code")
            }
            other => panic!("not committed: {other:?}"),
        }
    }

    pub fn committed_ok(&mut self, token: u64) -> bool {
        self.commit_error(token) == ErrorCode::None
    }

    pub fn delete(&mut self, group: &str) -> ErrorCode {
        let token =
            self.request(|shard, now, token, out| shard.delete_group(now, token, group, out));
        match self.reply(token) {
            Some(Reply::DeleteGroup(error)) => error,
            other => panic!("not deleted: {other:?}"),
        }
    }
}

fn one_offset(topic: &str, partition: i32, offset: i64) -> Vec<OffsetCommitRequestTopic> {
    vec![OffsetCommitRequestTopic {
        name: Str::copy_from(topic),
        partitions: vec![OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        }],
        ..Default::default()
    }]
}

/// A consumer's request, with the metadata of a real subscription.
pub fn join_request(group: &str, member: &str, topics: &[&str]) -> JoinGroupRequest {
    let mut metadata = vec![0, 0];
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend((-1i32).to_be_bytes());
    JoinGroupRequest {
        group_id: Str::copy_from(group),
        member_id: Str::copy_from(member),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: metadata.into(),
        }],
        ..Default::default()
    }
}
