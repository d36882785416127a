//! Questions to the leader of a partition, each in the leader epoch that the client knows of.

use anyhow::{Context, Result, ensure};
use checker::Seen;
use checker::history::Place as At;
use wire::batch::{BatchError, Compression, split};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::{FetchRequest, ListOffsetsRequest};
use wire::{ErrorCode, Records, Str};

use super::{Session, now_us};

/// ListOffsets' word for the end of what is committed.
const LATEST: i64 = -1;
/// The most that one answer is to hold.
const MOST_BYTES: i32 = 256 << 10;

/// What one fetch has brought.
pub struct Read {
    pub sent_us: u64,
    pub leader_epoch: i32,
    pub next: i64,
    pub high_watermark: i64,
    pub log_start: i64,
    pub records: Vec<Seen>,
}

/// What begins at `from`.
pub async fn fetch(session: &mut Session, at: &At, from: i64) -> Result<Read> {
    let (leader, leader_epoch) = session.leader(&at.topic, at.partition, false).await?;
    let sent_us = now_us();
    let partition = FetchPartition {
        partition: at.partition,
        current_leader_epoch: leader_epoch,
        fetch_offset: from,
        partition_max_bytes: MOST_BYTES,
        ..FetchPartition::default()
    };
    let request = FetchRequest {
        max_wait_ms: 50,
        min_bytes: 1,
        max_bytes: MOST_BYTES,
        topics: vec![FetchTopic {
            topic: Str::copy_from(&at.topic),
            partitions: vec![partition],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let mut answer = session.call(leader, request, 12).await?;
    let topic = answer.responses.pop();
    let result = topic.and_then(|mut topic| topic.partitions.pop());
    let result = result.context("an answer without the partition")?;
    let error = ErrorCode::from_code(result.error_code);
    ensure!(
        error == Some(ErrorCode::None),
        "{at} from {from}: {error:?}"
    );
    let (next, records) = seen(result.records.unwrap_or_default(), from)?;
    Ok(Read {
        sent_us,
        leader_epoch,
        next,
        high_watermark: result.high_watermark,
        log_start: result.log_start_offset,
        records,
    })
}

/// Where what is committed ends: when it was asked, in which leader epoch, and the offset.
pub async fn latest(session: &mut Session, at: &At) -> Result<(u64, i32, i64)> {
    let (leader, leader_epoch) = session.leader(&at.topic, at.partition, false).await?;
    let sent_us = now_us();
    let partition = ListOffsetsPartition {
        partition_index: at.partition,
        current_leader_epoch: leader_epoch,
        timestamp: LATEST,
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: Str::copy_from(&at.topic),
            partitions: vec![partition],
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = session.call(leader, request, 7).await?;
    let topic = answer.topics.first();
    let result = topic.and_then(|topic| topic.partitions.first());
    let result = result.context("an answer without the partition")?;
    let error = ErrorCode::from_code(result.error_code);
    ensure!(error == Some(ErrorCode::None), "the end of {at}: {error:?}");
    Ok((sent_us, leader_epoch, result.offset))
}

/// Where the reader goes on, and what it was shown.
fn seen(records: Records, from: i64) -> Result<(i64, Vec<Seen>)> {
    let (mut next, mut seen) = (from, Vec::new());
    for batch in split(records.to_bytes()) {
        let batch = match batch {
            Ok(batch) => batch,
            // An answer may end within a batch.
            Err(BatchError::Partial) => break,
            Err(error) => return Err(error.into()),
        };
        batch.verify_crc()?;
        let compression = batch.header.compression();
        ensure!(
            compression == Compression::None,
            "the load compresses nothing"
        );
        for record in wire::record::iter(batch.payload(), batch.header.record_count) {
            let record = record?;
            let offset = batch.header.base_offset + i64::from(record.offset_delta);
            // A batch may begin before what was asked for.
            if offset >= from {
                let value = record.value.unwrap_or_default();
                let value = std::str::from_utf8(&value).ok();
                let record = value.and_then(|value| value.parse().ok());
                seen.push(Seen { offset, record });
            }
        }
        next = batch.header.next_offset().max(from);
    }
    Ok((next, seen))
}

#[cfg(test)]
mod tests {
    use checker::RecordId;
    use wire::record::BatchBuilder;

    use super::*;

    #[test]
    fn what_lies_before_the_question_and_what_is_cut_off_is_not_seen() -> Result<()> {
        let batch = |offset| {
            let mut builder = BatchBuilder::new(1).base_offset(offset);
            for n in [0, 1] {
                let value = format!("p7:{} x", offset + n);
                builder.append(None, Some(value.as_bytes()));
            }
            builder.build().bytes
        };
        let all = [batch(4), batch(6), batch(8).slice(..70)].concat();
        let (next, seen) = seen(Records::from(bytes::Bytes::from(all)), 5)?;
        let of = |n| Some(RecordId { producer: 7, n });
        let found: Vec<_> = seen.iter().map(|s| (s.offset, s.record)).collect();
        assert_eq!(found, [(5, of(5)), (6, of(6)), (7, of(7))]);
        assert_eq!(next, 8);
        Ok(())
    }
}
