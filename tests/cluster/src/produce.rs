//! One record to one broker, once: what that broker says of it now.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use wire::ErrorCode;
use wire::messages::ProduceRequest;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::record::BatchBuilder;
use wire::{Records, Str};

use crate::client::call_within;

/// Of acks=all: how long the broker may wait for the replicas.
const WAIT: Duration = Duration::from_secs(2);

/// Produces one small record with `acks`, and gives the broker's answer.
pub fn produce(
    broker: SocketAddr,
    topic: &str,
    partition: i32,
    acks: i16,
) -> Result<Option<ErrorCode>> {
    // -1 is no timestamp.
    let mut batch = BatchBuilder::new(-1);
    batch.append(None, Some(b"one"));
    let data = PartitionProduceData {
        index: partition,
        records: Some(Records::from(batch.build().bytes)),
    };
    let topic = TopicProduceData {
        name: Str::copy_from(topic),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        acks,
        timeout_ms: WAIT.as_millis() as i32,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    let response = call_within(broker, &request, 9, WAIT * 2)?;
    let answer = response
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first())
        .context("an answer without the partition")?;
    Ok(ErrorCode::from_code(answer.error_code))
}
