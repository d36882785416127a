//! Reading whole batches: from memory at once, or as a plan that reads the file without the log's lock.

use bytes::Bytes;
use wire::Records;
use wire::batch::{Batch, BatchHeader, HEADER_LEN};

use super::Log;
use crate::segment::index::{Floor, OffsetEntry};
use crate::segment::view::View;
use crate::{Error, disk};

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
    segments: Vec<(View, Floor<OffsetEntry>)>,
    from: i64,
    below: i64,
    max_bytes: usize,
    at_least_one: bool,
}

impl Log {
    /// The whole batches from the one that holds `from` on which end below `below`, up to `max_bytes`; the first even
    /// if it is bigger when `at_least_one`. `Error::OutOfRange` outside of [log start, log end], `Error::Damaged` where
    /// the batch is known not to be what was written.
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
        let below = match self.damage_at_or_after(from) {
            Some((path, damage)) if damage.from <= from => {
                return Err(Error::Damaged {
                    path: path.to_path_buf(),
                    offset: from,
                    reason: damage.reason.clone(),
                });
            }
            Some((_, damage)) => below.min(damage.from),
            None => below,
        };
        let first = self.segment_of(from);
        let mut segments = Vec::new();
        let filled = self.segments[first..]
            .iter()
            .filter(|segment| segment.size > 0);
        for segment in filled.take(SEGMENTS_MAX) {
            if segment.base_offset >= below {
                break;
            }
            let start = segment.start_of(&*self.disk, from)?;
            let mut view = segment.view(&*self.disk)?;
            // What is damaged may claim to be below any offset.
            if let Some(damage) = segment.damage.iter().find(|d| d.from > from) {
                view.size = damage.position();
            }
            segments.push((view, start));
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
    /// Blocks. Every batch is held against its CRC: what the disk has changed is given to nobody.
    pub fn run(self) -> Result<Records, Error> {
        let wanted = |header: &BatchHeader| header.last_offset() >= self.from;
        for (view, start) in &self.segments {
            let start = start.find(self.from)?;
            let found = view
                .find(start, wanted)
                .map_err(|e| self.damaged(view, e))?;
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
            return match sound_batches(&bytes, self.below) {
                (0, Some(reason)) => Err(Error::Damaged {
                    path: view.path.clone(),
                    offset: self.from.max(first.base_offset),
                    reason,
                }),
                (whole, _) => Ok(Records::from(bytes.slice(..whole))),
            };
        }
        Ok(Records::default())
    }

    fn damaged(&self, view: &View, error: Error) -> Error {
        match error {
            Error::Corrupt { reason, .. } => Error::Damaged {
                path: view.path.clone(),
                offset: self.from,
                reason,
            },
            error => error,
        }
    }
}

/// How many of the bytes are whole batches that end below `below`, up to one that is not what was written, and why.
fn sound_batches(bytes: &Bytes, below: i64) -> (usize, Option<String>) {
    let (mut position, mut next) = (0, 0);
    while bytes.len() - position >= HEADER_LEN {
        let header = match BatchHeader::parse(&bytes[position..]) {
            Ok(header) => header,
            Err(why) => return (position, Some(why.to_string())),
        };
        let end = position + header.size_bytes();
        if header.last_offset() >= below || end > bytes.len() {
            break;
        }
        let batch = Batch {
            header,
            bytes: bytes.slice(position..end),
        };
        if let Err(why) = batch.verify_crc() {
            return (position, Some(why.to_string()));
        }
        if header.base_offset < next {
            let reason = format!("offset {} after {next}", header.base_offset);
            return (position, Some(reason));
        }
        (position, next) = (end, header.next_offset());
    }
    (position, None)
}
