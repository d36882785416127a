//! What the leader of a partition answers to a reader, in the leader epoch that the client knows of.

use anyhow::{Context, ensure};
use checker::Seen;
use checker::history::Place;
use wire::batch::{BatchError, Compression, split};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::{FetchRequest, ListOffsetsRequest};
use wire::{ErrorCode, Records, Str, Uuid};

use crate::{Network, Session};

/// The last version of Fetch that names topics by their name, and the first that names them by their id.
const FETCH_BY_NAME: i16 = 12;
const FETCH_BY_ID: i16 = 13;
/// The most that one answer is to hold.
const MOST_BYTES: i32 = 1 << 20;

/// ListOffsets' words for the end of what is committed, and for the log's start.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

/// What one fetch brought; nothing but the error where there is one.
pub struct Read {
    pub sent_us: u64,
    pub leader_epoch: i32,
    pub error: Option<ErrorCode>,
    pub next: i64,
    pub high_watermark: i64,
    pub log_start: i64,
    pub records: Vec<Seen>,
}

/// What ListOffsets told.
pub struct Listed {
    pub sent_us: u64,
    pub leader_epoch: i32,
    pub error: Option<ErrorCode>,
    pub offset: i64,
}

impl<N: Network> Session<N> {
    /// Asks for what begins at `from`, of the topic with this id if one is given, and waits so long for it where there is
    /// nothing yet. `now_us` is the clock of the history.
    pub async fn fetch(
        &mut self,
        at: &Place,
        id: Option<Uuid>,
        from: i64,
        max_wait_ms: i32,
        now_us: fn() -> u64,
    ) -> anyhow::Result<Read> {
        let (leader, leader_epoch) = self.leader(&at.topic, at.partition, false).await?;
        let sent_us = now_us();
        let partition = FetchPartition {
            partition: at.partition,
            current_leader_epoch: leader_epoch,
            fetch_offset: from,
            partition_max_bytes: MOST_BYTES,
            ..FetchPartition::default()
        };
        let request = FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: MOST_BYTES,
            topics: vec![FetchTopic {
                topic: Str::copy_from(&at.topic),
                topic_id: id.unwrap_or(Uuid::ZERO),
                partitions: vec![partition],
            }],
            ..FetchRequest::default()
        };
        let version = id.map_or(FETCH_BY_NAME, |_| FETCH_BY_ID);
        let mut answer = self.call(leader, request, version).await?;
        let topic = answer.responses.pop();
        let result = topic.and_then(|mut topic| topic.partitions.pop());
        let result = result.context("an answer without the partition")?;
        let (next, records) = seen(result.records.unwrap_or_default(), from)?;
        Ok(Read {
            sent_us,
            leader_epoch,
            error: failed(result.error_code),
            next,
            high_watermark: result.high_watermark,
            log_start: result.log_start_offset,
            records,
        })
    }

    /// Asks for the offset that this word stands for.
    pub async fn list(
        &mut self,
        at: &Place,
        word: i64,
        now_us: fn() -> u64,
    ) -> anyhow::Result<Listed> {
        let (leader, leader_epoch) = self.leader(&at.topic, at.partition, false).await?;
        let sent_us = now_us();
        let partition = ListOffsetsPartition {
            partition_index: at.partition,
            current_leader_epoch: leader_epoch,
            timestamp: word,
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: Str::copy_from(&at.topic),
                partitions: vec![partition],
            }],
            ..ListOffsetsRequest::default()
        };
        let answer = self.call(leader, request, 7).await?;
        let topic = answer.topics.first();
        let result = topic.and_then(|topic| topic.partitions.first());
        let result = result.context("an answer without the partition")?;
        Ok(Listed {
            sent_us,
            leader_epoch,
            error: failed(result.error_code),
            offset: result.offset,
        })
    }
}

fn failed(code: i16) -> Option<ErrorCode> {
    let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    Some(error).filter(|error| *error != ErrorCode::None)
}

/// Where the reader goes on, and what it was shown.
fn seen(records: Records, from: i64) -> anyhow::Result<(i64, Vec<Seen>)> {
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
            "no producer of a history compresses"
        );
        for record in wire::record::iter(batch.payload(), batch.header.record_count) {
            let record = record?;
            // Of compacted batches some records are gone.
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
    fn what_lies_before_the_question_and_what_is_cut_off_is_not_seen() -> anyhow::Result<()> {
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
