//! Reading whole batches: from memory at once, or as a plan that reads the file without the log's lock.

use std::path::PathBuf;
use std::sync::Arc;

use wire::Records;
use wire::batch::{BatchHeader, HEADER_LEN};

use super::Log;
use crate::Error;
use crate::disk::{self, File};
use crate::segment::find_from;
use crate::segment::index::{Floor, OffsetEntry};

/// Segments that a cold read looks into: compaction can leave some without a batch for the offset.
const SEGMENTS_MAX: usize = 8;

/// How to get the batches.
pub enum ReadPlan {
    /// They were in memory, or there are none.
    Ready(Records),
    /// They are on disk only.
    Cold(ColdRead),
}

impl ReadPlan {
    /// The batches, reading in place if need be: for tests and tools that may block.
    pub fn run(self) -> Result<Records, Error> {
        match self {
            ReadPlan::Ready(records) => Ok(records),
            ReadPlan::Cold(cold) => cold.run(),
        }
    }
}

/// A read of the disk, to be run where blocking is fine.
pub struct ColdRead {
    segments: Vec<View>,
    from: i64,
    below: i64,
    max_bytes: usize,
    at_least_one: bool,
}

/// A segment as it was when the plan was made. Its open file outlives its deletion.
struct View {
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    start: Floor<OffsetEntry>,
}

impl Log {
    /// The whole batches from the one that holds `from` on which end below `below`, up to `max_bytes`; the first even
    /// if it is bigger when `at_least_one`. `Error::OutOfRange` outside of [log start, log end].
    pub fn read(
        &self,
        from: i64,
        below: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<ReadPlan, Error> {
        if from < self.log_start || from > self.next_offset {
            return Err(self.out_of_range(from));
        }
        let below = below.min(self.next_offset);
        if from >= below {
            return Ok(ReadPlan::Ready(Records::default()));
        }
        if let Some(records) = self.cache.read(from, below, max_bytes, at_least_one) {
            return Ok(ReadPlan::Ready(records));
        }
        let first = self.segment_of(from);
        let mut segments = Vec::new();
        let filled = self.segments[first..]
            .iter()
            .filter(|segment| segment.size > 0);
        for segment in filled.take(SEGMENTS_MAX) {
            if segment.base_offset >= below {
                break;
            }
            segments.push(View {
                path: segment.path().to_path_buf(),
                file: segment.file(&*self.disk)?,
                size: segment.size,
                start: segment.start_of(&*self.disk, from)?,
            });
        }
        Ok(ReadPlan::Cold(ColdRead {
            segments,
            from,
            below,
            max_bytes,
            at_least_one,
        }))
    }
}

impl ColdRead {
    /// Blocks.
    pub fn run(self) -> Result<Records, Error> {
        let wanted = |header: &BatchHeader| header.last_offset() >= self.from;
        for view in self.segments {
            let start = view.start.find(self.from)?;
            let position = start.map_or(0, |entry| u64::from(entry.position));
            let found = find_from(&*view.file, &view.path, position, view.size, wanted)?;
            let Some((position, first)) = found else {
                continue;
            };
            let mut length = self.max_bytes;
            if first.last_offset() >= self.below {
                return Ok(Records::default());
            }
            if first.size_bytes() > length {
                if !self.at_least_one {
                    return Ok(Records::default());
                }
                length = first.size_bytes();
            }
            let length = length.min((view.size - position) as usize);
            let bytes = disk::read(&*view.file, position, length)
                .map_err(|e| Error::io("read", &view.path, e))?;
            let whole = whole_batches(&bytes, self.below);
            return Ok(Records::from(bytes.slice(..whole)));
        }
        Ok(Records::default())
    }
}

/// How many of the bytes are whole batches that end below `below`.
fn whole_batches(bytes: &[u8], below: i64) -> usize {
    let mut position = 0;
    while bytes.len() - position >= HEADER_LEN {
        match BatchHeader::parse(&bytes[position..]) {
            Ok(header)
                if header.last_offset() < below
                    && header.size_bytes() <= bytes.len() - position =>
            {
                position += header.size_bytes();
            }
            _ => break,
        }
    }
    position
}
