//! One partition's log: segments in offset order, the last of them appended to. The owner holds it under a lock; what
//! takes long (cold reads, fsyncs, lookups by time) is handed out as a plan that runs without the lock.

mod append;
mod damage;
mod flush;
mod lookup;
mod open;
mod opening;
mod producers;
mod read;
mod repair;
mod retention;
mod scrub;
mod truncate;
mod truncation;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::batch::BatchHeader;

use crate::cache::LogCache;
use crate::config::LogConfig;
use crate::disk::Disk;
use crate::producers::{ProducerEntry, ProducerTable};
use crate::segment::Segment;
use crate::{Error, Poison, Space};

pub use flush::{FlushPlan, Flushed};
pub use lookup::{TimestampLookup, TimestampOffset};
pub use open::{BeforeCut, Cut, OpenState, Recovery};
pub use read::{ColdRead, ReadPlan};
pub use repair::{Repair, Repaired};
pub use retention::DeletedSegments;
pub use scrub::{Scrub, Scrubbed};

pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) poison: Poison,
    space: Space,
    cache: LogCache,
    /// Sorted by base offset, never empty.
    pub(crate) segments: Vec<Segment>,
    pub(crate) log_start: i64,
    next_offset: i64,
    /// Everything below is durable.
    pub(crate) recovery_point: i64,
    /// The largest recovery point that a checkpoint may hold; after a truncation it is beyond the real one.
    claimed_recovery_point: i64,
    truncation: truncation::Truncation,
    /// The lowest place where something was cut that has not been taken up yet.
    cut_to: Option<i64>,
    pub(crate) producers: ProducerTable,
    producers_reread: bool,
    /// (leader epoch, its first offset), both growing.
    epochs: Vec<(i32, i64)>,
    flush: flush::FlushState,
}

impl Log {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The first offset that can be read.
    pub fn log_start(&self) -> i64 {
        self.log_start
    }

    /// The log end offset: what the next record gets.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// All below is durable.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point
    }

    /// Offsets that are not durable yet: what `flush.messages` limits.
    pub fn unflushed_messages(&self) -> u64 {
        (self.next_offset - self.recovery_point).max(0) as u64
    }

    /// Bytes of all segments' batches.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.size).sum()
    }

    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// First offset of the segment that is appended to.
    pub fn active_base_offset(&self) -> i64 {
        self.active().base_offset
    }

    /// Leader epochs of the batches in the log, with the offset where each begins.
    pub fn epochs(&self) -> &[(i32, i64)] {
        &self.epochs
    }

    /// The producers that the batches in the log, and snapshots before, tell of.
    pub fn producers(&self) -> Vec<ProducerEntry> {
        self.producers.entries().copied().collect()
    }

    /// The last batches of a producer, oldest first, as far as they were appended or read since the log was opened.
    pub fn recent_batches(&self, producer_id: i64) -> impl Iterator<Item = &BatchHeader> {
        self.producers.recent(producer_id)
    }

    /// The flag that takes all logs of this directory out of service.
    pub fn poison(&self) -> &Poison {
        &self.poison
    }

    /// The log is deleted: from now on nothing is written, renamed or removed under its name, by plans that are under
    /// way neither. To be called before its directory is renamed.
    pub fn retire(&mut self) {
        self.poison.retire();
    }

    pub fn is_retired(&self) -> bool {
        self.poison.is_retired()
    }

    /// Where the log was cut since this was last asked, at its lowest, or may have been before it was opened: what somebody
    /// knows of the records from there on is not of those that are there now.
    pub fn take_cut(&mut self) -> Option<i64> {
        self.cut_to.take()
    }

    /// Grows with each cut: offsets may be of other records then.
    pub fn generation(&self) -> u64 {
        self.flush.generation()
    }

    fn note_cut(&mut self, offset: i64) {
        let lowest = self.cut_to.map_or(offset, |cut| cut.min(offset));
        self.cut_to = Some(lowest);
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect("a log always has a segment")
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments
            .last_mut()
            .expect("a log always has a segment")
    }

    /// The segment that holds `offset`, or the first one.
    fn segment_of(&self, offset: i64) -> usize {
        let after = self.segments.partition_point(|s| s.base_offset <= offset);
        after.saturating_sub(1)
    }

    fn out_of_range(&self, offset: i64) -> Error {
        Error::OutOfRange {
            offset,
            log_start: self.log_start,
            log_end: self.next_offset,
        }
    }
}
