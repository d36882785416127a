//! The records inside a batch: an iterator over an uncompressed payload, and a builder of uncompressed batches.

use bytes::{BufMut, Bytes, BytesMut};

use crate::batch::{Batch, BatchError, BatchHeader, HEADER_LEN, LENGTH_PREFIX, MAGIC};
use crate::{Reader, Writer};

/// Fewest bytes of a header: key length and value length.
const HEADER_LEN_MIN: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset_delta: i32,
    pub timestamp_delta: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// Iterates over `count` records of an uncompressed (or decompressed) payload; fields share its memory. Ends after
/// the first error; fewer or more bytes than the records have are an error too.
pub fn iter(payload: Bytes, count: i32) -> Iter {
    Iter {
        reader: Reader::new(payload),
        left: count,
    }
}

#[derive(Debug)]
pub struct Iter {
    reader: Reader,
    left: i32,
}

impl Iterator for Iter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let surplus = self.left == 0 && self.reader.remaining() > 0;
            self.left = -1;
            return surplus.then_some(Err(BatchError::Record));
        }
        self.left -= 1;
        let record = self.record();
        if record.is_none() {
            self.left = -1;
        }
        Some(record.ok_or(BatchError::Record))
    }
}

impl Iter {
    fn record(&mut self) -> Option<Record> {
        let length = usize::try_from(self.reader.varint().ok()?).ok()?;
        let mut r = Reader::new(self.reader.take(length).ok()?);
        let _attributes = r.i8().ok()?;
        let timestamp_delta = r.varlong().ok()?;
        let offset_delta = r.varint().ok()?;
        let key = nullable(&mut r)?;
        let value = nullable(&mut r)?;
        let count = usize::try_from(r.varint().ok()?).ok()?;
        if count > r.remaining() / HEADER_LEN_MIN {
            return None;
        }
        let mut headers = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            headers.push(Header {
                key: nullable(&mut r)??,
                value: nullable(&mut r)?,
            });
        }
        (r.remaining() == 0).then_some(Record {
            offset_delta,
            timestamp_delta,
            key,
            value,
            headers,
        })
    }
}

/// `Some(None)` is null; `None` is malformed.
fn nullable(r: &mut Reader) -> Option<Option<Bytes>> {
    match r.varint().ok()? {
        -1 => Some(None),
        length => Some(Some(r.take(usize::try_from(length).ok()?).ok()?)),
    }
}

/// Builds one uncompressed batch, as the coordinators write them. Offsets begin at 0 until the leader assigns them.
#[derive(Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    payload: BytesMut,
}

impl BatchBuilder {
    /// An empty batch whose first record has the time `base_timestamp_ms`.
    pub fn new(base_timestamp_ms: i64) -> BatchBuilder {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: base_timestamp_ms,
            max_timestamp: base_timestamp_ms,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        BatchBuilder {
            header,
            payload: BytesMut::new(),
        }
    }

