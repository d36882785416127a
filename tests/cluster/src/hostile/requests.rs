//! The requests that both kinds of clients send.

use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use wire::record::BatchBuilder;
use wire::{Records, Str};

/// The versions used here: topics by name, answers of the flexible kind.
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 12;
pub const METADATA: i16 = 9;
pub const API_VERSIONS: i16 = 3;

/// One record of so many bytes.
pub fn produce(topic: &str, value: &[u8], acks: i16) -> ProduceRequest {
    // -1 is no timestamp.
    let mut batch = BatchBuilder::new(-1);
    batch.append(None, Some(value));
    let data = PartitionProduceData {
        index: 0,
        records: Some(Records::from(batch.build().bytes)),
    };
    let topic = TopicProduceData {
        name: Str::copy_from(topic),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    }
}

pub fn fetch(topic: &str, offset: i64, max_bytes: i32, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: max_bytes,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: Str::copy_from(topic),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

/// Asks for so many topics that are not there: the answer is longer than the question.
pub fn metadata(names: usize) -> MetadataRequest {
    let names = (0..names).map(|number| MetadataRequestTopic {
        name: Some(format!("unknown-{number}").into()),
        ..MetadataRequestTopic::default()
    });
    MetadataRequest {
        topics: Some(names.collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}
