//! Compaction: of each key only the newest record stays, and a tombstone goes once every consumer had time to see it.
//!
//! [`Log::clean_plan`] picks the segments, under the log's lock. [`CleanPlan::run`] reads them and writes their cleaned
//! version beside them, without it. [`Log::install_cleaned`] swaps the files.

mod clean;
mod install;
mod map;
mod rewrite;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::log::Log;
use crate::segment::Segment;
use crate::{Error, LogConfig, Poison};

/// How much of a log is not compacted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dirtiness {
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    /// Whether something waits for longer than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Dirtiness {
    /// The share of the cleanable bytes that is dirty.
    pub fn ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            total => self.dirty_bytes as f64 / total as f64,
        }
    }
}

/// Segments to be cleaned, as they were when the plan was made.
pub struct CleanPlan {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: LogConfig,
    poison: Poison,
    sources: Vec<Source>,
    /// Where the part begins that was not compacted before.
    first_dirty: i64,
    /// Where the log ended when the plan was made.
    log_end: i64,
    /// The log's, then.
    generation: u64,
    /// Last offset of each producer, whose batch is kept even when it is empty.
    producers: BTreeMap<i64, i64>,
    now_ms: u64,
}

struct Source {
    base_offset: i64,
    end_offset: i64,
    size: u64,
    path: PathBuf,
    file: Arc<dyn File>,
}

/// Cleaned segments, durable but not part of the log yet.
pub struct Cleaned {
    groups: Vec<Group>,
    generation: u64,
    /// The log is compacted up to here.
    pub cleaned_to: i64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// One segment in place of some.
struct Group {
    bases: Vec<i64>,
    segment: Segment,
}

impl Log {
    /// How dirty the log is from `first_dirty` (the cleaner's checkpoint) on, below the high watermark.
    pub fn dirtiness(
        &self,
        first_dirty: i64,
        high_watermark: i64,
        now_ms: u64,
    ) -> Result<Dirtiness, Error> {
        let mut dirtiness = Dirtiness::default();
        let limit = self.config.max_compaction_lag_ms.unwrap_or(u64::MAX);
        for i in 0..self.cleanable(high_watermark, now_ms)? {
            let segment = &self.segments[i];
            if self.segment_end(i) <= first_dirty {
                dirtiness.clean_bytes += segment.size;
                continue;
            }
            dirtiness.dirty_bytes += segment.size;
            let newest = segment
                .largest(&*self.disk)?
                .map_or(0, |largest| largest.timestamp);
            dirtiness.overdue |= now_ms.saturating_sub(newest.max(0) as u64) > limit;
        }
        Ok(dirtiness)
    }

    /// How many segments from the start may be cleaned: closed, durable, committed, and old enough.
    fn cleanable(&self, high_watermark: i64, now_ms: u64) -> Result<usize, Error> {
        let limit = high_watermark.min(self.recovery_point);
        let lag = self.config.min_compaction_lag_ms;
        for i in 0..self.segments.len() - 1 {
            let newest = self.segments[i]
                .largest(&*self.disk)?
                .map_or(0, |l| l.timestamp);
            let young = lag > 0 && now_ms.saturating_sub(newest.max(0) as u64) < lag;
            // What is damaged stays as it is, for who can still read some of it.
            let damaged = !self.segments[i].damage.is_empty();
            if self.segment_end(i) > limit || young || damaged {
                return Ok(i);
            }
        }
        Ok(self.segments.len() - 1)
    }

    /// Picks what can be cleaned from `first_dirty` on; `None` if that is nothing. The caller has flushed the log and
    /// checkpointed its recovery point: gaps are expected below that only.
    pub fn clean_plan(
        &self,
        first_dirty: i64,
        high_watermark: i64,
        now_ms: u64,
    ) -> Result<Option<CleanPlan>, Error> {
        self.poison.check()?;
        let first_dirty = first_dirty.max(self.log_start);
        let mut sources = Vec::new();
        for i in 0..self.cleanable(high_watermark, now_ms)? {
            let segment = &self.segments[i];
            sources.push(Source {
                base_offset: segment.base_offset,
                end_offset: self.segment_end(i),
                size: segment.size,
                path: segment.path().to_path_buf(),
                file: segment.file(&*self.disk)?,
            });
        }
        if sources
            .last()
            .is_none_or(|last| last.end_offset <= first_dirty)
        {
            return Ok(None);
        }
        let last = |e: &crate::ProducerEntry| (e.producer_id, e.last_offset);
        Ok(Some(CleanPlan {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            config: self.config.clone(),
            poison: self.poison.clone(),
            sources,
            first_dirty,
            log_end: self.next_offset(),
            generation: self.generation(),
            producers: self.producers.entries().map(last).collect(),
            now_ms,
        }))
    }
}
