//! What can be wrong with a batch, and the error code that Kafka answers.

use std::fmt;

use crate::ErrorCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end within the batch.
    Partial,
    /// A length that no batch has, or other than the bytes given.
    Length,
    /// Not format 2.
    Magic(i8),
    /// The CRC does not match.
    Crc,
    /// A compression codec that does not exist.
    Codec(u8),
    /// The record count is not last offset delta + 1, not positive, or more than the bytes can hold.
    RecordCount,
    /// Producer id, epoch and base sequence do not fit together.
    Producer,
    /// A client must not send control batches.
    Control,
    /// A client must not send LogAppendTime batches, nor a max timestamp below -1.
    Timestamp,
    /// A produce request carries exactly one batch per partition.
    Several,
    /// A record whose bytes are not a record.
    Record,
}

impl BatchError {
    /// The code that a produce request is answered with.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Partial | Self::Length | Self::Crc => ErrorCode::CorruptMessage,
            Self::Codec(_) => ErrorCode::UnsupportedCompressionType,
            Self::Timestamp => ErrorCode::InvalidTimestamp,
            Self::Magic(_)
            | Self::RecordCount
            | Self::Producer
            | Self::Control
            | Self::Several
            | Self::Record => ErrorCode::InvalidRecord,
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partial => write!(f, "the batch is cut short"),
            Self::Length => write!(f, "the batch has an impossible length"),
            Self::Magic(magic) => write!(f, "record format {magic} is not accepted, only format 2"),
            Self::Crc => write!(f, "the CRC of the batch does not match"),
            Self::Codec(codec) => write!(f, "compression codec {codec} does not exist"),
            Self::RecordCount => {
                write!(
                    f,
                    "the record count does not fit the offsets or the size of the batch"
                )
            }
            Self::Producer => write!(f, "producer id, epoch and sequence do not fit together"),
            Self::Control => write!(f, "clients must not write control batches"),
            Self::Timestamp => write!(f, "the batch has an invalid timestamp or timestamp type"),
            Self::Several => write!(f, "a partition's records must be exactly one batch"),
            Self::Record => write!(f, "a record of the batch is malformed"),
        }
    }
}

impl std::error::Error for BatchError {}
