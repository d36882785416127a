//! One partition's part of the sink: batches become objects, one conditional PUT each.
//!
//! An object's start offset is always the previous object's next offset. So two owners of a partition can only ever
//! compete for the same key, the conditional PUT lets one of them win, and the other goes on behind what the winner holds.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use flate2::write::GzEncoder;
use pipeline::{Batch, DeadLetters, Gap, Partition, Record, Rejection, Stages};
use telemetry::metrics::{Counter, Series};
use tokio::time::Instant;

use crate::connector::Compression;
use crate::json_line::{self, NotJson};
use crate::naming::Place;
use crate::object::{MAX_RANGES, ObjectMetadata, Source};
use crate::ranges::Ranges;
use crate::store::{self, Conflict, Objects, next_offset, put_then_look};

/// Where records go that are not JSON: acknowledged before it returns.
pub trait Letters: Send + Sync + 'static {
    fn send(
        &self,
        from: &Partition,
        refused: &[(&Record, Rejection)],
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Letters for DeadLetters {
    async fn send(&self, from: &Partition, refused: &[(&Record, Rejection)]) -> anyhow::Result<()> {
        DeadLetters::send(self, from, refused).await
    }
}

/// What the writers of all partitions share.
pub struct Shared<O, L> {
    pub objects: Arc<O>,
    pub letters: L,
    pub compression: Compression,
    pub objects_written: Series<Counter>,
    pub object_bytes: Series<Counter>,
}

pub struct Writer<O, L> {
    pub shared: Arc<Shared<O, L>>,
    pub partition: Partition,
    pub place: Place,
    pub source: Source,
    /// The next offset of the last object: where the next one starts.
    pub tip: i64,
    /// What retention took between the tip and the first record at hand.
    pub gap: Ranges,
    /// Below, what is not JSON has been dead-lettered by this writer.
    pub lettered: i64,
    pub stages: Stages,
}

/// Consecutive records made into lines.
struct Lines<'a> {
    body: Vec<u8>,
    count: usize,
    ranges: Ranges,
    refused: Vec<(&'a Record, Rejection)>,
    next: i64,
    rest: &'a [Record],
}

impl<O: Objects + 'static, L: Letters> pipeline::Writer for Writer<O, L> {
    async fn write(&mut self, batch: &Batch) -> Result<i64, pipeline::Error> {
        // A retry offers the whole batch again, though its first objects may be stored.
        let stored = batch
            .records
            .partition_point(|record| record.offset < self.tip);
        let mut rest = &batch.records[stored..];
        while !rest.is_empty() {
            let began = Instant::now();
            let lines = lines(rest);
            self.stages.decode.observe(began.elapsed());
            rest = lines.rest;
            let next = if rest.is_empty() {
                batch.next_offset
            } else {
                lines.next
            };
            self.send_letters(&lines, next).await?;
            // Records that were refused make no object by themselves: the next one starts before them.
            if lines.count == 0 {
                continue;
            }
            let stored_next = self.store(lines, next).await?;
            if stored_next != next {
                return Ok(stored_next);
            }
        }
        Ok(batch.next_offset)
    }

    async fn skip(&mut self, gap: Gap) -> Result<i64, pipeline::Error> {
        // Remembered in the metadata of the object that follows; until that is stored the gap is found again.
        self.gap.push_span(gap.from, gap.to - 1);
        Ok(gap.to)
    }
}

impl<O: Objects, L: Letters> Writer<O, L> {
    async fn send_letters(&mut self, lines: &Lines<'_>, next: i64) -> Result<(), pipeline::Error> {
        let known = lines
            .refused
            .partition_point(|(record, _)| record.offset < self.lettered);
        let send = self
            .shared
            .letters
            .send(&self.partition, &lines.refused[known..]);
        send.await.map_err(pipeline::Error::Retry)?;
        self.lettered = self.lettered.max(next);
        Ok(())
    }

    /// Puts the object at the tip and moves the tip behind the object that is there then.
    async fn store(&mut self, lines: Lines<'_>, next: i64) -> Result<i64, pipeline::Error> {
        let key = self.place.object(self.tip);
        let source = self.source.clone();
        let metadata = ObjectMetadata {
            source,
            next,
            count: lines.count,
            ranges: lines.ranges,
            gap: self.gap.clone(),
        };
        let began = Instant::now();
        let body = compress(lines.body, self.shared.compression)
            .await
            .map_err(pipeline::Error::Retry)?;
        self.stages.write.observe(began.elapsed());
        let began = Instant::now();
        let size = body.len() as u64;
        let found = put_then_look(&*self.shared.objects, &key, body, metadata.encode()).await;
        let found = found.map_err(|unclear| pipeline::Error::Retry(unclear.into()))?;
        let stored_next = next_offset(&key, self.tip, &found, &self.source).map_err(stop)?;
        if stored_next != next {
            tracing::info!(
                key,
                stored_next,
                next,
                "another owner of the partition has stored this object"
            );
        }
        // The object is what commits: whoever finds it knows where to go on.
        self.stages.commit.observe(began.elapsed());
        let topic = &[&*self.partition.topic];
        self.shared.objects_written.with(topic).inc();
        self.shared.object_bytes.with(topic).inc_by(size);
        self.tip = stored_next;
        self.gap = Ranges::default();
        Ok(stored_next)
    }
}

/// How a failed look-up is handled.
pub fn failed(error: store::Error) -> pipeline::Error {
    match error {
        store::Error::Unclear(unclear) => pipeline::Error::Retry(unclear.into()),
        store::Error::Conflict(conflict) => stop(conflict),
    }
}

fn stop(conflict: Conflict) -> pipeline::Error {
    pipeline::Error::Stop(conflict.into())
}

/// Makes lines of as many records as one object's metadata can describe.
fn lines(records: &[Record]) -> Lines<'_> {
    let mut lines = Lines {
        body: Vec::new(),
        count: 0,
        ranges: Ranges::default(),
        refused: Vec::new(),
        next: 0,
        rest: &[],
    };
    for (position, record) in records.iter().enumerate() {
        if lines.ranges.count() >= MAX_RANGES && !lines.ranges.ends_before(record.offset) {
            lines.rest = &records[position..];
            break;
        }
        lines.next = record.offset + 1;
        match json_line::append(&mut lines.body, record.value.as_deref()) {
            Ok(()) => {
                lines.ranges.push(record.offset);
                lines.count += 1;
            }
            Err(reason) => lines.refused.push((record, rejection(&reason))),
        }
    }
    lines
}

fn rejection(reason: &NotJson) -> Rejection {
    let class = match reason {
        NotJson::Tombstone => "Tombstone",
        NotJson::Utf8(_) => "InvalidUtf8",
        NotJson::Syntax(_) => "InvalidJson",
    };
    Rejection::unreadable(class, reason)
}

async fn compress(body: Vec<u8>, compression: Compression) -> anyhow::Result<Bytes> {
    let Compression::Gzip(level) = compression else {
        return Ok(Bytes::from(body));
    };
    let work = move || -> std::io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(&body)?;
        encoder.finish()
    };
    let packed = tokio::task::spawn_blocking(work)
        .await
        .context("the compression was interrupted")?;
    Ok(Bytes::from(packed.context("cannot compress")?))
}

#[cfg(test)]
mod tests;
