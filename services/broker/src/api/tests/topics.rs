//! CreateTopics and DeleteTopics before they reach the metadata log.

use std::collections::{BTreeMap, BTreeSet};

use engine::ids::BrokerId;
use engine::metadata::Assignment;
use wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::{ErrorCode, Uuid};

use super::super::create_topics::new_topic;
use super::super::delete_topics::find;
use super::World;
use crate::config::Config;

fn defaults() -> crate::config::TopicDefaults {
    let given = BTreeMap::from([("num.partitions".to_owned(), "6".to_owned())]);
    Config::from_map(given)
        .expect("a valid configuration")
        .0
        .topics
}

fn topic(num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: "t".into(),
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn refused(topic: &CreatableTopic) -> ErrorCode {
    new_topic(topic, &defaults(), Uuid::from(1))
        .expect_err("it is not valid")
        .error
}

#[test]
fn counts_of_minus_one_are_the_defaults() {
    let new = new_topic(&topic(-1, -1), &defaults(), Uuid::from(1)).expect("it is valid");
    let expected = Assignment::Spread {
        partitions: 6,
        replication_factor: 1,
    };
    assert_eq!(new.assignment, expected);
}

#[test]
fn impossible_counts_are_refused_by_name() {
    assert_eq!(refused(&topic(0, 1)), ErrorCode::InvalidPartitions);
    assert_eq!(refused(&topic(-2, 1)), ErrorCode::InvalidPartitions);
    assert_eq!(refused(&topic(1, 0)), ErrorCode::InvalidReplicationFactor);
    assert_eq!(refused(&topic(1, -3)), ErrorCode::InvalidReplicationFactor);
    let metadata = CreatableTopic {
        name: "__cluster_metadata".into(),
        ..topic(1, 1)
    };
    assert_eq!(refused(&metadata), ErrorCode::InvalidRequest);
}

#[test]
fn a_manual_assignment_excludes_counts_and_gaps() {
    let with = |indexes: &[i32], partitions, factor| CreatableTopic {
        assignments: indexes
            .iter()
            .map(|index| CreatableReplicaAssignment {
                partition_index: *index,
                broker_ids: vec![1, 2],
            })
            .collect(),
        ..topic(partitions, factor)
    };
    assert_eq!(refused(&with(&[0], 1, -1)), ErrorCode::InvalidRequest);
    assert_eq!(refused(&with(&[0], -1, 2)), ErrorCode::InvalidRequest);
    assert_eq!(
        refused(&with(&[0, 2], -1, -1)),
        ErrorCode::InvalidReplicaAssignment
    );
    assert_eq!(
        refused(&with(&[0, 0], -1, -1)),
        ErrorCode::InvalidReplicaAssignment
    );
    let new = new_topic(&with(&[1, 0], -1, -1), &defaults(), Uuid::from(1)).expect("it is valid");
    assert_eq!(
        new.assignment,
        Assignment::Given(vec![vec![BrokerId(1), BrokerId(2)]; 2])
    );
}

#[test]
fn configs_are_checked_with_key_and_value() {
    let with = |name: &'static str, value: Option<&'static str>| CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: name.into(),
            value: value.map(Into::into),
        }],
        ..topic(1, 1)
    };
    for bad in [
        with("retention.ms", Some("soon")),
        with("no.such", Some("1")),
        with("retention.ms", None),
    ] {
        assert_eq!(refused(&bad), ErrorCode::InvalidConfig);
    }
    let refusal = new_topic(
        &with("retention.ms", Some("soon")),
        &defaults(),
        Uuid::from(1),
    )
    .expect_err("not a number");
    assert_eq!(
        refusal.message,
        "Invalid value soon for configuration retention.ms: it takes a whole number, -1 or more"
    );
}

#[test]
fn topics_to_delete_are_found_once_by_name_or_id() {
    let mut world = World::with_brokers(1);
    let id = world.create("a", 1, 1);
    let by_name = |name: &'static str| DeleteTopicState {
        name: Some(name.into()),
        topic_id: Uuid::ZERO,
    };
    let by_id = |topic_id| DeleteTopicState {
        name: None,
        topic_id,
    };
    let asked = [
        by_name("a"),
        by_id(id),
        by_name("a"),
        by_name("b"),
        by_id(Uuid::from(9)),
        DeleteTopicState {
            name: Some("a".into()),
            topic_id: id,
        },
        DeleteTopicState::default(),
    ];
    let mut seen = BTreeSet::new();
    let found: Vec<_> = asked
        .iter()
        .map(|topic| find(&world.image, topic, &mut seen).map_err(|r| r.error))
        .collect();
    assert_eq!(
        found,
        [
            Ok(id),
            Err(ErrorCode::InvalidRequest),
            Err(ErrorCode::InvalidRequest),
            Err(ErrorCode::UnknownTopicOrPartition),
            Err(ErrorCode::UnknownTopicId),
            Err(ErrorCode::InvalidRequest),
            Err(ErrorCode::InvalidRequest),
        ]
    );
}
