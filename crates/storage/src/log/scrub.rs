//! Reading closed segments again, slowly, to find what the disk has changed since they were written.

use std::path::PathBuf;
use std::sync::Arc;

use super::Log;
use crate::Error;
use crate::disk::File;
use crate::segment::walk::{Damage, Step, Walk};

/// One closed segment under scrutiny; runs without the log's lock, a part at a time.
pub struct Scrub {
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    base: i64,
    end: i64,
    generation: u64,
    epochs: Vec<(i32, i64)>,
    position: u64,
    next: i64,
    damage: Vec<Damage>,
}

impl Log {
    /// First offsets of the segments that are closed and durable: what a scrub reads.
    pub fn closed_segments(&self) -> Vec<i64> {
        let closed = 0..self.segments.len() - 1;
        closed
            .filter(|i| self.segment_end(*i) <= self.recovery_point)
            .map(|i| self.segments[i].base_offset)
            .collect()
    }

    /// Readies the reading of the closed segment that begins at `base`; `None` if there is none.
    pub fn scrub(&self, base: i64) -> Result<Option<Scrub>, Error> {
        let Some(i) = self.closed(base) else {
            return Ok(None);
        };
        let segment = &self.segments[i];
        Ok(Some(Scrub {
            path: segment.path().to_path_buf(),
            file: segment.file(&*self.disk)?,
            size: segment.size,
            base,
            end: self.segment_end(i),
            generation: self.flush.generation(),
            epochs: self.epochs.clone(),
            position: 0,
            next: base,
            damage: Vec::new(),
        }))
    }

    fn closed(&self, base: i64) -> Option<usize> {
        let i = self.segments.iter().position(|s| s.base_offset == base)?;
        (i + 1 < self.segments.len()).then_some(i)
    }

    /// Takes note of what a scrub has found, unless the segment has been replaced or cut meanwhile. Returns what was not
    /// known before.
    pub fn on_scrubbed(&mut self, scrub: &Scrub) -> Vec<Damage> {
        let same = self.closed(scrub.base).filter(|i| {
            self.segments[*i].size == scrub.size && self.flush.generation() == scrub.generation
        });
        let Some(i) = same else {
            return Vec::new();
        };
        let segment = &mut self.segments[i];
        let known = segment.damage.clone();
        segment.note_damage(scrub.damage.clone());
        let new = segment.damage.iter().filter(|d| !known.contains(d));
        new.cloned().collect()
    }

    /// The closed segment that holds `offset`, where a read has failed.
    pub fn closed_segment_of(&self, offset: i64) -> Option<i64> {
        let base = self.segments[self.segment_of(offset)].base_offset;
        self.closed(base).map(|_| base)
    }
}

impl Scrub {
    /// Reads on for about `bytes`; blocks. Returns how many were read, none when the end is reached.
    pub fn advance(&mut self, bytes: u64) -> Result<u64, Error> {
        let began = self.position;
        let walk = Walk::new(&*self.file, self.size, self.base, self.end);
        let mut walk = walk.from(self.position, self.next);
        while walk.position() - began < bytes {
            let step = walk.step().map_err(|e| Error::io("read", &self.path, e))?;
            match step {
                Step::Batch(position, header) => {
                    let epoch = header.partition_leader_epoch;
                    if let Some(wrong) = self.contradiction(header.base_offset, epoch) {
                        let damage = Damage::of_batch(position, &header, wrong);
                        self.damage.push(damage);
                    }
                }
                Step::Bad(bad) => self.damage.push(bad.damage(self.end)),
                Step::End => break,
            }
        }
        (self.position, self.next) = (walk.position(), walk.next());
        Ok(self.position - began)
    }

    /// No CRC covers the leader epoch, but the log remembers where each begins.
    fn contradiction(&self, offset: i64, epoch: i32) -> Option<String> {
        let at = self.epochs.partition_point(|(_, start)| *start <= offset);
        let (known, _) = self.epochs.get(at.checked_sub(1)?)?;
        (*known != epoch).then(|| format!("leader epoch {epoch} instead of {known}"))
    }

    /// Whether something is wrong.
    pub fn found_damage(&self) -> bool {
        !self.damage.is_empty()
    }
}