    /// Marks the batch as an idempotent producer's.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        (
            self.header.producer_id,
            self.header.producer_epoch,
            self.header.base_sequence,
        ) = (id, epoch, base_sequence);
        self
    }

    pub fn base_offset(mut self, offset: i64) -> BatchBuilder {
        self.header.base_offset = offset;
        self
    }

    pub fn leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.header.partition_leader_epoch = epoch;
        self
    }

    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Bytes of the batch so far.
    pub fn size_bytes(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// Appends a record at the batch's base timestamp.
    pub fn append(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> &mut BatchBuilder {
        self.append_at(self.header.base_timestamp, key, value, &[])
    }

    /// Appends a record with a timestamp and headers.
    pub fn append_at(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> &mut BatchBuilder {
        let mut w = Writer::new();
        w.i8(0);
        w.varlong(timestamp_ms - self.header.base_timestamp);
        w.varint(self.header.record_count);
        put_nullable(&mut w, key);
        put_nullable(&mut w, value);
        w.varint(headers.len() as i32);
        for header in headers {
            put_nullable(&mut w, Some(&header.key));
            put_nullable(&mut w, header.value.as_deref());
        }
        let mut length = Writer::new();
        length.varint(w.len() as i32);
        length
            .finish()
            .iter()
            .chain(w.finish().iter())
            .for_each(|chunk| self.payload.put_slice(chunk));
        self.header.record_count += 1;
        self.header.last_offset_delta += 1;
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp_ms);
        self
    }

    /// The batch with its length and CRC. It must have at least one record.
    pub fn build(self) -> Batch {
        self.build_as(0, &self.payload)
    }

    /// The batch with a payload that `compress` made of the records, and that codec's attribute bits.
    pub fn build_compressed(
        self,
        codec: crate::batch::Compression,
        compress: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Batch {
        self.build_as(codec.bits(), &compress(&self.payload))
    }

    fn build_as(&self, attributes: i16, payload: &[u8]) -> Batch {
        assert!(!self.is_empty(), "a batch has at least one record");
        let mut bytes = BytesMut::zeroed(HEADER_LEN);
        bytes.put_slice(payload);
        let batch_length = (bytes.len() - LENGTH_PREFIX) as i32;
        let mut header = BatchHeader {
            batch_length,
            attributes,
            ..self.header
        };
        header.write(&mut bytes);
        header.crc = crc32c::crc32c(&bytes[21..]);
        header.write(&mut bytes);
        Batch {
            header,
            bytes: bytes.freeze(),
        }
    }
}

fn put_nullable(w: &mut Writer, bytes: Option<&[u8]>) {
    match bytes {
        None => w.varint(-1),
        Some(bytes) => {
            w.varint(bytes.len() as i32);
            w.raw(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::split;

    fn built(records: i32) -> Batch {
        let mut builder = BatchBuilder::new(1_000);
        for i in 0..records {
            let header = Header {
                key: Bytes::from_static(b"h"),
                value: None,
            };
            builder.append_at(1_000 + i64::from(i), Some(b"key"), None, &[header]);
        }
        builder.build()
    }

    #[test]
    fn what_is_built_is_valid_and_reads_back() {
        let batch = built(3);
        assert_eq!(batch.header.validate_from_client(), Ok(()));
        assert_eq!(batch.verify_crc(), Ok(()));
        let records: Result<Vec<_>, _> = iter(batch.payload(), batch.header.record_count).collect();
        let records = records.unwrap();
        assert_eq!(
            records.iter().map(|r| r.offset_delta).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!(records[2].timestamp_delta, 2);
        assert_eq!(
            (records[1].key.as_deref(), &records[1].value),
            (Some(&b"key"[..]), &None)
        );
        assert_eq!(
            records[0].headers,
            [Header {
                key: Bytes::from_static(b"h"),
                value: None
            }]
        );
    }

    #[test]
    fn assigned_offsets_keep_the_crc() {
        let batch = built(2).with_assigned(41, 7);
        let stored = Batch::parse(batch.stored_bytes()).unwrap();
        assert_eq!(
            (
                stored.header.base_offset,
                stored.header.partition_leader_epoch
            ),
            (41, 7)
        );
        assert_eq!(stored.verify_crc(), Ok(()));
        assert_eq!(batch.stored_chunks().concat(), stored.bytes);
        let stamped = stored.with_log_append_time(5);
        assert_eq!(stamped.verify_crc(), Ok(()));
        assert_eq!(stamped.header.max_timestamp, 5);
        assert_eq!(Batch::parse(stamped.bytes.clone()), Ok(stamped));
    }

    #[test]
    fn batches_are_split_and_a_torn_one_is_seen() {
        let mut bytes = BytesMut::from(&built(1).bytes[..]);
        bytes.extend_from_slice(&built(2).bytes);
        let whole = bytes.clone().freeze();
        assert_eq!(
            split(whole.clone())
                .map(|b| b.unwrap().header.record_count)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        let torn: Vec<_> = split(whole.slice(..whole.len() - 1)).collect();
        assert_eq!(torn.len(), 2);
        assert_eq!(torn[1], Err(BatchError::Partial));
    }

    #[test]
    fn a_wrong_count_is_an_error_not_a_panic() {
        let payload = built(2).payload();
        assert!(iter(payload.clone(), 3).any(|r| r.is_err()));
        assert!(iter(payload.clone(), 1).any(|r| r.is_err()));
        assert!(iter(payload.slice(1..), 2).any(|r| r.is_err()));
    }
}
