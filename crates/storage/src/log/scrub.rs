//! Reading segments again, slowly, to find what the disk has changed since they were written.

use std::path::PathBuf;
use std::sync::Arc;

use super::Log;
use crate::Error;
use crate::disk::File;
use crate::disk::salvage::Salvaged;
use crate::segment::walk::{Damage, Step, Walk};

/// One segment under scrutiny; runs without the log's lock, a part at a time.
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
    salvages: bool,
}

/// What a scrub says that was not known before.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// What is damaged.
    pub new: Vec<Damage>,
    /// What was taken for damaged, and is read as it was written.
    pub gone: Vec<Damage>,
}

impl Log {
    /// First offsets of the segments of which something is durable: what a scrub reads.
    pub fn durable_segments(&self) -> Vec<i64> {
        let bases = self.segments.iter().map(|s| s.base_offset);
        bases.filter(|base| *base < self.recovery_point).collect()
    }

    /// Readies the reading of the segment that begins at `base`, as far as it goes now; `None` if there is none.
    pub fn scrub(&self, base: i64) -> Result<Option<Scrub>, Error> {
        let Some(i) = self.segment_at(base) else {
            return Ok(None);
        };
        let segment = &self.segments[i];
        Ok(Some(Scrub {
            path: segment.path().to_path_buf(),
            file: segment.file(&*self.disk)?,
            size: segment.size,
            base,
            end: self.segment_end(i),
            generation: self.generation(),
            epochs: self.epochs.clone(),
            position: 0,
            next: base,
            damage: Vec::new(),
            salvages: false,
        }))
    }

    /// Which segment begins at `base`.
    pub(super) fn segment_at(&self, base: i64) -> Option<usize> {
        self.segments.iter().position(|s| s.base_offset == base)
    }

    /// Whether segment `i` still is the file that somebody has read without the lock, and has not been cut since.
    pub(super) fn is_same(&self, i: usize, file: &Arc<dyn File>, generation: u64) -> bool {
        let now = self.segments[i].file(&*self.disk);
        self.generation() == generation && now.is_ok_and(|now| Arc::ptr_eq(&now, file))
    }

    /// What a scrub has found is what is damaged of what it has read, unless the segment has been replaced or cut meanwhile:
    /// a disk that has given something wrong once may give it right again.
    pub fn on_scrubbed(&mut self, scrub: &Scrub) -> Scrubbed {
        let segment = self.segment_at(scrub.base);
        let same = segment.filter(|i| self.is_same(*i, &scrub.file, scrub.generation));
        let Some(i) = same else {
            return Scrubbed::default();
        };
        let segment = &mut self.segments[i];
        let known = segment.damage.clone();
        segment.replace_damage(&scrub.damage, scrub.size);
        let only = |these: &[Damage], those: &[Damage]| {
            let of_these = these.iter().filter(|d| !those.contains(d));
            of_these.cloned().collect()
        };
        let scrubbed = Scrubbed {
            new: only(&segment.damage, &known),
            gone: only(&known, &segment.damage),
        };
        // Or a read has failed when it was whole.
        if !scrubbed.gone.is_empty() || !self.is_damaged() {
            self.reread_producers();
        }
        scrubbed
    }

    /// Where the segment begins that holds `offset`, at which a read has failed.
    pub fn segment_base(&self, offset: i64) -> i64 {
        self.segments[self.segment_of(offset)].base_offset
    }
}

impl Scrub {
    /// Takes what the medium does not give for damaged; else a read of it fails.
    #[must_use]
    pub fn salvaging(self) -> Scrub {
        Scrub {
            salvages: true,
            ..self
        }
    }

    /// Reads on for about `bytes`; blocks. Returns how many were read, none when the end is reached.
    pub fn advance(&mut self, bytes: u64) -> Result<u64, Error> {
        let began = self.position;
        self.file.forget_cached(began, bytes);
        let salvaged = Salvaged(&*self.file);
        let file = match self.salvages {
            true => &salvaged,
            false => &*self.file,
        };
        let walk = Walk::new(file, self.size, self.base, self.end);
        let mut walk = walk.from(self.position, self.next);
        while walk.position() - began < bytes {
            let step = walk.step().map_err(|e| Error::io("read", &self.path, e))?;
            match step {
                Step::Batch(position, header) => {
                    let epoch = header.partition_leader_epoch;
                    if let Some(wrong) = contradiction(&self.epochs, header.base_offset, epoch) {
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
}

/// No CRC covers the leader epoch, but the log remembers where each begins.
pub(super) fn contradiction(epochs: &[(i32, i64)], offset: i64, epoch: i32) -> Option<String> {
    let at = epochs.partition_point(|(_, start)| *start <= offset);
    let (known, _) = epochs.get(at.checked_sub(1)?)?;
    (*known != epoch).then(|| format!("leader epoch {epoch} instead of {known}"))
}
