//! Metadata, DescribeTopicPartitions, DescribeCluster.

use engine::metadata::Command;
use wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    DescribeClusterRequest, DescribeTopicPartitionsRequest, MetadataRequest, MetadataResponse,
};
use wire::{ErrorCode, Uuid};

use super::super::metadata::Asked;
use super::super::{describe_cluster, describe_topic_partitions};
use super::{World, context};

fn topic(name: Option<&'static str>, topic_id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic {
        topic_id,
        name: name.map(Into::into),
    }
}

fn ask(
    world: &World,
    topics: Option<Vec<MetadataRequestTopic>>,
    version: i16,
    listener: &str,
) -> MetadataResponse {
    let request = MetadataRequest {
        topics,
        ..MetadataRequest::default()
    };
    Asked::new(request, version).answer(&world.image, 7, &context(version, listener))
}

#[test]
fn an_empty_list_is_every_topic_in_version_0_and_none_later() {
    let mut world = World::with_brokers(1);
    world.create("a", 1, 1);
    assert_eq!(
        ask(&world, Some(Vec::new()), 0, "PLAINTEXT").topics.len(),
        1
    );
    assert_eq!(
        ask(&world, Some(Vec::new()), 1, "PLAINTEXT").topics.len(),
        0
    );
    assert_eq!(ask(&world, None, 1, "PLAINTEXT").topics.len(), 1);
}

#[test]
fn topics_are_found_by_name_and_by_id() {
    let mut world = World::with_brokers(1);
    let id = world.create("a", 2, 1);
    let asked = vec![
        topic(Some("a"), Uuid::ZERO),
        topic(None, id),
        topic(Some("b"), Uuid::ZERO),
        topic(Some("b c"), Uuid::ZERO),
        topic(None, Uuid::from(5)),
        topic(None, Uuid::ZERO),
    ];
    let answer = ask(&world, Some(asked), 12, "PLAINTEXT");
    let errors: Vec<_> = answer
        .topics
        .iter()
        .map(|t| ErrorCode::from_code(t.error_code).unwrap())
        .collect();
    assert_eq!(
        errors,
        [
            ErrorCode::None,
            ErrorCode::None,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::InvalidTopicException,
            ErrorCode::UnknownTopicId,
            ErrorCode::InvalidRequest,
        ]
    );
    assert_eq!(answer.topics[1].name.as_deref(), Some("a"));
    assert_eq!(answer.topics[1].partitions.len(), 2);
}

#[test]
fn whoever_asks_twice_is_told_once() {
    let world = World::with_brokers(1);
    let asked = vec![topic(Some("a"), Uuid::ZERO); 1000];
    assert_eq!(ask(&world, Some(asked), 12, "PLAINTEXT").topics.len(), 1);
}

#[test]
fn a_leader_that_the_listener_does_not_reach_is_no_leader() {
    let mut world = World::with_brokers(3);
    world.create("a", 3, 3);
    let partitions = |version, listener| {
        ask(&world, None, version, listener)
            .topics
            .remove(0)
            .partitions
    };
    assert!(
        partitions(9, "PLAINTEXT")
            .iter()
            .all(|p| p.error_code == 0 && p.leader_id > 0)
    );
    let unreachable: Vec<_> = partitions(9, "INTERNAL")
        .into_iter()
        .filter(|p| p.leader_id != 1)
        .collect();
    assert_eq!(unreachable.len(), 2);
    for partition in unreachable {
        assert_eq!(partition.error_code, ErrorCode::ListenerNotFound.code());
        assert_eq!(
            (partition.leader_id, partition.offline_replicas.len()),
            (-1, 2)
        );
    }
    assert!(
        partitions(5, "INTERNAL")
            .iter()
            .any(|p| p.error_code == ErrorCode::LeaderNotAvailable.code())
    );
}

#[test]
fn a_fenced_broker_is_not_shown_and_its_replicas_are_offline() {
    let mut world = World::with_brokers(2);
    world.create("a", 2, 1);
    world.fence(2);
    let answer = ask(&world, None, 9, "PLAINTEXT");
    assert_eq!(
        answer.brokers.iter().map(|b| b.node_id).collect::<Vec<_>>(),
        [1]
    );
    let lost: Vec<_> = answer.topics[0]
        .partitions
        .iter()
        .filter(|p| p.error_code != 0)
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].error_code, ErrorCode::LeaderNotAvailable.code());
    assert_eq!(lost[0].offline_replicas, [2]);
}

