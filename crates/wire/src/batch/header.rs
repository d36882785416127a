//! The header of a batch: parsing, writing, what its fields mean, and what a client may put into them.

use bytes::{Buf, BufMut};

use super::{BatchError, HEADER_LEN, LENGTH_PREFIX, MAGIC};

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;
/// Length, attributes, timestamp delta, offset delta, key length, value length, header count: a byte each.
const RECORD_LEN_MIN: usize = 7;
/// Where every record format keeps its magic.
const MAGIC_AT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
    /// A codec number (5 to 7) that does not exist.
    Unknown(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`. Checks only what every stored batch has: format 2, a length that
    /// holds a header, offsets that do not overflow.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::Magic(magic as i8));
        }
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Partial);
        }
        let mut b = bytes;
        let header = BatchHeader {
            base_offset: b.get_i64(),
            batch_length: b.get_i32(),
            partition_leader_epoch: b.get_i32(),
            magic: b.get_i8(),
            crc: b.get_u32(),
            attributes: b.get_i16(),
            last_offset_delta: b.get_i32(),
            base_timestamp: b.get_i64(),
            max_timestamp: b.get_i64(),
            producer_id: b.get_i64(),
            producer_epoch: b.get_i16(),
            base_sequence: b.get_i32(),
            record_count: b.get_i32(),
        };
        if header.batch_length < (HEADER_LEN - LENGTH_PREFIX) as i32 {
            return Err(BatchError::Length);
        }
        // next_offset must exist, so the last offset is below i64::MAX.
        let last = header
            .base_offset
            .checked_add(i64::from(header.last_offset_delta));
        if header.base_offset < 0
            || header.last_offset_delta < 0
            || last.is_none_or(|last| last == i64::MAX)
        {
            return Err(BatchError::RecordCount);
        }
        Ok(header)
    }

    /// Writes the header over the front of `bytes`, which must hold at least [`HEADER_LEN`] bytes.
    pub fn write(&self, mut bytes: &mut [u8]) {
        assert!(
            bytes.len() >= HEADER_LEN,
            "a header needs {HEADER_LEN} bytes"
        );
        bytes.put_i64(self.base_offset);
        bytes.put_i32(self.batch_length);
        bytes.put_i32(self.partition_leader_epoch);
        bytes.put_i8(self.magic);
        bytes.put_u32(self.crc);
        bytes.put_i16(self.attributes);
        bytes.put_i32(self.last_offset_delta);
        bytes.put_i64(self.base_timestamp);
        bytes.put_i64(self.max_timestamp);
        bytes.put_i64(self.producer_id);
        bytes.put_i16(self.producer_epoch);
        bytes.put_i32(self.base_sequence);
        bytes.put_i32(self.record_count);
    }

    /// What a leader checks before it takes a client's batch. Sizes against the topic's limit, and sequences against
    /// the producer's state, are checked where those are known.
    pub fn validate_from_client(&self) -> Result<(), BatchError> {
        if let Compression::Unknown(codec) = self.compression() {
            return Err(BatchError::Codec(codec));
        }
        if self.is_control() {
            return Err(BatchError::Control);
        }
        let spans_one_offset_each =
            self.last_offset_delta.checked_add(1) == Some(self.record_count);
        let room = (self.size_bytes() - HEADER_LEN) / RECORD_LEN_MIN;
        let has_room =
            self.compression() != Compression::None || self.record_count as usize <= room;
        if self.record_count <= 0 || !spans_one_offset_each || !has_room {
            return Err(BatchError::RecordCount);
        }
        if self.timestamp_type() == TimestampType::LogAppendTime || self.max_timestamp < -1 {
            return Err(BatchError::Timestamp);
        }
        self.validate_producer()
    }

    fn validate_producer(&self) -> Result<(), BatchError> {
        let sane = if self.has_producer_id() {
            self.producer_epoch >= 0 && self.base_sequence >= 0
        } else {
            self.producer_id == -1 && !self.is_transactional()
        };
        if sane {
            Ok(())
        } else {
            Err(BatchError::Producer)
        }
    }

    /// The whole batch, with its base offset and length fields.
    pub fn size_bytes(&self) -> usize {
        LENGTH_PREFIX + self.batch_length.max(0) as usize
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    pub fn compression(&self) -> Compression {
        match self.attributes & CODEC_MASK {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            other => Compression::Unknown(other as u8),
        }
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether `base_timestamp` is the time from which compaction may drop the batch's tombstones.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence of the last record, which wraps from `i32::MAX` to 0. -1 without a producer id.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last & i64::from(i32::MAX)) as i32
    }

    pub(super) fn with_log_append_time(&self, now_ms: i64) -> BatchHeader {
        BatchHeader {
            attributes: self.attributes | LOG_APPEND_TIME,
            max_timestamp: now_ms,
            ..*self
        }
    }
}

impl Compression {
    /// The bits of the attributes.
    pub const fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
            Self::Unknown(bits) => bits as i16 & CODEC_MASK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            batch_length: 49 + 70,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: 9,
            base_timestamp: 1,
            max_timestamp: 1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 10,
        }
    }

    fn refused(change: impl FnOnce(&mut BatchHeader)) -> Option<BatchError> {
        let mut h = header();
        change(&mut h);
        h.validate_from_client().err()
    }

    #[test]
    fn written_and_parsed() {
        let mut bytes = [0; HEADER_LEN];
        header().write(&mut bytes);
        assert_eq!(BatchHeader::parse(&bytes), Ok(header()));
        assert_eq!(BatchHeader::parse(&bytes[..60]), Err(BatchError::Partial));
        bytes[16] = 1;
        assert_eq!(BatchHeader::parse(&bytes[..20]), Err(BatchError::Magic(1)));
    }

    #[test]
    fn offsets_that_overflow_are_refused() {
        for (base_offset, last_offset_delta) in [(-1, 9), (0, -1), (i64::MAX - 9, 9), (i64::MAX, 1)]
        {
            let mut bytes = [0; HEADER_LEN];
            BatchHeader {
                base_offset,
                last_offset_delta,
                ..header()
            }
            .write(&mut bytes);
            assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::RecordCount));
        }
    }

    #[test]
    fn a_clients_batch_must_be_coherent() {
        assert_eq!(refused(|_| ()), None);
        assert_eq!(
            refused(|h| h.record_count = 9),
            Some(BatchError::RecordCount)
        );
        assert_eq!(
            refused(|h| h.batch_length -= 1),
            Some(BatchError::RecordCount)
        );
        assert_eq!(
            refused(|h| (h.record_count, h.last_offset_delta) = (0, -1)),
            Some(BatchError::RecordCount)
        );
        assert_eq!(
            refused(|h| (h.record_count, h.last_offset_delta) = (i32::MIN, i32::MAX)),
            Some(BatchError::RecordCount)
        );
        assert_eq!(refused(|h| h.attributes = 5), Some(BatchError::Codec(5)));
        assert_eq!(
            refused(|h| h.attributes = CONTROL),
            Some(BatchError::Control)
        );
        assert_eq!(
            refused(|h| h.attributes = LOG_APPEND_TIME),
            Some(BatchError::Timestamp)
        );
        assert_eq!(
            refused(|h| h.attributes = TRANSACTIONAL),
            Some(BatchError::Producer)
        );
        assert_eq!(refused(|h| h.producer_id = 7), Some(BatchError::Producer));
        assert_eq!(refused(|h| h.producer_id = -2), Some(BatchError::Producer));
        assert_eq!(
            refused(|h| (h.producer_id, h.producer_epoch, h.base_sequence) = (7, 0, 0)),
            None
        );
    }

    #[test]
    fn sequences_wrap_at_the_end_of_i32() {
        let h = BatchHeader {
            base_sequence: i32::MAX - 4,
            ..header()
        };
        assert_eq!(h.last_sequence(), 4);
        assert_eq!(
            BatchHeader {
                base_sequence: 0,
                ..header()
            }
            .last_sequence(),
            9
        );
        assert_eq!(header().last_sequence(), -1);
    }
}
