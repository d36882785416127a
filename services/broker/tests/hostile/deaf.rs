//! Consumers that ask for much and do not read it.

use std::time::Instant;

use wire::ErrorCode;
use wire::messages::FetchRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::record::BatchBuilder;

use crate::CLOSED_WITHIN;
use crate::batches::{TOPIC, ask, call, create_topic, produce};
use crate::process::Process;

/// By topic name.
const FETCH: i16 = 12;
/// Records of just below `max.message.bytes`, together more than the sockets of a connection hold.
const BATCHES: usize = 32;
const BATCH_BYTES: usize = 1_000_000;

#[test]
fn an_answer_that_nobody_reads_holds_its_room_until_its_connection_ends() {
    // Given room for one answer, and a consumer that does not read its own
    let broker = Process::with("queued.max.response.bytes=1\n");
    create_topic(&broker);
    for _ in 0..BATCHES {
        let mut batch = BatchBuilder::new(1_700_000_000_000);
        batch.append(None, Some(&vec![0; BATCH_BYTES]));
        let records = batch.build().bytes.into();
        assert_eq!(produce(&broker, Some(records)), ErrorCode::None);
    }
    let deaf = ask(&broker, &fetch(BATCHES * BATCH_BYTES), FETCH);

    // Then another one is answered without records
    until(|| fetched(&broker) == 0);

    // And with them when the first has gone
    drop(deaf);
    until(|| fetched(&broker) > 0);
}

fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + CLOSED_WITHIN;
    while !condition() {
        assert!(Instant::now() < end, "it does not happen");
    }
}

/// Bytes that another consumer gets.
fn fetched(broker: &Process) -> usize {
    let response = call(broker, &fetch(1), FETCH);
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
    partition
        .records
        .as_ref()
        .map_or(0, |records| records.len())
}

fn fetch(max_bytes: usize) -> FetchRequest {
    let max_bytes = max_bytes as i32;
    let partition = FetchPartition {
        partition_max_bytes: max_bytes,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: TOPIC.into(),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}
