//! Scenarios of the classic group protocol, told as a client sees them.

use engine::group::{Config, Reply};
use wire::ErrorCode;

use crate::world::{World, join_request};

fn code(error: ErrorCode) -> i16 {
    error.code()
}

/// A member that has joined a group by the two requests of modern clients; its token still waits.
fn enter(world: &mut World, group: &str, topics: &[&str]) -> (String, u64) {
    let first = world.join(join_request(group, "", topics));
    let Some(Reply::Join(refused)) = world.reply(first) else {
        panic!("a member id is asked for at once")
    };
    assert_eq!(refused.error_code, code(ErrorCode::MemberIdRequired));
    let id = refused.member_id.to_string();
    let token = world.join(join_request(group, &id, topics));
    (id, token)
}

fn joined(world: &mut World, token: u64) -> wire::messages::JoinGroupResponse {
    match world.reply(token) {
        Some(Reply::Join(response)) => response,
        other => panic!("not joined: {other:?}"),
    }
}

/// Brings a group with one member to Stable; answers the member's id.
fn stable(world: &mut World, group: &str) -> String {
    let (id, token) = enter(world, group, &["t"]);
    world.advance(3_000);
    let response = joined(world, token);
    assert_eq!(
        (response.error_code, response.leader.as_str()),
        (0, id.as_str())
    );
    let sync = world.sync(group, &id, response.generation_id, &[(&id, b"mine")]);
    assert!(matches!(world.reply(sync), Some(Reply::Sync(ok)) if ok.assignment == b"mine"[..]));
    id
}

#[test]
fn two_members_join_sync_and_learn_of_a_third() {
    let mut world = World::new(Config::default());
    let (a, join_a) = enter(&mut world, "g", &["t"]);
    let (b, join_b) = enter(&mut world, "g", &["t"]);
    assert!(
        world.reply(join_a).is_none(),
        "the initial delay has not passed"
    );
    world.advance(6_000);
    let (first, second) = (joined(&mut world, join_a), joined(&mut world, join_b));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(
        (
            first.leader.as_str(),
            first.members.len(),
            second.members.len()
        ),
        (a.as_str(), 2, 0)
    );
    assert_eq!(first.protocol_name.as_deref(), Some("range"));

    let follower = world.sync("g", &b, 1, &[]);
    assert!(world.reply(follower).is_none(), "the leader has not synced");
    let leader = world.sync("g", &a, 1, &[(&a, b"A"), (&b, b"B")]);
    assert!(matches!(world.reply(leader), Some(Reply::Sync(ok)) if ok.assignment == b"A"[..]));
    assert!(matches!(world.reply(follower), Some(Reply::Sync(ok)) if ok.assignment == b"B"[..]));
    assert_eq!(world.heartbeat("g", &a, 1), ErrorCode::None);

    let (_, join_c) = enter(&mut world, "g", &["t"]);
    assert_eq!(world.heartbeat("g", &a, 1), ErrorCode::RebalanceInProgress);
    let again = world.join(join_request("g", &a, &["t"]));
    let and_again = world.join(join_request("g", &b, &["t"]));
    for token in [again, and_again, join_c] {
        assert_eq!(joined(&mut world, token).generation_id, 2);
    }
}

