//! Our codec and the kafka-protocol crate agree: for every message at every version that both know, both take the
//! same bytes in and give the same bytes out.

use crate::recode::recode;
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use wire::sample::{Generator, messages};
use wire::schema::{Kind, Message};

const SEEDS: u64 = 12;

#[test]
fn every_message_comes_out_as_it_went_in() {
    for message in messages() {
        for version in message.versions.min..=message.versions.max {
            for seed in 0..SEEDS {
                let bytes = Bytes::from(Generator::new(&message, version, seed).write());
                let again = recode(&message.name, bytes.clone(), version);
                assert_eq!(
                    again,
                    Ok((bytes, 0)),
                    "{} version {version} seed {seed}",
                    message.name
                );
            }
        }
    }
}

#[test]
fn kafka_protocol_reads_and_writes_the_same_bytes() {
    let mut compared = 0;
    let mut unknown = BTreeSet::new();
    for message in messages()
        .iter()
        .filter(|m| matches!(m.kind, Kind::Request | Kind::Response))
    {
        for version in message.versions.min..=message.versions.max {
            if !theirs_knows(message, version) {
                unknown.insert(format!("{} {version}", message.name));
                continue;
            }
            for seed in 0..SEEDS {
                let bytes = Bytes::from(Generator::new(message, version, seed).write());
                let theirs = theirs(message, bytes.clone(), version);
                if theirs
                    .as_ref()
                    .is_err_and(|e| e.contains("specified version not supported"))
                {
                    unknown.insert(format!("{} {version}", message.name));
                    continue;
                }
                let theirs = theirs.unwrap_or_else(|e| {
                    panic!("{} version {version} seed {seed}: {e:#}", message.name)
                });
                assert_eq!(
                    theirs, bytes,
                    "{} version {version} seed {seed}",
                    message.name
                );
                compared += 1;
            }
        }
    }
    assert_eq!(
        unknown.iter().map(String::as_str).collect::<Vec<_>>(),
        UNKNOWN
    );
    assert!(compared > 4000, "only {compared} messages were compared");
}

/// What kafka-protocol 0.18 lacks; java.rs compares these with Kafka's own classes.
pub const UNKNOWN: &[&str] = &[
    "AddRaftVoterRequest 1",
    "AddRaftVoterResponse 1",
    "DescribeLogDirsRequest 5",
    "DescribeLogDirsResponse 5",
    "DescribeShareGroupOffsetsRequest 1",
    "DescribeShareGroupOffsetsResponse 1",
    "InitProducerIdRequest 6",
    "ListOffsetsRequest 11",
    "ListOffsetsResponse 11",
    "OffsetCommitRequest 10",
    "OffsetFetchRequest 10",
    "ReadShareGroupStateSummaryRequest 1",
    "ReadShareGroupStateSummaryResponse 1",
    "ShareAcknowledgeRequest 2",
    "ShareAcknowledgeResponse 2",
    "ShareFetchRequest 2",
    "ShareFetchResponse 2",
    "StreamsGroupDescribeRequest 0",
    "StreamsGroupDescribeResponse 0",
    "StreamsGroupHeartbeatRequest 0",
    "StreamsGroupHeartbeatResponse 0",
    "WriteShareGroupStateRequest 1",
    "WriteShareGroupStateResponse 1",
    "WriteTxnMarkersRequest 2",
    "WriteTxnMarkersResponse 2",
];

fn theirs_knows(message: &Message, version: i16) -> bool {
    ApiKey::try_from(message.key).is_ok_and(|key| {
        let range = key.valid_versions();
        range.min <= version && version <= range.max
    })
}

fn theirs(message: &Message, mut bytes: Bytes, version: i16) -> Result<Bytes, String> {
    let key = ApiKey::try_from(message.key).map_err(|()| "no such key".to_owned())?;
    let mut out = BytesMut::new();
    let outcome =
        match message.kind {
            Kind::Request => RequestKind::decode(key, &mut bytes, version)
                .and_then(|m| m.encode(&mut out, version)),
            _ => ResponseKind::decode(key, &mut bytes, version)
                .and_then(|m| m.encode(&mut out, version)),
        };
    outcome.map_err(|e| format!("{e:#}"))?;
    match bytes.len() {
        0 => Ok(out.freeze()),
        left => Err(format!("{left} bytes were left")),
    }
}
