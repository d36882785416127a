//! Takes records out of a batch. What stays keeps its offset, its bytes and its codec.

use bytes::{BufMut, Bytes, BytesMut};
use wire::batch::{Batch, BatchHeader, HEADER_LEN, LENGTH_PREFIX, TimestampType};
use wire::{Reader, Writer};

use crate::compression;

/// Says that the base timestamp is the time from which tombstones may go (KIP-534).
const DELETE_HORIZON: i16 = 0x40;
const CRC_FROM: usize = 21;

/// A record of which only what compaction needs is decoded.
pub(super) struct RawRecord {
    /// All of it, with its length.
    span: Bytes,
    timestamp_delta: i64,
    /// What follows the timestamp delta.
    after_timestamp: Bytes,
    pub offset_delta: i32,
    pub key: Option<Bytes>,
    pub is_tombstone: bool,
}

/// The records of a batch; `None` if they cannot be decoded.
pub(super) fn records(batch: &Batch, limit_bytes: usize) -> Option<Vec<RawRecord>> {
    let payload = batch.payload();
    let payload =
        compression::decompress(batch.header.compression(), &payload, limit_bytes).ok()?;
    let count = usize::try_from(batch.header.record_count).ok()?;
    let mut reader = Reader::new(payload);
    let mut records = Vec::with_capacity(count.min(reader.remaining()));
    for _ in 0..count {
        records.push(record(&mut reader)?);
    }
    (reader.remaining() == 0).then_some(records)
}

fn record(reader: &mut Reader) -> Option<RawRecord> {
    let from = reader.rest().clone();
    let length = usize::try_from(reader.varint().ok()?).ok()?;
    let mut body = Reader::new(reader.take(length).ok()?);
    let span = from.slice(..from.len() - reader.remaining());
    body.i8().ok()?;
    let timestamp_delta = body.varlong().ok()?;
    let after_timestamp = body.rest().clone();
    let offset_delta = body.varint().ok()?;
    let key = match body.varint().ok()? {
        -1 => None,
        length => Some(body.take(usize::try_from(length).ok()?).ok()?),
    };
    let is_tombstone = body.varint().ok()? == -1;
    Some(RawRecord {
        span,
        timestamp_delta,
        after_timestamp,
        offset_delta,
        key,
        is_tombstone,
    })
}

/// The batch with only these of its records, and with a delete horizon if one is given. `None` if it cannot be built.
pub(super) fn rebuild(
    batch: &Batch,
    records: &[RawRecord],
    delete_horizon_ms: Option<i64>,
) -> Option<Batch> {
    let old = batch.header;
    let mut header = old;
    let mut payload = BytesMut::new();
    if let Some(horizon) = delete_horizon_ms {
        header.attributes |= DELETE_HORIZON;
        header.base_timestamp = horizon;
    }
    let shift = old.base_timestamp.checked_sub(header.base_timestamp)?;
    for record in records {
        if shift == 0 {
            payload.put_slice(&record.span);
        } else {
            put_shifted(
                &mut payload,
                record,
                record.timestamp_delta.checked_add(shift)?,
            );
        }
    }
    if old.timestamp_type() == TimestampType::CreateTime {
        let times = records
            .iter()
            .map(|r| old.base_timestamp.saturating_add(r.timestamp_delta));
        header.max_timestamp = times.max().unwrap_or(old.max_timestamp);
    }
    header.record_count = i32::try_from(records.len()).ok()?;
    let payload = compression::compress(old.compression(), &payload).ok()?;
    Some(assemble(header, &payload))
}

/// The batch without any record: it keeps the sequence of its producer.
pub(super) fn emptied(batch: &Batch) -> Batch {
    let mut header = batch.header;
    header.record_count = 0;
    // An empty payload is not compressed.
    header.attributes &= !0x07;
    assemble(header, &[])
}

fn assemble(mut header: BatchHeader, payload: &[u8]) -> Batch {
    let mut bytes = BytesMut::zeroed(HEADER_LEN);
    bytes.put_slice(payload);
    header.batch_length = (bytes.len() - LENGTH_PREFIX) as i32;
    header.write(&mut bytes);
    header.crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    header.write(&mut bytes);
    Batch {
        header,
        bytes: bytes.freeze(),
    }
}

fn put_shifted(payload: &mut BytesMut, record: &RawRecord, timestamp_delta: i64) {
    let mut head = Writer::new();
    // Record attributes are unused and always 0.
    head.i8(0);
    head.varlong(timestamp_delta);
    let head = head.finish_contiguous();
    let mut length = Writer::new();
    length.varint((head.len() + record.after_timestamp.len()) as i32);
    payload.put_slice(&length.finish_contiguous());
    payload.put_slice(&head);
    payload.put_slice(&record.after_timestamp);
}
