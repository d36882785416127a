//! Records of the coordinators' topics: a key is its type and its fields, a value is its version and its fields.

use bytes::Bytes;

use crate::{DecodeError, EncodeError, Message, Reader, Writer};

/// The key of a coordinator record. All keys have version 0.
pub trait RecordKey: Message {
    /// The number in front of the key (in Kafka's words its version, which tells the types apart).
    const TYPE: i16;

    fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.i16(Self::TYPE);
        self.encode(&mut w, 0)?;
        Ok(w.finish_contiguous())
    }

    /// Reads a key whose type [`record_type`] has found to be this one.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let found = r.i16()?;
        if found != Self::TYPE {
            return Err(DecodeError::Version(found));
        }
        Self::decode(&mut r, 0)
    }
}

/// The type of a coordinator record, from its key.
pub fn record_type(key: &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes([*key.first()?, *key.get(1)?]))
}

/// Data that is stored or sent with its version in front: record values, the consumers' subscriptions.
pub trait Versioned: Message {
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;

    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        w.i16(version);
        self.encode(&mut w, version)?;
        Ok(w.finish_contiguous())
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.i16()?;
        Self::decode(&mut r, version)
    }
}
