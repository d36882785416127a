//! Invariant 7 (DESIGN.md section 5): a group's generation only grows, a partition has at most one owner per
//! generation, and a committed offset is never lost once it is acknowledged.
//!
//! Members with minds of their own join, sync, beat, commit, leave and fall silent in any order, while the log
//! commits late, refuses writes, and coordinators crash with any part of what was not committed.

use std::collections::{BTreeMap, BTreeSet};

use engine::group::{Config, Reply};
use proptest::prelude::*;
use wire::messages::JoinGroupResponse;
use wire::{ErrorCode, Str};

use crate::world::{World, join_request};

const GROUP: &str = "g";
const PARTITIONS: usize = 4;

#[derive(Clone, Debug)]
enum Event {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Commit(usize),
    Leave(usize),
    /// The client's process dies and forgets who it was.
    Forget(usize),
    Advance(u64),
    CommitWrites(usize),
    RefuseWrites,
    Crash(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let client = 0..4usize;
    prop_oneof![
        6 => client.clone().prop_map(Event::Join),
        6 => client.clone().prop_map(Event::Sync),
        3 => client.clone().prop_map(Event::Heartbeat),
        5 => client.clone().prop_map(Event::Commit),
        1 => client.clone().prop_map(Event::Leave),
        1 => client.prop_map(Event::Forget),
        4 => (1..8_000u64).prop_map(Event::Advance),
        8 => (1..5usize).prop_map(Event::CommitWrites),
        1 => Just(Event::RefuseWrites),
        1 => (0..4usize).prop_map(Event::Crash),
    ]
}

#[derive(Clone, Debug, Default)]
struct Client {
    member: Str,
    joined: Option<JoinGroupResponse>,
    /// Partitions it owns, and in which generation.
    owned: Option<(i32, Vec<u8>)>,
    instance: Option<&'static str>,
}

#[derive(Debug)]
enum Asked {
    Join(usize),
    Sync(usize, i32),
    Commit(i32, i64),
}

struct Life {
    world: World,
    clients: Vec<Client>,
    asked: BTreeMap<u64, Asked>,
    /// Newest generation that any member has been told.
    newest: i32,
    /// Who was told the members of a generation: one leader's view is enough.
    assigned: BTreeMap<i32, BTreeMap<u8, String>>,
    /// Highest acknowledged offset by partition; offsets only ever grow in this test.
    acknowledged: BTreeMap<i32, i64>,
    next_offset: i64,
}

impl Life {
    fn new() -> Life {
        let mut world = World::new(Config {
            initial_rebalance_delay_ms: 500,
            ..Config::default()
        });
        world.hold_commits();
        let client = |instance| Client {
            instance,
            ..Client::default()
        };
        Life {
            world,
            clients: vec![
                client(None),
                client(None),
                client(Some("static-1")),
                client(Some("static-2")),
            ],
            asked: BTreeMap::new(),
            newest: 0,
            assigned: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            next_offset: 0,
        }
    }

    fn play(&mut self, event: &Event) {
        match *event {
            Event::Join(who) => self.join(who),
            Event::Sync(who) => self.sync(who),
            Event::Heartbeat(who) => {
                if let Some(joined) = &self.clients[who].joined {
                    let (member, generation) = (joined.member_id.clone(), joined.generation_id);
                    self.world.heartbeat(GROUP, &member, generation);
                }
            }
            Event::Commit(who) => self.commit(who),
            Event::Leave(who) => {
                let member = self.clients[who].member.clone();
                if !member.is_empty() {
                    self.world.leave(GROUP, &member);
                }
            }
            Event::Forget(who) => {
                let instance = self.clients[who].instance;
                self.clients[who] = Client {
                    instance,
                    ..Client::default()
                };
                self.asked.retain(|_, asked| match asked {
                    Asked::Join(client) | Asked::Sync(client, _) => *client != who,
                    Asked::Commit(..) => true,
                });
            }
            Event::Advance(ms) => self.world.advance(ms),
            Event::CommitWrites(count) => self.world.commit_some(count),
            Event::RefuseWrites => self.world.fail_all(ErrorCode::CoordinatorNotAvailable),
            Event::Crash(kept) => self.world.crash_keeping(kept),
        }
        self.hear();
        self.check();
    }

    fn join(&mut self, who: usize) {
        let client = &self.clients[who];
        let mut request = join_request(GROUP, &client.member, &["t"]);
        request.group_instance_id = client.instance.map(Str::from);
        let token = self.world.join(request);
        self.asked.insert(token, Asked::Join(who));
    }

