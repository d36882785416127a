//! What a client would say, with fields that it would not: requests that get past the decoder and into a handler.

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use wire::Request;
use wire::Str;
use wire::batch::Compression;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::*;
use wire::record::BatchBuilder;

use super::admin;
use super::conversation::version_of;
use crate::broker::{TOPIC, frame as framed};

/// One request and the fields that are worth changing.
#[derive(Arbitrary, Debug)]
pub enum Word {
    Produce {
        topic: u8,
        partition: i8,
        acks: i8,
        codec: u8,
        payload: Vec<u8>,
        producer: Option<(i8, i16, i32)>,
    },
    Fetch {
        topic: u8,
        partition: i8,
        offset: i64,
        max_bytes: i32,
        session: (i32, i8),
        replica: i8,
    },
    ListOffsets {
        topic: u8,
        timestamp: i64,
        replica: i8,
    },
    EpochEnd {
        topic: u8,
        current: i32,
        epoch: i32,
    },
    Join {
        group: u8,
        member: u8,
        is_static: bool,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32,
        metadata: Vec<u8>,
    },
    Sync {
        group: u8,
        member: u8,
        generation: i8,
        assignment: Vec<u8>,
    },
    Beat {
        group: u8,
        member: u8,
        generation: i32,
    },
    Leave {
        group: u8,
        member: u8,
    },
    Commit {
        group: u8,
        generation: i8,
        partition: i32,
        offset: i64,
        metadata: Option<String>,
    },
    ProducerId {
        transactional: Option<String>,
        producer: (i64, i16),
    },
    Create {
        topic: u8,
        partitions: i16,
        replicas: i16,
        config: Option<(u8, i64)>,
    },
    Grow {
        topic: u8,
        count: i16,
    },
    Alter {
        topic: u8,
        key: u8,
        operation: i8,
        value: Option<i64>,
    },
    Delete {
        topic: u8,
    },
    Tell {
        topic: Option<String>,
        create: bool,
    },
}

pub(super) fn topic(choice: u8) -> Str {
    match choice {
        0..=199 => TOPIC.into(),
        200..=219 => "u".into(),
        220..=239 => "__consumer_offsets".into(),
        _ => Str::from(format!("new-{choice}")),
    }
}

fn group(choice: u8) -> Str {
    Str::from(format!("group-{}", choice % 3))
}

/// Whoever joins by an old version is told a name that nobody can know in advance; static ones have one of their own.
fn member(choice: u8) -> Str {
    match choice % 4 {
        0 => "".into(),
        other => Str::from(format!("member-{other}")),
    }
}

/// The request with its size, in one of the versions that name topics by their names.
pub fn frame(word: &Word, version: u8) -> Vec<u8> {
    match word {
        Word::Produce { .. } => produce_word(word, version),
        Word::Fetch { .. } | Word::ListOffsets { .. } | Word::EpochEnd { .. } => {
            read_word(word, version)
        }
        Word::Join { .. } | Word::Sync { .. } | Word::Beat { .. } | Word::Leave { .. } => {
            group_word(word, version)
        }
        Word::Commit { .. } | Word::ProducerId { .. } | Word::Tell { .. } => {
            client_word(word, version)
        }
        _ => admin::frame(word, version),
    }
}

/// Writes a request in one of the versions up to `max`; nothing where that version cannot say it.
pub(super) fn written<R: Request>(request: &R, max: i16, choice: u8) -> Vec<u8> {
    let version = version_of(R::MIN_VERSION, max.min(R::MAX_VERSION), choice);
    framed(request, version).map_or_else(|_| Vec::new(), |bytes| bytes.to_vec())
}

/// A batch that is sent to the topic that is there.
pub fn produce(batch: BytesMut, version: u8) -> Vec<u8> {
    let request = produce_request(topic(0), 0, -1, batch.freeze());
    written(&request, 12, version)
}

fn produce_request(name: Str, index: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData {
        index,
        records: Some(batch.into()),
    };
    let topic = TopicProduceData {
        name,
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 1_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    }
}

fn produce_word(word: &Word, version: u8) -> Vec<u8> {
    let Word::Produce {
        topic: name,
        partition,
        acks,
        codec,
        payload,
        producer,
    } = word
    else {
        return Vec::new();
    };
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(i64::from(*id), *epoch, *sequence);
    }
    builder.append(Some(b"key"), Some(payload));
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let codec = codecs[usize::from(*codec) % codecs.len()];
    // What the client says is compressed need not be.
    let batch = builder.build_compressed(codec, |records| match payload.first() {
        Some(0) => records.to_vec(),
        _ => storage::compression::compress(codec, records).expect("a codec that exists"),
    });
    let (index, acks) = (i32::from(*partition), i16::from(*acks));
    let request = produce_request(topic(*name), index, acks, batch.bytes);
    written(&request, 12, version)
}