#[test]
fn only_what_could_be_a_topic_is_created_on_demand() {
    let mut world = World::with_brokers(1);
    world.create("a", 1, 1);
    let names = [
        "a",
        "b",
        "b",
        "__consumer_offsets",
        "__cluster_metadata",
        "c d",
        "",
    ];
    let asked: Vec<_> = names.map(|name| topic(Some(name), Uuid::ZERO)).into();
    let request = |allow| MetadataRequest {
        topics: Some(asked.clone()),
        allow_auto_topic_creation: allow,
        ..MetadataRequest::default()
    };
    assert_eq!(Asked::new(request(true), 9).creatable(&world.image), ["b"]);
    assert_eq!(
        Asked::new(request(false), 9).creatable(&world.image),
        [""; 0]
    );
    // Version 3 has no such field: it always may.
    assert_eq!(Asked::new(request(false), 3).creatable(&world.image), ["b"]);
}

#[test]
fn partitions_come_in_pages() {
    let mut world = World::with_brokers(1);
    world.create("a", 3, 1);
    world.create("b", 3, 1);
    let mut request = DescribeTopicPartitionsRequest {
        response_partition_limit: 4,
        ..DescribeTopicPartitionsRequest::default()
    };
    let first = describe_topic_partitions::answer(&world.image, &request, "PLAINTEXT");
    let sizes: Vec<_> = first.topics.iter().map(|t| t.partitions.len()).collect();
    assert_eq!(sizes, [3, 1]);
    let cursor = first.next_cursor.expect("there is more");
    assert_eq!(
        (cursor.topic_name.as_str(), cursor.partition_index),
        ("b", 1)
    );
    request.cursor = Some(Cursor {
        topic_name: cursor.topic_name,
        partition_index: cursor.partition_index,
    });
    let second = describe_topic_partitions::answer(&world.image, &request, "PLAINTEXT");
    let indexes: Vec<_> = second.topics[0]
        .partitions
        .iter()
        .map(|p| p.partition_index)
        .collect();
    assert_eq!((indexes, second.next_cursor), (vec![1, 2], None));
}

#[test]
fn a_full_page_points_at_the_next_topic() {
    let mut world = World::with_brokers(1);
    world.create("a", 2, 1);
    world.create("b", 1, 1);
    let topics = ["b", "nope", "a"].map(|name| TopicRequest { name: name.into() });
    let request = DescribeTopicPartitionsRequest {
        topics: topics.into(),
        response_partition_limit: 2,
        cursor: None,
    };
    let answer = describe_topic_partitions::answer(&world.image, &request, "PLAINTEXT");
    assert_eq!(answer.topics.len(), 1);
    let cursor = answer.next_cursor.expect("there is more");
    assert_eq!(
        (cursor.topic_name.as_str(), cursor.partition_index),
        ("b", 0)
    );
}

#[test]
fn who_may_lead_besides_the_isr_is_described() {
    let mut world = World::with_brokers(2);
    world.run(Command::SetMinInsyncDefault { replicas: 2 });
    world.create("a", 1, 2);
    // Nothing is known of its memory, so it has lost it.
    world.start(1);
    world.fence(2);
    let request = DescribeTopicPartitionsRequest {
        response_partition_limit: 1,
        ..DescribeTopicPartitionsRequest::default()
    };
    let answer = describe_topic_partitions::answer(&world.image, &request, "PLAINTEXT");
    let partition = &answer.topics[0].partitions[0];
    assert_eq!((partition.leader_id, &partition.isr_nodes), (-1, &vec![]));
    assert_eq!(partition.eligible_leader_replicas, Some(vec![2]));
    assert_eq!(partition.last_known_elr, Some(vec![1]));
}

#[test]
fn fenced_brokers_are_described_on_request() {
    let mut world = World::with_brokers(2);
    world.fence(2);
    let ask = |include_fenced_brokers| {
        let request = DescribeClusterRequest {
            include_fenced_brokers,
            ..DescribeClusterRequest::default()
        };
        describe_cluster::answer(&world.image, 1, &request, "PLAINTEXT").brokers
    };
    assert_eq!(ask(false).len(), 1);
    assert_eq!(
        ask(true).iter().map(|b| b.is_fenced).collect::<Vec<_>>(),
        [false, true]
    );
}
