//! Record batches that lie: each gets Kafka's error, none gets into the log.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use wire::batch::{BatchHeader, HEADER_LEN};
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{CreateTopicsRequest, ListOffsetsRequest, ProduceRequest, ResponseHeader};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Message, Reader, Records, Request, Writer};

use crate::process::Process;
use crate::{CLOSED_WITHIN, frame};

/// By topic name, with error messages.
const PRODUCE: i16 = 12;
const LATEST: i64 = -1;
/// What all of this is produced to.
pub const TOPIC: &str = "lies";
/// Where the CRC is, and where what it covers begins.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

#[test]
fn a_batch_that_lies_is_refused_with_kafkas_error_and_never_stored() {
    // Given
    let broker = Process::start();
    create_topic(&broker);
    let before = latest(&broker);

    // When each field lies in turn, under a CRC that fits; then its error is Kafka's
    for (lie, expected) in lies() {
        assert_eq!(produce(&broker, lie.records), expected, "{}", lie.what);
    }

    // And nothing of it is in the log, which takes the next honest batch
    assert_eq!(latest(&broker), before);
    assert_eq!(produce(&broker, Some(valid())), ErrorCode::None);
    assert_eq!(latest(&broker), before + 3);
}

struct Lie {
    what: &'static str,
    records: Option<Records>,
}

fn lies() -> Vec<(Lie, ErrorCode)> {
    use ErrorCode::{
        CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge,
        UnsupportedCompressionType,
    };
    let header = |what, change: fn(&mut BatchHeader)| Lie {
        what,
        records: Some(changed(change)),
    };
    let bytes = |what, change: fn(BytesMut) -> Bytes| Lie {
        what,
        records: Some(change(BytesMut::from(&valid().to_bytes()[..])).into()),
    };
    vec![
        (
            header("record count of 2^31 - 1", |h| h.record_count = i32::MAX),
            InvalidRecord,
        ),
        (
            header("negative record count", |h| h.record_count = -1),
            InvalidRecord,
        ),
        (
            header("no records", |h| {
                (h.record_count, h.last_offset_delta) = (0, -1)
            }),
            InvalidRecord,
        ),
        (
            header("last offset delta of 2^31 - 1", |h| {
                h.last_offset_delta = i32::MAX
            }),
            InvalidRecord,
        ),
        (
            header("more records than bytes", |h| {
                (h.record_count, h.last_offset_delta) = (1 << 30, (1 << 30) - 1)
            }),
            InvalidRecord,
        ),
        (
            header("a codec that does not exist", |h| h.attributes = 7),
            UnsupportedCompressionType,
        ),
        (
            header("a control batch", |h| h.attributes = 0x20),
            InvalidRecord,
        ),
        (
            header("a transaction without a producer", |h| h.attributes = 0x10),
            InvalidRecord,
        ),
        (
            header("a producer without a sequence", |h| {
                (h.producer_id, h.producer_epoch) = (7, 0)
            }),
            InvalidRecord,
        ),
        (
            header("LogAppendTime", |h| h.attributes = 0x08),
            InvalidTimestamp,
        ),
        (header("format 1", |h| h.magic = 1), InvalidRecord),
        (header("format 3", |h| h.magic = 3), InvalidRecord),
        (
            header("a length of 2^31 - 1", |h| h.batch_length = i32::MAX),
            CorruptMessage,
        ),
        (
            header("a negative length", |h| h.batch_length = -1),
            CorruptMessage,
        ),
        (
            header("a length without a header", |h| h.batch_length = 48),
            CorruptMessage,
        ),
        (
            bytes("a CRC that does not match", |mut b| {
                b[CRC_AT] ^= 1;
                b.freeze()
            }),
            CorruptMessage,
        ),
        (
            bytes("a byte too few", |b| {
                let end = b.len() - 1;
                b.freeze().slice(..end)
            }),
            CorruptMessage,
        ),
        (
            bytes("half a header", |b| b.freeze().slice(..30)),
            CorruptMessage,
        ),
        (
            bytes("two batches", |b| [&b[..], &b[..]].concat().into()),
            InvalidRecord,
        ),
        (
            Lie {
                what: "null",
                records: None,
            },
            InvalidRecord,
        ),
        (
            Lie {
                what: "nothing",
                records: Some(Records::default()),
            },
            InvalidRecord,
        ),
        (
            Lie {
                what: "too large",
                records: Some(large()),
            },
            MessageTooLarge,
        ),
    ]
}

pub fn valid() -> Records {
    let mut batch = BatchBuilder::new(1_700_000_000_000);
    (0..3).for_each(|_| {
        batch.append(Some(b"key"), Some(b"value"));
    });
    batch.build().bytes.into()
}

fn large() -> Records {
    let mut batch = BatchBuilder::new(1_700_000_000_000);
    batch.append(None, Some(&vec![0; 2 << 20]));
    batch.build().bytes.into()
}

/// A valid batch with another header and the CRC that fits it.
fn changed(change: fn(&mut BatchHeader)) -> Records {
    let mut bytes = BytesMut::from(&valid().to_bytes()[..]);
    let mut header = BatchHeader::parse(&bytes).expect("it is valid before");
    change(&mut header);
    header.write(&mut bytes[..HEADER_LEN]);
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze().into()
}

/// A topic that takes batches.
pub fn create_topic(broker: &Process) {
    let topic = CreatableTopic {
        name: TOPIC.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..CreateTopicsRequest::default()
    };
    let response = call(broker, &request, 5);
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    let until_led = std::time::Instant::now() + CLOSED_WITHIN;
    while produce(broker, Some(valid())) != ErrorCode::None {
        assert!(
            std::time::Instant::now() < until_led,
            "the partition gets no leader"
        );
    }
}

pub fn produce(broker: &Process, records: Option<Records>) -> ErrorCode {
    let topic = TopicProduceData {
        name: TOPIC.into(),
        partition_data: vec![PartitionProduceData { index: 0, records }],
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![topic],
    };
    let response = call(broker, &request, PRODUCE);
    let code = response.responses[0].partition_responses[0].error_code;
    ErrorCode::from_code(code).expect("a code of Kafka's")
}

fn latest(broker: &Process) -> i64 {
    let partition = ListOffsetsPartition {
        timestamp: LATEST,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: TOPIC.into(),
        partitions: vec![partition],
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic],
        ..ListOffsetsRequest::default()
    };
    let response = call(broker, &request, 5);
    let partition = &response.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
    partition.offset
}

/// One request on a connection of its own, and its answer.
pub fn call<R: Request>(broker: &Process, request: &R, version: i16) -> R::Response {
    let mut stream = ask(broker, request, version);
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("the broker answers");
    let mut answer = vec![0; i32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).expect("the broker answers");
    let mut reader = Reader::new(answer.into());
    ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version)).expect("a header");
    R::Response::decode(&mut reader, version).expect("the answer to the request")
}

/// One request on a connection of its own, whose answer nobody has read yet.
pub fn ask<R: Request>(broker: &Process, request: &R, version: i16) -> TcpStream {
    let mut body = Writer::new();
    request
        .encode(&mut body, version)
        .expect("the request has this version");
    let mut stream = broker.connect();
    stream
        .set_read_timeout(Some(CLOSED_WITHIN))
        .expect("the timeout is not zero");
    stream
        .write_all(&frame(R::KEY, version, &body.finish_contiguous()))
        .expect("the broker reads");
    stream
}