fn read_word(word: &Word, version: u8) -> Vec<u8> {
    match word {
        Word::Fetch {
            topic: name,
            partition,
            offset,
            max_bytes,
            session,
            replica,
        } => {
            let partition = FetchPartition {
                partition: i32::from(*partition),
                fetch_offset: *offset,
                partition_max_bytes: *max_bytes,
                ..FetchPartition::default()
            };
            let topic = FetchTopic {
                topic: topic(*name),
                partitions: vec![partition],
                ..FetchTopic::default()
            };
            let request = FetchRequest {
                replica_id: i32::from(*replica),
                max_wait_ms: 100,
                min_bytes: 1,
                max_bytes: *max_bytes,
                session_id: session.0,
                session_epoch: i32::from(session.1),
                topics: vec![topic],
                ..FetchRequest::default()
            };
            written(&request, 12, version)
        }
        Word::ListOffsets {
            topic: name,
            timestamp,
            replica,
        } => {
            let partition = ListOffsetsPartition {
                timestamp: *timestamp,
                ..ListOffsetsPartition::default()
            };
            let topic = ListOffsetsTopic {
                name: topic(*name),
                partitions: vec![partition],
            };
            let request = ListOffsetsRequest {
                replica_id: i32::from(*replica),
                topics: vec![topic],
                ..ListOffsetsRequest::default()
            };
            written(&request, 11, version)
        }
        Word::EpochEnd {
            topic: name,
            current,
            epoch,
        } => {
            let partition = OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: *current,
                leader_epoch: *epoch,
            };
            let topic = OffsetForLeaderTopic {
                topic: topic(*name),
                partitions: vec![partition],
            };
            let request = OffsetForLeaderEpochRequest {
                topics: vec![topic],
                ..OffsetForLeaderEpochRequest::default()
            };
            written(&request, 4, version)
        }
        _ => Vec::new(),
    }
}

fn group_word(word: &Word, version: u8) -> Vec<u8> {
    match word {
        Word::Join {
            group: id,
            member: name,
            is_static,
            session_timeout_ms,
            rebalance_timeout_ms,
            metadata,
        } => {
            let protocol = JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: Bytes::copy_from_slice(metadata),
            };
            let request = JoinGroupRequest {
                group_id: group(*id),
                session_timeout_ms: *session_timeout_ms,
                rebalance_timeout_ms: *rebalance_timeout_ms,
                member_id: member(*name),
                group_instance_id: is_static.then(|| member(*name)),
                protocol_type: "consumer".into(),
                protocols: vec![protocol],
                ..JoinGroupRequest::default()
            };
            written(&request, 9, version)
        }
        Word::Sync {
            group: id,
            member: name,
            generation,
            assignment,
        } => {
            let assignment = SyncGroupRequestAssignment {
                member_id: member(*name),
                assignment: Bytes::copy_from_slice(assignment),
            };
            let request = SyncGroupRequest {
                group_id: group(*id),
                generation_id: i32::from(*generation),
                member_id: member(*name),
                assignments: vec![assignment],
                ..SyncGroupRequest::default()
            };
            written(&request, 5, version)
        }
        Word::Beat {
            group: id,
            member: name,
            generation,
        } => {
            let request = HeartbeatRequest {
                group_id: group(*id),
                generation_id: *generation,
                member_id: member(*name),
                ..HeartbeatRequest::default()
            };
            written(&request, 4, version)
        }
        Word::Leave {
            group: id,
            member: name,
        } => {
            let request = LeaveGroupRequest {
                group_id: group(*id),
                member_id: member(*name),
                ..LeaveGroupRequest::default()
            };
            written(&request, 2, version)
        }
        _ => Vec::new(),
    }
}

fn client_word(word: &Word, version: u8) -> Vec<u8> {
    match word {
        Word::Commit {
            group: id,
            generation,
            partition,
            offset,
            metadata,
        } => {
            let partition = OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: *offset,
                committed_metadata: metadata.clone().map(Str::from),
                ..OffsetCommitRequestPartition::default()
            };
            let topic = OffsetCommitRequestTopic {
                name: topic(0),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            };
            let request = OffsetCommitRequest {
                group_id: group(*id),
                generation_id_or_member_epoch: i32::from(*generation),
                topics: vec![topic],
                ..OffsetCommitRequest::default()
            };
            written(&request, 9, version)
        }
        Word::ProducerId {
            transactional,
            producer,
        } => {
            let request = InitProducerIdRequest {
                transactional_id: transactional.clone().map(Str::from),
                transaction_timeout_ms: 1_000,
                producer_id: producer.0,
                producer_epoch: producer.1,
                ..InitProducerIdRequest::default()
            };
            written(&request, 5, version)
        }
        Word::Tell { topic, create } => {
            let topic = metadata_request::MetadataRequestTopic {
                name: topic.clone().map(Str::from),
                ..metadata_request::MetadataRequestTopic::default()
            };
            let request = MetadataRequest {
                topics: Some(vec![topic]),
                allow_auto_topic_creation: *create,
                ..MetadataRequest::default()
            };
            written(&request, 13, version)
        }
        _ => Vec::new(),
    }
}
