//! Requests that name one thing again and again, or far too many: small to send, and dear to answer if taken literally.

use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::AlterConfigsResource;
use wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use wire::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, IncrementalAlterConfigsRequest, OffsetFetchRequest,
};
use wire::{ErrorCode, Str};

use crate::batches::call;
use crate::process::Process;
use crate::{GROWTH_MAX, api_versions};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

#[test]
fn what_is_asked_again_and_again_is_told_once_with_flat_memory() {
    // Given a broker that coordinates groups
    let broker = Process::start();
    let offered = api_versions(&broker);
    let find = FindCoordinatorRequest {
        coordinator_keys: vec!["g".into()],
        ..FindCoordinatorRequest::default()
    };
    while call(&broker, &find, 4).coordinators[0].error_code != 0 {}
    let before = broker.peak_memory_bytes();

    // When requests of a few KiB ask for the same again and again, under other names where there are some
    let resources = (0..10_000).map(|i| DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: format!("{}1", "0".repeat(i % 200)).into(),
        configuration_keys: None,
    });
    let configs = DescribeConfigsRequest {
        resources: resources.collect(),
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    };
    let groups = DescribeGroupsRequest {
        groups: vec!["g".into(); 50_000],
        ..DescribeGroupsRequest::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "a-group".into(),
        ..OffsetFetchRequestGroup::default()
    };
    let offsets = OffsetFetchRequest {
        groups: vec![group; 50_000],
        ..OffsetFetchRequest::default()
    };

    // Then each thing is told once
    assert_eq!(call(&broker, &configs, 4).results.len(), 1);
    assert_eq!(call(&broker, &groups, 5).groups.len(), 1);
    assert_eq!(call(&broker, &offsets, 8).groups.len(), 1);
    assert_eq!(api_versions(&broker), offered);
    let grown = broker.peak_memory_bytes() - before;
    assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
}

#[test]
fn names_without_number_are_answered_in_time() {
    let broker = Process::start();
    let name = |i: usize| Str::from(format!("{i}"));

    // Each answer comes within the time that `call` waits, although none of the topics is there
    let state = |i: usize| DeleteTopicState {
        name: Some(name(i)),
        ..DeleteTopicState::default()
    };
    let delete = DeleteTopicsRequest {
        topics: (0..100_000).map(state).collect(),
        timeout_ms: 1_000,
        ..DeleteTopicsRequest::default()
    };
    let responses = call(&broker, &delete, 6).responses;
    assert_eq!(responses.len(), 100_000);

    let resource = |i: usize| AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: name(i),
        configs: Vec::new(),
    };
    let mut resources: Vec<_> = (0..100_000).map(resource).collect();
    resources.push(resource(7));
    let alter = IncrementalAlterConfigsRequest {
        resources,
        ..IncrementalAlterConfigsRequest::default()
    };
    let responses = call(&broker, &alter, 1).responses;
    let code = |i: usize| ErrorCode::from_code(responses[i].error_code);
    assert_eq!(code(0), Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(code(7), Some(ErrorCode::InvalidRequest));
    assert_eq!(code(100_000), Some(ErrorCode::InvalidRequest));
}

#[test]
fn a_change_that_the_metadata_log_cannot_carry_is_refused_before_it_is_there() {
    let broker = Process::start();
    let create = |topics: usize| {
        let topic = |i: usize| CreatableTopic {
            name: format!("{}{i:06}", "x".repeat(200)).into(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: (0..topics).map(topic).collect(),
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        let answer = call(&broker, &request, 5).topics.swap_remove(0);
        let why = answer.error_message.unwrap_or_default();
        (ErrorCode::from_code(answer.error_code), why)
    };
    let (error, why) = create(30_000);
    assert_eq!(error, Some(ErrorCode::PolicyViolation));
    assert!(why.contains("metadata record"), "{why}");
    assert_eq!(create(3).0, Some(ErrorCode::None));
}