    fn sync(&mut self, who: usize) {
        let Some(joined) = self.clients[who].joined.clone() else {
            return;
        };
        let members: Vec<&str> = joined
            .members
            .iter()
            .map(|m| m.member_id.as_str())
            .collect();
        // Whoever assigns deals the partitions out in a way of its own.
        let shares: Vec<Vec<u8>> = (0..members.len())
            .map(|m| {
                (0..PARTITIONS as u8)
                    .filter(|p| (*p as usize + who) % members.len() == m)
                    .collect()
            })
            .collect();
        let assign: Vec<(&str, &[u8])> = members
            .iter()
            .zip(&shares)
            .map(|(id, share)| (*id, share.as_slice()))
            .collect();
        let assign = if joined.skip_assignment {
            &[]
        } else {
            &assign[..]
        };
        let token = self
            .world
            .sync(GROUP, &joined.member_id, joined.generation_id, assign);
        self.asked
            .insert(token, Asked::Sync(who, joined.generation_id));
    }

    fn commit(&mut self, who: usize) {
        let Some((generation, owned)) = self.clients[who].owned.clone() else {
            return;
        };
        let Some(partition) = owned.first().map(|p| i32::from(*p)) else {
            return;
        };
        self.next_offset += 1;
        let member = self.clients[who].member.clone();
        let token = self
            .world
            .commit(GROUP, &member, generation, "t", partition, self.next_offset);
        self.asked
            .insert(token, Asked::Commit(partition, self.next_offset));
    }

    fn hear(&mut self) {
        for (token, reply) in self.world.take_replies() {
            match (self.asked.remove(&token), reply) {
                (Some(Asked::Join(who)), Reply::Join(response)) => self.on_joined(who, response),
                (Some(Asked::Sync(who, generation)), Reply::Sync(response))
                    if response.error_code == 0 =>
                {
                    self.on_synced(who, generation, response.assignment.to_vec());
                }
                (Some(Asked::Commit(partition, offset)), Reply::OffsetCommit(response))
                    if response.topics[0].partitions[0].error_code == 0 =>
                {
                    let highest = self.acknowledged.entry(partition).or_insert(offset);
                    *highest = offset.max(*highest);
                }
                _ => {}
            }
        }
    }

    fn on_joined(&mut self, who: usize, response: JoinGroupResponse) {
        let client = &mut self.clients[who];
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {
                assert!(response.generation_id >= 1);
                client.member = response.member_id.clone();
                self.newest = self.newest.max(response.generation_id);
                client.joined = Some(response);
            }
            Some(ErrorCode::MemberIdRequired) => client.member = response.member_id,
            Some(ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => {
                *client = Client {
                    instance: client.instance,
                    ..Client::default()
                };
            }
            _ => client.joined = None,
        }
    }

    fn on_synced(&mut self, who: usize, generation: i32, partitions: Vec<u8>) {
        let client = &mut self.clients[who];
        // A static member is the same owner under each of its member ids.
        let owner = client
            .instance
            .map_or_else(|| client.member.to_string(), str::to_owned);
        let owners = self.assigned.entry(generation).or_default();
        for partition in &partitions {
            let first = owners.entry(*partition).or_insert_with(|| owner.clone());
            assert_eq!(
                *first, owner,
                "partition {partition} has two owners in generation {generation}"
            );
        }
        client.owned = Some((generation, partitions));
    }

    fn check(&self) {
        let durable = self.world.shard().durable();
        // What members have been told is never behind what the log knows, and generations are not reused.
        let written = durable.group(GROUP).map_or(0, |group| group.generation);
        assert!(
            written >= self.newest,
            "generation {} was told but {written} is written",
            self.newest
        );
        for (partition, acknowledged) in &self.acknowledged {
            let offset = durable
                .offset(GROUP, &"t".into(), *partition)
                .map(|o| o.offset);
            assert!(
                offset >= Some(*acknowledged),
                "partition {partition}: {offset:?} < {acknowledged}"
            );
        }
        if let Some(group) = durable.group(GROUP) {
            let ids: BTreeSet<&Str> = group.members.iter().map(|m| &m.member_id).collect();
            assert_eq!(
                ids.len(),
                group.members.len(),
                "a member stands in the record once"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn groups_keep_their_promises(events in prop::collection::vec(event(), 1..250)) {
        let mut life = Life::new();
        events.iter().for_each(|event| life.play(event));
    }
}

#[test]
fn the_property_test_reaches_stable_groups_and_commits() {
    let mut life = Life::new();
    for who in 0..4 {
        life.play(&Event::Join(who));
        life.play(&Event::Join(who));
    }
    life.play(&Event::Advance(8_000));
    life.play(&Event::CommitWrites(9));
    (0..4).for_each(|who| life.play(&Event::Sync(who)));
    life.play(&Event::CommitWrites(9));
    (0..4).for_each(|who| life.play(&Event::Commit(who)));
    life.play(&Event::CommitWrites(9));
    assert_eq!((life.newest, life.acknowledged.len()), (1, 4));
    life.play(&Event::Crash(0));
}
