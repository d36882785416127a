//! Scenarios of fetch sessions (KIP-227).

use bytes::Bytes;
use wire::messages::FetchRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use wire::{ErrorCode, Str, Uuid};

use super::session::{Session, Sessions};
use engine::ids::BrokerId;

const TOPIC: Uuid = Uuid([5; 16]);

fn request(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            ..FetchPartition::default()
        });
    let topic = FetchTopic {
        topic_id: TOPIC,
        partitions: partitions.collect(),
        ..FetchTopic::default()
    };
    FetchRequest {
        session_id,
        session_epoch,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

fn forgetting(mut request: FetchRequest, partition: i32) -> FetchRequest {
    request.forgotten_topics_data = vec![ForgottenTopic {
        topic_id: TOPIC,
        partitions: vec![partition],
        ..ForgottenTopic::default()
    }];
    request
}

fn wants(session: &Session) -> Vec<(i32, i64)> {
    session
        .items()
        .iter()
        .map(|item| (item.index, item.offset))
        .collect()
}

/// Answers without records.
fn answer(mut session: Session) -> i32 {
    let items = session.items().to_vec();
    session.leave(items.into_iter().map(|item| (item, false)).collect());
    session.id()
}

fn enter(sessions: &Sessions, request: &FetchRequest) -> Result<Session, ErrorCode> {
    sessions.enter(request, true, None, 0)
}

#[test]
fn only_changes_are_named_and_everything_is_fetched() {
    let sessions = Sessions::new(10, 100, 1);
    let first = enter(&sessions, &request(0, 0, &[(0, 10), (1, 20), (2, 30)])).unwrap();
    assert!(!first.is_incremental());
    let id = answer(first);
    assert_ne!(id, 0);

    let second = enter(
        &sessions,
        &forgetting(request(id, 1, &[(1, 25), (3, 0)]), 2),
    )
    .unwrap();
    assert!(second.is_incremental());
    assert_eq!(wants(&second), [(0, 10), (1, 25), (3, 0)]);
    answer(second);
    assert_eq!(
        wants(&enter(&sessions, &request(id, 2, &[])).unwrap()),
        [(0, 10), (1, 25), (3, 0)]
    );
}

#[test]
fn partitions_with_records_go_to_the_end() {
    let sessions = Sessions::new(10, 100, 1);
    let mut first = enter(&sessions, &request(0, 0, &[(0, 0), (1, 0)])).unwrap();
    let told = first
        .items()
        .iter()
        .map(|item| (item.clone(), item.index == 0))
        .collect();
    first.leave(told);
    let next = enter(&sessions, &request(first.id(), 1, &[])).unwrap();
    assert_eq!(wants(&next), [(1, 0), (0, 0)]);
}

#[test]
fn a_wrong_epoch_or_a_second_request_at_once_is_refused() {
    let sessions = Sessions::new(10, 100, 1);
    let id = answer(enter(&sessions, &request(0, 0, &[(0, 0)])).unwrap());
    let refused = |epoch| enter(&sessions, &request(id, epoch, &[])).err();
    assert_eq!(refused(2), Some(ErrorCode::InvalidFetchSessionEpoch));
    let open = enter(&sessions, &request(id, 1, &[])).unwrap();
    assert_eq!(refused(2), Some(ErrorCode::InvalidFetchSessionEpoch));
    drop(open);
    let unknown = enter(&sessions, &request(id + 1, 1, &[])).err();
    assert_eq!(unknown, Some(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn a_full_cache_gives_no_session_but_to_a_follower() {
    let sessions = Sessions::new(1, 100, 1);
    let consumer = answer(enter(&sessions, &request(0, 0, &[(0, 0)])).unwrap());
    assert_ne!(consumer, 0);
    assert_eq!(enter(&sessions, &request(0, 0, &[(0, 0)])).unwrap().id(), 0);
    let follower = sessions.enter(&request(0, 0, &[(0, 0)]), true, Some(BrokerId(2)), 0);
    assert_ne!(follower.unwrap().id(), 0);
    let gone = enter(&sessions, &request(consumer, 1, &[])).err();
    assert_eq!(gone, Some(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn the_last_request_ends_the_session() {
    let sessions = Sessions::new(10, 100, 1);
    let id = answer(enter(&sessions, &request(0, 0, &[(0, 0)])).unwrap());
    let last = enter(&sessions, &request(id, -1, &[(0, 5)])).unwrap();
    assert_eq!((last.id(), wants(&last)), (0, vec![(0, 5)]));
    let gone = enter(&sessions, &request(id, 1, &[])).err();
    assert_eq!(gone, Some(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn a_session_keeps_nothing_of_the_frame() {
    let frame = Bytes::from(vec![b't'; 1 << 20]);
    let mut by_name = request(0, 0, &[(0, 0)]);
    by_name.topics[0].topic = Str::from_utf8(frame.slice(..3)).unwrap();
    let sessions = Sessions::new(10, 100, 1);
    answer(sessions.enter(&by_name, false, None, 0).unwrap());
    drop(by_name);
    assert!(
        frame.is_unique(),
        "the session holds a megabyte for a name of 3 bytes"
    );
}

#[test]
fn sessions_have_so_many_partitions_and_no_more() {
    let sessions = Sessions::new(10, 4, 1);
    let id = answer(enter(&sessions, &request(0, 0, &[(0, 0), (1, 0), (2, 0)])).unwrap());
    assert_ne!(id, 0);
    let too_many = enter(&sessions, &request(0, 0, &[(0, 0), (1, 0)])).unwrap();
    assert_eq!((too_many.id(), too_many.items().len()), (0, 2));
    let grown = enter(&sessions, &request(id, 1, &[(3, 0), (4, 0)])).err();
    assert_eq!(grown, Some(ErrorCode::FetchSessionIdNotFound));
    assert_ne!(enter(&sessions, &request(0, 0, &[(0, 0)])).unwrap().id(), 0);
}
