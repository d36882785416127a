//! Records of `__consumer_offsets`, byte for byte as Kafka 4.3.1 writes them: a key that begins with the record
//! type, a value that begins with its version, and no value for a tombstone.

use bytes::{BufMut, Bytes, BytesMut};
use wire::messages::group_metadata_value::MemberMetadata;
use wire::messages::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
use wire::{DecodeError, EncodeError, Message, Reader, Str, Writer};

use super::{CommittedOffset, GroupSnapshot, MemberSnapshot};

/// Record types, the first two bytes of a key. Type 0 is what Kafka before 0.9 wrote for offsets, same layout as 1.
const LEGACY_OFFSET: i16 = 0;
const OFFSET: i16 = 1;
const GROUP: i16 = 2;

/// Versions of values as Kafka 4.3.1 chooses them.
const GROUP_VALUE_VERSION: i16 = 3;
const OFFSET_VALUE_VERSION: i16 = 4;
/// The only version with an expiry time of the offset's own.
const OFFSET_VALUE_WITH_EXPIRY: i16 = 1;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetKey {
    pub group: Str,
    pub topic: Str,
    pub partition: i32,
}

/// One change of durable state; no value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Group {
        group: Str,
        value: Option<GroupSnapshot>,
    },
    Offset {
        key: OffsetKey,
        value: Option<CommittedOffset>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record has no key")]
    NoKey,
    /// Written by a newer coordinator or for another protocol: to be skipped.
    #[error("record type {0} is not of the classic protocol")]
    UnknownType(i16),
    #[error("value version {0} is not known")]
    UnknownVersion(i16),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Record {
    pub(super) fn offset(
        group: &Str,
        topic: &Str,
        partition: i32,
        value: Option<CommittedOffset>,
    ) -> Record {
        let key = OffsetKey {
            group: group.clone(),
            topic: topic.clone(),
            partition,
        };
        Record::Offset { key, value }
    }

    /// About how many bytes the record takes in a batch.
    pub(super) fn size_hint(&self) -> usize {
        const FRAMING: usize = 64;
        let bytes = match self {
            Record::Group { group, value } => {
                let member = |m: &MemberSnapshot| {
                    let instance = m.instance_id.as_ref().map_or(0, |id| id.len());
                    let names = m.member_id.len() + instance + m.client_id.len();
                    2 * FRAMING + names + m.subscription.len() + m.assignment.len()
                };
                group.len()
                    + value
                        .iter()
                        .flat_map(|v| &v.members)
                        .map(member)
                        .sum::<usize>()
            }
            Record::Offset { key, value } => {
                key.group.len() + key.topic.len() + value.as_ref().map_or(0, |v| v.metadata.len())
            }
        };
        FRAMING + bytes
    }

    /// Key and value as they stand in a record batch.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            Record::Group { group, value } => {
                let key = GroupMetadataKey {
                    group: group.clone(),
                };
                let value = value
                    .as_ref()
                    .map(|v| versioned(GROUP_VALUE_VERSION, &group_value(v), GROUP_VALUE_VERSION));
                Ok((versioned(GROUP, &key, 0)?, value.transpose()?))
            }
            Record::Offset { key, value } => {
                let wire_key = OffsetCommitKey {
                    group: key.group.clone(),
                    topic: key.topic.clone(),
                    partition: key.partition,
                };
                let value = value.as_ref().map(|v| {
                    let version = match v.expire_timestamp_ms {
                        Some(_) => OFFSET_VALUE_WITH_EXPIRY,
                        None => OFFSET_VALUE_VERSION,
                    };
                    versioned(version, &offset_value(v), version)
                });
                Ok((versioned(OFFSET, &wire_key, 0)?, value.transpose()?))
            }
        }
    }

    /// Reads a record of the log. What it keeps is copied, so that no batch stays in memory for one string.
    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Record, RecordError> {
        let mut r = Reader::new(key.ok_or(RecordError::NoKey)?);
        match r.i16()? {
            GROUP => {
                let key = GroupMetadataKey::decode(&mut r, 0)?;
                let value = value.map(decode_group).transpose()?;
                Ok(Record::Group {
                    group: Str::copy_from(&key.group),
                    value,
                })
            }
            LEGACY_OFFSET | OFFSET => {
                let key = OffsetCommitKey::decode(&mut r, 0)?;
                let (group, topic) = (Str::copy_from(&key.group), Str::copy_from(&key.topic));
                let value = value.map(decode_offset).transpose()?;
                Ok(Record::offset(&group, &topic, key.partition, value))
            }
            other => Err(RecordError::UnknownType(other)),
        }
    }
}

fn versioned<M: Message>(prefix: i16, message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version)?;
    let chunks = w.finish();
    let mut out = BytesMut::with_capacity(2 + chunks.iter().map(Bytes::len).sum::<usize>());
    out.put_i16(prefix);
    chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    Ok(out.freeze())
}

