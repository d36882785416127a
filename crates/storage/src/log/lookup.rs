//! Offsets by time, for ListOffsets. The indexes lead to one batch, and only that one is decoded.

use bytes::Bytes;
use wire::batch::{Batch, BatchHeader, TimestampType};
use wire::record;

use super::Log;
use crate::segment::index::{Floor, OffsetEntry, TimeEntry};
use crate::segment::view::View;
use crate::{Error, compression, disk};

/// A record's place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
    pub leader_epoch: i32,
}

/// A lookup that reads, to be run where blocking is fine.
pub struct TimestampLookup {
    segment: Option<Timed>,
    wanted: Wanted,
    log_start: i64,
    decompressed_bytes_max: usize,
}

#[derive(Clone, Copy)]
enum Wanted {
    /// The first record with this time or a later one.
    NotBefore(i64),
    /// The first record with this time, which is the largest, in the batch that ends at this offset.
    Largest(TimeEntry),
}

/// A segment and where to look in its indexes.
struct Timed {
    view: View,
    time: Floor<TimeEntry>,
    index: Floor<OffsetEntry>,
}

impl Log {
    /// Finds the first record with `timestamp` or later, in offset order.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<TimestampLookup, Error> {
        let mut segment = None;
        for (i, candidate) in self.segments.iter().enumerate() {
            let largest = candidate.largest(&*self.disk)?;
            let end = self.segment_end(i);
            if end > self.log_start && largest.is_some_and(|l| l.timestamp >= timestamp) {
                segment = Some(self.view(i, timestamp)?);
                break;
            }
        }
        Ok(self.lookup(segment, Wanted::NotBefore(timestamp)))
    }

    /// Finds the record with the largest timestamp (KIP-734).
    pub fn max_timestamp(&self) -> Result<TimestampLookup, Error> {
        let mut best: Option<(usize, TimeEntry)> = None;
        for (i, segment) in self.segments.iter().enumerate() {
            if let Some(largest) = segment.largest(&*self.disk)?
                && largest.offset >= self.log_start
                && best.is_none_or(|(_, best)| largest.timestamp > best.timestamp)
            {
                best = Some((i, largest));
            }
        }
        let Some((i, largest)) = best else {
            return Ok(self.lookup(None, Wanted::NotBefore(i64::MAX)));
        };
        let view = self.view(i, largest.timestamp)?;
        Ok(self.lookup(Some(view), Wanted::Largest(largest)))
    }

    fn view(&self, i: usize, timestamp: i64) -> Result<Timed, Error> {
        let (disk, segment) = (&*self.disk, &self.segments[i]);
        let time = segment.time_index.floor(disk, timestamp)?;
        let index = match &time {
            Floor::Known(entry) => segment.index.floor(disk, entry.offset)?,
            // The entry will be one of those in the file, so its neighbour in the other index is there too.
            _ => segment.index.floor_in_file(disk)?,
        };
        Ok(Timed {
            view: segment.view(disk)?,
            time,
            index,
        })
    }

    fn lookup(&self, segment: Option<Timed>, wanted: Wanted) -> TimestampLookup {
        TimestampLookup {
            segment,
            wanted,
            log_start: self.log_start,
            decompressed_bytes_max: self.config.decompressed_bytes_max,
        }
    }
}

impl TimestampLookup {
    /// Blocks. `None` if there is no such record.
    pub fn run(self) -> Result<Option<TimestampOffset>, Error> {
        let Some(timed) = self.segment else {
            return Ok(None);
        };
        let view = &timed.view;
        let (timestamp, ends_at) = match self.wanted {
            Wanted::NotBefore(timestamp) => (timestamp, None),
            Wanted::Largest(largest) => (largest.timestamp, Some(largest.offset)),
        };
        let start = timed.start(timestamp)?;
        let log_start = self.log_start;
        let wanted = |h: &BatchHeader| match ends_at {
            Some(offset) => h.last_offset() >= offset,
            None => h.max_timestamp >= timestamp && h.last_offset() >= log_start,
        };
        let found = view.find(start, wanted)?;
        let Some((position, header)) = found else {
            return Ok(None);
        };
        let bytes = disk::read(&*view.file, position, header.size_bytes())
            .map_err(|e| Error::io("read", &view.path, e))?;
        let record = first_record(
            &header,
            bytes,
            timestamp,
            log_start,
            self.decompressed_bytes_max,
        );
        // Nobody checked the records when they were produced. The batch's begin is early enough for whoever asks.
        Ok(Some(record.unwrap_or(TimestampOffset {
            timestamp: header.max_timestamp,
            offset: header.base_offset.max(log_start),
            leader_epoch: header.partition_leader_epoch,
        })))
    }
}

impl Timed {
    /// The index entry to look from on. Nothing with `timestamp` or later is before the batch that the time index names,
    /// if that batch has the time which the entry says.
    fn start(&self, timestamp: i64) -> Result<Option<OffsetEntry>, Error> {
        let Some(entry) = self.time.find(timestamp)? else {
            return Ok(None);
        };
        let start = self.index.find(entry.offset)?;
        let named = self.view.find(start, |h| h.last_offset() >= entry.offset)?;
        let confirmed = named.is_some_and(|(_, header)| {
            header.last_offset() == entry.offset && header.max_timestamp == entry.timestamp
        });
        if !confirmed {
            self.view.distrust();
        }
        Ok(start.filter(|_| confirmed))
    }
}

/// The batch's first record with `timestamp` or later, if its records can be decoded.
fn first_record(
    header: &BatchHeader,
    bytes: Bytes,
    timestamp: i64,
    log_start: i64,
    decompressed_bytes_max: usize,
) -> Option<TimestampOffset> {
    let found = |offset, timestamp| TimestampOffset {
        timestamp,
        offset,
        leader_epoch: header.partition_leader_epoch,
    };
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Some(found(
            header.base_offset.max(log_start),
            header.max_timestamp,
        ));
    }
    let batch = Batch::parse(bytes).ok()?;
    let payload = batch.payload();
    let payload =
        compression::decompress(header.compression(), &payload, decompressed_bytes_max).ok()?;
    for record in record::iter(payload, header.record_count) {
        let record = record.ok()?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        let time = header.base_timestamp.saturating_add(record.timestamp_delta);
        if time >= timestamp && offset >= log_start {
            return Some(found(offset, time));
        }
    }
    None
}
