//! Consumers that ask for much and do not read it.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{FetchRequest, MetadataRequest};
use wire::record::BatchBuilder;
use wire::{ApiKey, ErrorCode, Message, Writer};

use crate::batches::{TOPIC, ask, call, create_topic, produce};
use crate::process::Process;
use crate::{GROWTH_MAX, api_versions, frame, read_all};

/// By topic name.
const FETCH: i16 = 12;
const METADATA: i16 = 9;
/// Records of just below `max.message.bytes`, together more than the sockets of a connection hold.
const BATCHES: usize = 32;
const BATCH_BYTES: usize = 1_000_000;

#[test]
fn who_does_not_read_its_answer_goes_when_another_needs_the_room() {
    // Given room for one answer, and a consumer that does not read its own
    let room = BATCHES * BATCH_BYTES;
    let broker = Process::with(&format!("queued.max.response.bytes={room}\n"));
    create_topic(&broker);
    for _ in 0..BATCHES {
        let mut batch = BatchBuilder::new(1_700_000_000_000);
        batch.append(None, Some(&vec![0; BATCH_BYTES]));
        let records = batch.build().bytes.into();
        assert_eq!(produce(&broker, Some(records)), ErrorCode::None);
    }
    let mut deaf = ask(&broker, &fetch(BATCHES * BATCH_BYTES), FETCH);
    deaf.peek(&mut [0]).expect("it is being answered");

    // Then another has a few records at once, and many when the first has been closed
    assert!(fetched(&broker, 1) > 0);
    until(|| fetched(&broker, BATCHES * BATCH_BYTES) > BATCH_BYTES);
    let got = read_all(&mut deaf, LONG).expect("it is closed");
    assert!(got.len() < BATCHES * BATCH_BYTES, "{} bytes", got.len());
    assert!(
        broker.log().contains("too slow to keep"),
        "{}",
        broker.log()
    );
}

#[test]
fn answers_of_any_kind_that_nobody_reads_stay_within_the_budget() {
    // Given clients that ask for long lists again and again, and read none
    const BUDGET: usize = 1 << 20;
    let broker = Process::with(&format!("queued.max.response.bytes={BUDGET}\n"));
    create_topic(&broker);
    let before = broker.peak_memory_bytes();
    let frame = long_list();
    let mut deaf: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| ask_again_and_again(&broker, &frame))
        .collect();

    // When they would hold many times the budget, then some of them go
    until(|| broker.log().matches("too slow to keep").count() > 0);
    let closed = |stream: &mut TcpStream| {
        // A broker that had to close it has reset it, or ended what there is to read.
        let read = read_all(stream, SHORT);
        !matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    };
    assert!(deaf.iter_mut().any(closed), "all of them are still open");

    // And others are served, in flat memory
    assert!(!api_versions(&broker).is_empty());
    let grown = broker.peak_memory_bytes() - before;
    assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
}

/// Clients whose answers are each some tens of KiB, together several budgets.
const CLIENTS: usize = 40;
const NAMES: usize = 2_000;
/// More than the sockets of a connection hold, where the client's holds next to nothing.
const TIMES: usize = 20;

/// A request whose answer is long.
fn long_list() -> Vec<u8> {
    let names = (0..NAMES).map(|number| MetadataRequestTopic {
        name: Some(format!("unknown-{number}").into()),
        ..MetadataRequestTopic::default()
    });
    let request = MetadataRequest {
        topics: Some(names.collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let mut body = Writer::new();
    request
        .encode(&mut body, METADATA)
        .expect("it can be encoded");
    frame(ApiKey::Metadata, METADATA, &body.finish_contiguous())
}

/// Sends as much of its requests as the broker takes, which reads no more before it has written.
fn ask_again_and_again(broker: &Process, frame: &[u8]) -> TcpStream {
    let mut stream = broker.connect();
    socket2::SockRef::from(&stream)
        .set_recv_buffer_size(1)
        .expect("the system takes its least");
    stream
        .set_write_timeout(Some(Duration::from_millis(20)))
        .expect("it is not zero");
    for _ in 0..TIMES {
        if stream.write_all(frame).is_err() {
            break;
        }
    }
    stream
}

/// How long one that is still open is waited for.
const SHORT: Duration = Duration::from_millis(200);
/// On a machine that does other things too.
const LONG: Duration = Duration::from_secs(60);

fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "it does not happen");
    }
}

/// Bytes that another consumer gets.
fn fetched(broker: &Process, max_bytes: usize) -> usize {
    let response = call(broker, &fetch(max_bytes), FETCH);
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
