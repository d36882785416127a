//! Record batches of format 2: a view of the header, and batches kept as the bytes they came in.
//!
//! Layout (KIP-98): base offset i64, length i32, leader epoch i32, magic i8, CRC u32, attributes i16, last offset
//! delta i32, base and max timestamp i64, producer id i64, producer epoch i16, base sequence i32, record count i32,
//! records. The CRC (CRC-32C) covers everything from the attributes on, so offset and epoch can be set in place.

mod count;
mod error;
mod header;
mod split;

use bytes::{Bytes, BytesMut};

pub use count::count_records;
pub use error::BatchError;
pub use header::{BatchHeader, Compression, TimestampType};
pub use split::{Split, split};

/// Bytes of a header, up to the first record.
pub const HEADER_LEN: usize = 61;
/// Bytes of the base offset and the length: what a batch has beyond its `batch_length`.
pub const LENGTH_PREFIX: usize = 12;
/// The only batch format that is accepted.
pub const MAGIC: i8 = 2;
/// Where the fields begin that a broker sets: base offset, length, leader epoch.
const PREFIX_LEN: usize = 16;
/// Where the CRC field is, and where the bytes that it covers begin.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

/// One batch: its header, which may have been assigned an offset, and its bytes as they were received or stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

impl Batch {
    /// Takes bytes that are exactly one batch.
    pub fn parse(bytes: Bytes) -> Result<Batch, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        match bytes.len().cmp(&header.size_bytes()) {
            std::cmp::Ordering::Less => Err(BatchError::Partial),
            std::cmp::Ordering::Equal => Ok(Batch { header, bytes }),
            std::cmp::Ordering::Greater => Err(BatchError::Length),
        }
    }

    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let actual = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        if actual == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::Crc)
        }
    }

    /// The same bytes under a header with the offset and epoch that the leader assigned.
    pub fn with_assigned(&self, base_offset: i64, leader_epoch: i32) -> Batch {
        let header = BatchHeader {
            base_offset,
            partition_leader_epoch: leader_epoch,
            ..self.header
        };
        Batch {
            header,
            bytes: self.bytes.clone(),
        }
    }

    /// The batch as `message.timestamp.type=LogAppendTime` stores it: the time in the header, a new CRC. Copies.
    pub fn with_log_append_time(&self, now_ms: i64) -> Batch {
        let header = self.header.with_log_append_time(now_ms);
        let mut bytes = BytesMut::from(&self.bytes[..]);
        header.write(&mut bytes);
        let header = BatchHeader {
            crc: crc32c::crc32c(&bytes[CRC_FROM..]),
            ..header
        };
        bytes[CRC_AT..CRC_FROM].copy_from_slice(&header.crc.to_be_bytes());
        Batch {
            header,
            bytes: bytes.freeze(),
        }
    }

    /// The first 16 bytes as they are stored: base offset, length and leader epoch of the header.
    pub fn patched_prefix(&self) -> [u8; PREFIX_LEN] {
        let mut prefix = [0; PREFIX_LEN];
        prefix[..8].copy_from_slice(&self.header.base_offset.to_be_bytes());
        prefix[8..12].copy_from_slice(&self.header.batch_length.to_be_bytes());
        prefix[12..].copy_from_slice(&self.header.partition_leader_epoch.to_be_bytes());
        prefix
    }

    /// The bytes to store and to send: the patched prefix and, uncopied, the rest.
    pub fn stored_chunks(&self) -> [Bytes; 2] {
        [
            Bytes::copy_from_slice(&self.patched_prefix()),
            self.bytes.slice(PREFIX_LEN..),
        ]
    }

    /// The bytes to store in one piece. Copies unless the prefix already is as it must be.
    pub fn stored_bytes(&self) -> Bytes {
        let prefix = self.patched_prefix();
        if self.bytes[..PREFIX_LEN] == prefix {
            return self.bytes.clone();
        }
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..PREFIX_LEN].copy_from_slice(&prefix);
        bytes.freeze()
    }

    /// The records, still compressed if the batch is.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }
}