#[test]
fn answers_wait_until_the_records_are_committed() {
    let mut world = World::new(Config::default());
    let (id, token) = enter(&mut world, "g", &["t"]);
    world.hold_commits();
    world.advance(3_000);
    assert!(
        world.reply(token).is_none(),
        "the generation is not committed"
    );
    world.commit_all();
    assert_eq!(joined(&mut world, token).generation_id, 1);
    let sync = world.sync("g", &id, 1, &[(&id, b"A")]);
    assert!(world.reply(sync).is_none());
    world.fail_all(ErrorCode::CoordinatorNotAvailable);
    assert!(matches!(world.reply(sync), Some(Reply::Sync(no)) if no.error_code == 15));
    assert_eq!(world.heartbeat("g", &id, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_leader_that_shares_out_anew_is_not_given_what_it_shared_out_before() {
    // Given assignments that take long to be written, and a leader that has given up waiting for them
    let mut world = World::new(Config::default());
    let (id, token) = enter(&mut world, "g", &["t"]);
    world.advance(3_000);
    assert_eq!(joined(&mut world, token).generation_id, 1);
    world.hold_commits();
    let earlier = world.sync("g", &id, 1, &[(&id, b"seven partitions")]);
    // When it joins again, and shares out what has come meanwhile
    let again = world.join(join_request("g", &id, &["t"]));
    world.commit_all();
    let generation = joined(&mut world, again).generation_id;
    assert_eq!(generation, 2, "what is being written is of the one before");
    let later = world.sync("g", &id, generation, &[(&id, b"eight partitions")]);
    world.commit_all();
    // Then only the later assignments count
    let refused = code(ErrorCode::RebalanceInProgress);
    assert!(matches!(world.reply(earlier), Some(Reply::Sync(no)) if no.error_code == refused));
    assert!(
        matches!(world.reply(later), Some(Reply::Sync(ok)) if ok.assignment == b"eight partitions"[..])
    );
}

#[test]
fn a_leader_that_waits_for_the_next_generation_is_not_silent() {
    // Given a leader that joins again while its assignments are written, and another that is dead
    let mut world = World::new(Config::default());
    let (a, join_a) = enter(&mut world, "g", &["t"]);
    let (b, join_b) = enter(&mut world, "g", &["t"]);
    world.advance(6_000);
    let leader = joined(&mut world, join_a).leader.to_string();
    assert_eq!((joined(&mut world, join_b).generation_id, &leader), (1, &a));
    world.hold_commits();
    world.sync("g", &b, 1, &[]);
    world.sync("g", &a, 1, &[(&a, b"A"), (&b, b"B")]);
    let again = world.join(join_request("g", &a, &["t"]));
    // When the session of both is over
    world.advance(11_000);
    world.commit_all();
    // Then only the dead one is put out
    let next = joined(&mut world, again);
    assert_eq!((next.error_code, next.generation_id), (0, 2));
    assert_eq!(next.members.len(), 1);
}

#[test]
fn a_silent_member_is_dropped_and_its_group_becomes_empty() {
    let mut world = World::new(Config::default());
    let id = stable(&mut world, "g");
    world.advance(9_000);
    assert_eq!(world.heartbeat("g", &id, 1), ErrorCode::None);
    world.advance(10_001);
    assert_eq!(world.heartbeat("g", &id, 1), ErrorCode::UnknownMemberId);
    assert_eq!(world.shard().describe("g", 5).group_state, "Empty");
}

#[test]
fn a_group_survives_its_coordinator() {
    let mut world = World::new(Config::default());
    let id = stable(&mut world, "g");
    let commit = world.commit("g", &id, 1, "t", 0, 42);
    assert!(world.committed_ok(commit));
    world.crash();
    assert_eq!(world.heartbeat("g", &id, 1), ErrorCode::None);
    assert_eq!(
        world
            .shard()
            .durable()
            .offset("g", &"t".into(), 0)
            .map(|o| o.offset),
        Some(42)
    );
    let group = world.shard().describe("g", 5);
    assert_eq!(
        (
            group.group_state.as_str(),
            group.members[0].member_assignment.as_ref()
        ),
        ("Stable", &b"mine"[..])
    );
}

#[test]
fn commits_are_fenced_by_generation_and_membership() {
    let mut world = World::new(Config::default());
    let id = stable(&mut world, "g");
    for (member, generation, expected) in [
        (id.as_str(), 0, ErrorCode::IllegalGeneration),
        ("stranger", 1, ErrorCode::UnknownMemberId),
        ("", -1, ErrorCode::UnknownMemberId),
        (id.as_str(), 1, ErrorCode::None),
    ] {
        let token = world.commit("g", member, generation, "t", 0, 1);
        assert_eq!(world.commit_error(token), expected, "{member} {generation}");
    }
    for (version, expected) in [
        (8, ErrorCode::IllegalGeneration),
        (9, ErrorCode::GroupIdNotFound),
    ] {
        world.commit_version = version;
        let nobody = world.commit("other", "x", 3, "t", 0, 1);
        assert_eq!(world.commit_error(nobody), expected, "version {version}");
    }
    let simple = world.commit("simple", "", -1, "t", 0, 5);
    assert_eq!(world.commit_error(simple), ErrorCode::None);
}

/// A JoinGroup of the static member "one".
fn static_join(member_id: &str) -> wire::messages::JoinGroupRequest {
    wire::messages::JoinGroupRequest {
        group_instance_id: Some("one".into()),
        ..join_request("g", member_id, &["t"])
    }
}

#[test]
fn a_static_member_returns_without_a_rebalance_and_fences_its_former_self() {
    let mut world = World::new(Config::default());
    let token = world.join(static_join(""));
    world.advance(3_000);
    let first = joined(&mut world, token);
    let old = first.member_id.to_string();
    world.sync("g", &old, 1, &[(&old, b"mine")]);

    let token = world.join(static_join(""));
    let back = joined(&mut world, token);
    assert_eq!(
        (back.error_code, back.generation_id, back.skip_assignment),
        (0, 1, true)
    );
    let new = back.member_id.to_string();
    assert_ne!(new, old);
    let sync = world.sync("g", &new, 1, &[]);
    assert!(matches!(world.reply(sync), Some(Reply::Sync(ok)) if ok.assignment == b"mine"[..]));
    let fenced = world.join(static_join(&old));
    assert_eq!(
        joined(&mut world, fenced).error_code,
        code(ErrorCode::FencedInstanceId)
    );
    world.crash();
    assert_eq!(world.heartbeat("g", &new, 1), ErrorCode::None);
}

#[test]
fn a_static_members_new_id_that_cannot_be_written_leaves_the_former_one_in_its_place() {
    let mut world = World::new(Config::default());
    let token = world.join(static_join(""));
    world.advance(3_000);
    let old = joined(&mut world, token).member_id.to_string();
    world.sync("g", &old, 1, &[(&old, b"mine")]);

    world.hold_commits();
    let token = world.join(static_join(""));
    world.fail_all(ErrorCode::CoordinatorNotAvailable);
    let failed = joined(&mut world, token);
    assert_eq!(
        (failed.error_code, &*failed.member_id),
        (code(ErrorCode::CoordinatorNotAvailable), "")
    );
    assert_eq!(world.heartbeat("g", &old, 1), ErrorCode::None);
    let sync = world.sync("g", &old, 1, &[]);
    assert!(matches!(world.reply(sync), Some(Reply::Sync(ok)) if ok.assignment == b"mine"[..]));

    let token = world.join(static_join(""));
    world.commit_all();
    let new = joined(&mut world, token);
    assert_eq!((new.error_code, new.generation_id), (0, 1));
    let fenced = world.join(static_join(&old));
    assert_eq!(
        joined(&mut world, fenced).error_code,
        code(ErrorCode::FencedInstanceId)
    );
}

#[test]
fn a_commit_under_no_member_id_is_fenced_while_the_instance_has_a_member() {
    let mut world = World::new(Config::default());
    let token = world.join(static_join(""));
    world.advance(3_000);
    let id = joined(&mut world, token).member_id.to_string();
    world.sync("g", &id, 1, &[(&id, b"mine")]);
    let commit = world.commit_as_instance("one", "", 5);
    assert_eq!(world.commit_error(commit), ErrorCode::FencedInstanceId);
    let commit = world.commit_as_instance("one", &id, 5);
    assert_eq!(world.commit_error(commit), ErrorCode::None);
    // Its session over, the instance id is nobody's.
    world.advance(30_000);
    let commit = world.commit_as_instance("one", "", 6);
    assert_eq!(world.commit_error(commit), ErrorCode::UnknownMemberId);
}

#[test]
fn offsets_expire_once_nobody_uses_them() {
    let config = Config {
        offsets_retention_ms: 100_000,
        ..Config::default()
    };
    let mut world = World::new(config);
    let id = stable(&mut world, "g");
    world.commit("g", &id, 1, "t", 0, 1);
    world.commit("g", &id, 1, "unsubscribed", 0, 1);
    world.commit("simple", "", -1, "t", 0, 1);
    for _ in 0..12 {
        world.advance(9_000);
        assert_eq!(world.heartbeat("g", &id, 1), ErrorCode::None);
    }
    world.expire();
    let left = |world: &World, group: &str| world.shard().durable().offsets_of(group).count();
    assert_eq!((left(&world, "g"), left(&world, "simple")), (1, 0));
    assert_eq!(world.shard().describe("simple", 5).group_state, "Dead");
    world.advance(20_000);
    world.expire();
    assert_eq!(left(&world, "g"), 1, "it became empty only now");
    world.advance(100_000);
    world.expire();
    assert_eq!(world.shard().describe("g", 5).group_state, "Dead");
    assert_eq!(world.shard().durable().counts(), (0, 0));
}

#[test]
fn only_an_empty_group_is_deleted() {
    let mut world = World::new(Config::default());
    let id = stable(&mut world, "g");
    world.commit("g", &id, 1, "t", 0, 1);
    assert_eq!(world.delete("g"), ErrorCode::NonEmptyGroup);
    assert_eq!(world.leave("g", &id), ErrorCode::None);
    assert_eq!(
        world
            .shard()
            .list(&["empty".into()], &["classic".into()])
            .len(),
        1
    );
    assert_eq!(world.shard().list(&[], &["consumer".into()]).len(), 0);
    assert_eq!(world.delete("g"), ErrorCode::None);
    assert_eq!(world.delete("g"), ErrorCode::GroupIdNotFound);
    assert_eq!(world.shard().durable().counts(), (0, 0));
}

#[test]
fn a_group_of_one_protocol_refuses_members_of_another_and_is_not_larger_than_allowed() {
    let mut world = World::new(Config {
        max_size: 1,
        ..Config::default()
    });
    let id = stable(&mut world, "g");
    let other = world.join(join_request("g", "", &["t"]));
    assert_eq!(
        joined(&mut world, other).error_code,
        code(ErrorCode::GroupMaxSizeReached)
    );
    let mut request = join_request("g", &id, &["t"]);
    request.protocol_type = "connect".into();
    let other = world.join(request);
    assert_eq!(
        joined(&mut world, other).error_code,
        code(ErrorCode::InconsistentGroupProtocol)
    );
}

#[test]
fn an_offset_that_is_being_renewed_does_not_expire() {
    // Given an offset past its retention, and a commit of it that is in the log but not committed
    let mut world = World::new(Config::default());
    let old = world.commit("g", "", -1, "t", 0, 1);
    assert!(world.committed_ok(old));
    world.advance(8 * 24 * 3_600_000);
    world.hold_commits();
    let renewed = world.commit("g", "", -1, "t", 0, 2);

    // When the coordinator looks for expired offsets just then
    world.expire();
    world.commit_all();

    // Then the commit that was acknowledged is there
    assert!(world.committed_ok(renewed));
    let offset = world.shard().durable().offset("g", &"t".into(), 0);
    assert_eq!(offset.map(|o| o.offset), Some(2));
}

#[test]
fn members_take_no_more_memory_than_they_may() {
    // Given room for three members with a KiB of metadata each
    let mut world = World::new(Config {
        max_held_bytes: 6 << 10,
        ..Config::default()
    });
    let large = "x".repeat(1 << 10);
    let join = |world: &mut World, group: &str, member: &str| {
        let token = world.join(join_request(group, member, &[&large]));
        let Some(Reply::Join(answer)) = world.reply(token) else {
            return (ErrorCode::None, String::new());
        };
        let error = ErrorCode::from_code(answer.error_code).expect("a known code");
        (error, answer.member_id.to_string())
    };

    // When clients join group after group
    let mut members = Vec::new();
    let refused = (0..100).find_map(|i| {
        let group = format!("g{i}");
        let (error, id) = join(&mut world, &group, "");
        if error == ErrorCode::MemberIdRequired {
            let (error, _) = join(&mut world, &group, &id);
            members.push((group, id));
            return (error != ErrorCode::None).then_some(error);
        }
        Some(error)
    });

    // Then the first that do not fit are told to come again, and who is in stays in
    assert_eq!(refused, Some(ErrorCode::CoordinatorNotAvailable));
    assert!((2..10).contains(&members.len()), "{}", members.len());
    let (group, id) = members[0].clone();
    assert_eq!(join(&mut world, &group, &id).0, ErrorCode::None);

    // And when they are gone there is room again
    members.iter().for_each(|(group, id)| {
        world.leave(group, id);
    });
    world.advance(300_000);
    assert_eq!(join(&mut world, "other", "").0, ErrorCode::MemberIdRequired);
}