fn group_value(group: &GroupSnapshot) -> GroupMetadataValue {
    let member = |m: &MemberSnapshot| MemberMetadata {
        member_id: m.member_id.clone(),
        group_instance_id: m.instance_id.clone(),
        client_id: m.client_id.clone(),
        client_host: m.client_host.clone(),
        rebalance_timeout: m.rebalance_timeout_ms,
        session_timeout: m.session_timeout_ms,
        subscription: m.subscription.clone(),
        assignment: m.assignment.clone(),
    };
    GroupMetadataValue {
        protocol_type: group.protocol_type.clone(),
        generation: group.generation,
        protocol: group.protocol.clone(),
        leader: group.leader.clone(),
        current_state_timestamp: group.state_timestamp_ms,
        members: group.members.iter().map(member).collect(),
    }
}

fn decode_group(value: Bytes) -> Result<GroupSnapshot, RecordError> {
    let mut r = Reader::new(value);
    let version = r.i16()?;
    if !(0..=4).contains(&version) {
        return Err(RecordError::UnknownVersion(version));
    }
    let value = GroupMetadataValue::decode(&mut r, version)?;
    let copy = |text: &Option<Str>| text.as_deref().map(Str::copy_from);
    let member = |m: &MemberMetadata| MemberSnapshot {
        member_id: Str::copy_from(&m.member_id),
        instance_id: copy(&m.group_instance_id),
        client_id: Str::copy_from(&m.client_id),
        client_host: Str::copy_from(&m.client_host),
        rebalance_timeout_ms: m.rebalance_timeout,
        session_timeout_ms: m.session_timeout,
        subscription: Bytes::copy_from_slice(&m.subscription),
        assignment: Bytes::copy_from_slice(&m.assignment),
    };
    Ok(GroupSnapshot {
        protocol_type: Str::copy_from(&value.protocol_type),
        generation: value.generation,
        protocol: copy(&value.protocol),
        leader: copy(&value.leader),
        state_timestamp_ms: value.current_state_timestamp,
        members: value.members.iter().map(member).collect(),
    })
}

fn offset_value(offset: &CommittedOffset) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata.clone(),
        commit_timestamp: offset.commit_timestamp_ms,
        expire_timestamp: offset.expire_timestamp_ms.unwrap_or(-1),
        topic_id: offset.topic_id,
    }
}

fn decode_offset(value: Bytes) -> Result<CommittedOffset, RecordError> {
    let mut r = Reader::new(value);
    let version = r.i16()?;
    if !(0..=4).contains(&version) {
        return Err(RecordError::UnknownVersion(version));
    }
    let value = OffsetCommitValue::decode(&mut r, version)?;
    Ok(CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: Str::copy_from(&value.metadata),
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: (value.expire_timestamp >= 0).then_some(value.expire_timestamp),
        topic_id: value.topic_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn offset() -> CommittedOffset {
        CommittedOffset {
            offset: 42,
            leader_epoch: 7,
            metadata: "m".into(),
            commit_timestamp_ms: 1_000,
            expire_timestamp_ms: None,
            topic_id: wire::Uuid::ZERO,
        }
    }

    #[test]
    fn an_offset_is_laid_out_as_kafka_lays_it_out() {
        let (key, value) = Record::offset(&"g".into(), &"t".into(), 3, Some(offset()))
            .encode()
            .expect("encodes");
        assert_eq!(hex(&key), "0001000167000174 00000003".replace(' ', ""));
        // version 4, offset, leader epoch, compact string, commit timestamp, no tagged fields
        let expected = "0004 000000000000002a 00000007 026d 00000000000003e8 00".replace(' ', "");
        assert_eq!(hex(&value.expect("a value")), expected);
    }

    #[test]
    fn an_offset_with_its_own_expiry_is_version_1() {
        let record = Record::offset(
            &"g".into(),
            &"t".into(),
            0,
            Some(CommittedOffset {
                expire_timestamp_ms: Some(5),
                leader_epoch: -1,
                ..offset()
            }),
        );
        let (key, value) = record.encode().expect("encodes");
        let value = value.expect("a value");
        assert_eq!(
            hex(&value),
            "0001 000000000000002a 0001 6d 00000000000003e8 0000000000000005".replace(' ', "")
        );
        assert_eq!(
            Record::decode(Some(key), Some(value)).expect("decodes"),
            record
        );
    }

    #[test]
    fn groups_and_tombstones_survive_the_round_trip() {
        let value = GroupSnapshot {
            protocol_type: "consumer".into(),
            generation: 5,
            protocol: Some("range".into()),
            leader: Some("m1".into()),
            state_timestamp_ms: 99,
            members: vec![MemberSnapshot {
                member_id: "m1".into(),
                instance_id: Some("i".into()),
                client_id: "c".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout_ms: 60_000,
                session_timeout_ms: 45_000,
                subscription: Bytes::from_static(b"sub"),
                assignment: Bytes::from_static(b"ass"),
            }],
        };
        for record in [
            Record::Group {
                group: "g".into(),
                value: Some(value),
            },
            Record::Group {
                group: "g".into(),
                value: None,
            },
            Record::offset(&"g".into(), &"t".into(), 1, None),
        ] {
            let (key, value) = record.encode().expect("encodes");
            assert_eq!(Record::decode(Some(key), value).expect("decodes"), record);
        }
        assert!(matches!(
            Record::decode(Some(Bytes::from_static(b"\x00\x03\x00\x01g")), None),
            Err(RecordError::UnknownType(3))
        ));
    }
}
