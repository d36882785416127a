//! Record batches and the records in them.

use bytes::Bytes;
use wire::batch::{Batch, Compression, HEADER_LEN, count_records, split};
use wire::record::BatchBuilder;
use wire::{Records, record};

use crate::memory;

const FLOOR: usize = 64 << 10;
/// A record with a header takes two bytes on the wire and a hundred in memory; batches are copied a few times.
const PER_BYTE: usize = 128;

/// A run of batches, as a Produce or a Fetch response carries it.
pub fn batches(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "batches", || {
        let all = Bytes::copy_from_slice(input);
        let mut counted = 0;
        let mut parts = split(all.clone());
        for batch in parts.by_ref() {
            let Ok(batch) = batch else { break };
            counted += u64::try_from(batch.header.record_count).unwrap_or(0);
            one(&batch);
        }
        assert!(parts.position() <= all.len());
        let chunk = usize::from(input.first().copied().unwrap_or_default()).max(1);
        let chunks: Vec<Bytes> = all.chunks(chunk).map(Bytes::copy_from_slice).collect();
        assert_eq!(count_records(&Records::from(chunks)), counted);
    });
}

fn one(batch: &Batch) {
    let header = &batch.header;
    assert_eq!(batch.bytes.len(), header.size_bytes());
    let valid = header.validate_from_client().is_ok() && batch.verify_crc().is_ok();
    if valid {
        assert_eq!(
            header.next_offset() - header.base_offset,
            i64::from(header.record_count)
        );
        assigned(batch);
    }
    let _ = (header.last_sequence(), header.timestamp_type());
    if header.compression() != Compression::None {
        return;
    }
    let read: Result<Vec<_>, _> = record::iter(batch.payload(), header.record_count).collect();
    if let (true, Ok(records)) = (valid, read) {
        rebuilt(header.base_timestamp, &records);
    }
}

/// What a leader does to a batch changes its offset, its epoch and its time, and nothing else.
fn assigned(batch: &Batch) {
    let given = batch.with_assigned(1 << 40, 7);
    let stored = Batch::parse(given.stored_bytes()).expect("a batch that was assigned is one");
    assert_eq!(stored.header, given.header);
    assert_eq!(stored.verify_crc(), Ok(()));
    assert_eq!(stored.payload(), batch.payload());
    let timed = batch.with_log_append_time(1_700_000_000_000);
    assert_eq!(timed.verify_crc(), Ok(()));
    assert_eq!(timed.bytes.len(), batch.bytes.len());
}

/// Records that were read can be written, and read back.
fn rebuilt(base_timestamp: i64, records: &[record::Record]) {
    let mut builder = BatchBuilder::new(base_timestamp);
    for one in records {
        let Some(timestamp) = base_timestamp.checked_add(one.timestamp_delta) else {
            return;
        };
        builder.append_at(
            timestamp,
            one.key.as_deref(),
            one.value.as_deref(),
            &one.headers,
        );
    }
    if builder.is_empty() {
        return;
    }
    let batch = builder.build();
    assert!(batch.bytes.len() > HEADER_LEN);
    let read = record::iter(batch.payload(), batch.header.record_count);
    let read: Vec<_> = read.map(|r| r.expect("it was just written")).collect();
    let content = |r: &record::Record| (r.key.clone(), r.value.clone(), r.headers.clone());
    assert!(read.iter().map(content).eq(records.iter().map(content)));
}
