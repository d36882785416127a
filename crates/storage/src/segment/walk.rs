//! Walks the batches of a segment that must be sound, and finds its way on behind those that are not.

use std::io;
use std::sync::Arc;

use wire::batch::{BatchError, BatchHeader, MAGIC};

use super::scan::{Found, Scanner};
use crate::disk::File;

/// Where a batch has its magic.
const MAGIC_AT: u64 = 16;
/// Bytes that are searched for the next batch at a time.
const SEARCH_BYTES: u64 = 64 << 10;

/// Offsets whose batches are on disk no longer as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first offset that cannot be read.
    pub from: i64,
    /// The first after it that can.
    pub to: i64,
    pub reason: String,
    /// Where in the segment's file.
    position: u64,
    end: u64,
}

impl Damage {
    /// What is missing from the file takes no room in it.
    pub(crate) fn begins_at(&self, position: u64) -> bool {
        self.position == position && self.end > position
    }

    /// Whether nothing of `other` is outside of this.
    pub(crate) fn covers(&self, other: &Damage) -> bool {
        self.from <= other.from && self.to >= other.to
    }

    /// The same, not beyond where the next segment begins.
    pub(crate) fn until(&self, to: i64) -> Damage {
        Damage {
            to: self.to.min(to),
            ..self.clone()
        }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// A batch that is whole, but not what was written.
    pub(crate) fn of_batch(position: u64, header: &BatchHeader, reason: String) -> Damage {
        Damage {
            from: header.base_offset,
            to: header.next_offset(),
            reason,
            position,
            end: position + header.size_bytes() as u64,
        }
    }

    /// From `from` to `to`, of which nothing is in the file, which ends at `size`.
    pub(crate) fn lost(from: i64, to: i64, size: u64) -> Damage {
        Damage {
            from,
            to,
            reason: "the end of the file is missing".to_string(),
            position: size,
            end: size,
        }
    }
}

/// What a walk comes across.
pub(crate) enum Step {
    Batch(u64, BatchHeader),
    Bad(Bad),
    End,
}

/// A place where the next batch is not.
pub(crate) struct Bad {
    pub position: u64,
    /// The offset that should be there.
    pub from: i64,
    pub reason: String,
    /// Where the next sound batch begins.
    next: Option<(u64, i64)>,
    /// Whether the file ends within a batch there, as an append leaves it that the end of the process has interrupted.
    pub is_torn: bool,
    size: u64,
}

impl Bad {
    /// The offsets that are not there; to `end` where no sound batch follows.
    pub fn damage(self, end: i64) -> Damage {
        let (position, to) = self.next.unwrap_or((self.size, end));
        Damage {
            from: self.from,
            to,
            reason: self.reason,
            position: self.position,
            end: position,
        }
    }
}

pub(crate) struct Walk<'a> {
    scanner: Scanner<'a>,
    size: u64,
    base: i64,
    /// No batch reaches it.
    limit: i64,
    /// Whether the CRC is checked, or only what headers say.
    is_thorough: bool,
    position: u64,
    next: i64,
    /// The leader epoch of the last batch.
    epoch: i32,
    /// The last batch and what was to be there, where only headers are looked at.
    last: Option<(u64, i64, BatchHeader)>,
    known: Arc<[Damage]>,
}

impl<'a> Walk<'a> {
    pub fn new(file: &'a dyn File, size: u64, base: i64, limit: i64) -> Walk<'a> {
        Walk {
            scanner: Scanner::sequential(file, size),
            size,
            base,
            limit,
            is_thorough: true,
            position: 0,
            next: base,
            epoch: i32::MIN,
            last: None,
            known: Arc::new([]),
        }
    }

    /// Looks at the headers only, past what is known to be damaged.
    pub fn headers(
        file: &'a dyn File,
        size: u64,
        base: i64,
        limit: i64,
        known: Arc<[Damage]>,
    ) -> Walk<'a> {
        Walk {
            is_thorough: false,
            known,
            ..Walk::new(file, size, base, limit)
        }
    }

    /// Goes on from a place that an earlier walk has come to.
    pub fn from(self, position: u64, next: i64) -> Walk<'a> {
        Walk {
            position,
            next,
            ..self
        }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// The offset after the last batch.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The next batch. Behind a bad place the walk goes on where the next sound batch is.
    pub fn step(&mut self) -> io::Result<Step> {
        if let Some(known) = self.known.iter().find(|d| d.begins_at(self.position)) {
            (self.position, self.next) = (known.end, known.to);
        }
        let at = self.position;
        if at >= self.size {
            return Ok(Step::End);
        }
        let reason = match self.judge(at, self.next)? {
            Ok(header) => {
                self.last = Some((at, self.next, header)).filter(|_| !self.is_thorough);
                self.position += header.size_bytes() as u64;
                self.next = header.next_offset();
                self.epoch = header.partition_leader_epoch;
                return Ok(Step::Batch(at, header));
            }
            Err(reason) => reason,
        };
        let (at, from) = self.culprit(at)?;
        let next = self.search(at, from)?;
        let ends_within = matches!(self.scanner.header(at)?, Found::Broken(BatchError::Partial));
        (self.position, self.next) = next.unwrap_or((self.size, from));
        self.last = None;
        Ok(Step::Bad(Bad {
            position: at,
            from,
            reason,
            next,
            // An interrupted append leaves the length that it wanted to have: nothing is missing where the CRC fits what is there.
            is_torn: ends_within && next.is_none() && !self.scanner.is_whole_but_for_length(at)?,
            size: self.size,
        }))
    }

    /// Where the bad place begins. If only headers are looked at, it may be the batch before that has told a wrong length.
    fn culprit(&mut self, at: u64) -> io::Result<(u64, i64)> {
        if let Some((before, from, header)) = self.last.take()
            && !self.scanner.crc_matches(before, &header)?
        {
            return Ok((before, from));
        }
        Ok((at, self.next))
    }

    /// The batch at a position, or why it cannot be the one after `next`.
    fn judge(&mut self, at: u64, next: i64) -> io::Result<Result<BatchHeader, String>> {
        let header = match self.scanner.header(at)? {
            Found::Batch(header) => header,
            Found::End => return Ok(Err("the file ends".to_string())),
            Found::Broken(why) => return Ok(Err(why.to_string())),
        };
        let (offset, last) = (header.base_offset, header.last_offset());
        let fits = offset >= next && last < self.limit && last - self.base <= i64::from(i32::MAX);
        if !fits {
            return Ok(Err(format!("offset {offset} after {next}")));
        }
        let epoch = header.partition_leader_epoch;
        if epoch < self.epoch {
            return Ok(Err(format!("leader epoch {epoch} after {}", self.epoch)));
        }
        if self.is_thorough && !self.scanner.crc_matches(at, &header)? {
            return Ok(Err("the CRC does not match".to_string()));
        }
        if (offset > next || epoch > self.epoch) && self.is_contradicted(at, &header, next)? {
            let reason = format!("offset {offset} of epoch {epoch} does not fit the batch behind");
            return Ok(Err(reason));
        }
        Ok(Ok(header))
    }

    /// No CRC covers a batch's offset and leader epoch. Where they leap, as compaction and elections make them, they are
    /// wrong if what is behind is sound and would fit without the leap only.
    fn is_contradicted(&mut self, at: u64, header: &BatchHeader, next: i64) -> io::Result<bool> {
        let at = at + header.size_bytes() as u64;
        let Found::Batch(other) = self.scanner.header(at)? else {
            return Ok(false);
        };
        let leaps =
            header.base_offset > next && (next..header.next_offset()).contains(&other.base_offset);
        let epochs = self.epoch..header.partition_leader_epoch;
        let climbs = !leaps && epochs.contains(&other.partition_leader_epoch) && {
            // Of two that differ either may be wrong: a third one tells.
            let third = self.scanner.header(at + other.size_bytes() as u64)?;
            matches!(third, Found::Batch(third) if epochs.contains(&third.partition_leader_epoch))
        };
        Ok((leaps || climbs) && self.scanner.crc_matches(at, &other)?)
    }

    /// The next sound batch behind a bad place: where the bad one says that it ends, else wherever one is found.
    fn search(&mut self, bad: u64, from: i64) -> io::Result<Option<(u64, i64)>> {
        // A file's name may be the last offset that there is: nothing is behind that.
        let Some(later) = from.checked_add(1) else {
            return Ok(None);
        };
        if let Found::Batch(header) = self.scanner.header(bad)? {
            let behind = bad + header.size_bytes() as u64;
            if let Ok(header) = self.judge(behind, later)? {
                return Ok(Some((behind, header.base_offset)));
            }
        }
        let mut at = bad + 1;
        while at + MAGIC_AT < self.size {
            let window = self.scanner.read(at + MAGIC_AT, SEARCH_BYTES)?;
            if window.is_empty() {
                break;
            }
            for (i, _) in window
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == MAGIC as u8)
            {
                if let Some(header) = self.sound_at(at + i as u64, later)? {
                    return Ok(Some((at + i as u64, header.base_offset)));
                }
            }
            at += window.len() as u64;
        }
        Ok(None)
    }

    /// A sound batch that another follows, or the end: a record's value may look like a batch too.
    fn sound_at(&mut self, at: u64, next: i64) -> io::Result<Option<BatchHeader>> {
        let Ok(header) = self.judge(at, next)? else {
            return Ok(None);
        };
        if !self.scanner.crc_matches(at, &header)? {
            return Ok(None);
        }
        let behind = at + header.size_bytes() as u64;
        let follows = behind == self.size || self.judge(behind, header.next_offset())?.is_ok();
        Ok(follows.then_some(header))
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;

    use wire::record::BatchBuilder;

    use super::*;
    use crate::disk::Disk;
    use crate::disk::memory::MemoryDisk;

    /// A file with batches of two records that begin at these offsets; its size, and where each begins.
    fn file(offsets: &[i64], change: impl Fn(&mut [u8], &[usize])) -> (Arc<dyn File>, Vec<u64>) {
        let (mut bytes, mut positions) = (Vec::new(), Vec::new());
        for offset in offsets {
            positions.push(bytes.len());
            let mut builder = BatchBuilder::new(0).base_offset(*offset).leader_epoch(0);
            for _ in 0..2 {
                builder.append(Some(b"key"), Some(b"value"));
            }
            bytes.extend_from_slice(&builder.build().stored_bytes());
        }
        positions.push(bytes.len());
        change(&mut bytes, &positions);
        let file = MemoryDisk::new().create(Path::new("/segment"));
        let file = file.expect("creates");
        file.append(&mut [IoSlice::new(&bytes)]).expect("writes");
        (file, positions.into_iter().map(|at| at as u64).collect())
    }

    /// The batches that a walk finds, and what it calls damaged up to offset 8.
    fn walked(walk: &mut Walk<'_>) -> (Vec<i64>, Vec<(i64, i64)>) {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        loop {
            match walk.step().expect("it can be read") {
                Step::Batch(_, header) => found.push(header.base_offset),
                Step::Bad(bad) => {
                    let damage = bad.damage(8);
                    damaged.push((damage.from, damage.to));
                }
                Step::End => return (found, damaged),
            }
        }
    }

    const LENGTH_AT: usize = 8;

    #[test]
    fn a_walk_of_headers_passes_over_what_is_known_to_be_damaged_and_over_nothing_else() {
        let (file, at) = file(&[0, 2, 4, 6], |_, _| {});
        let Found::Batch(header) = Scanner::sequential(&*file, at[4])
            .header(at[1])
            .expect("it can be read")
        else {
            panic!("it is a batch");
        };
        // What is missing altogether has no place in the file.
        let missing = Damage::lost(1, 2, at[1]);
        let known = [missing, Damage::of_batch(at[1], &header, String::new())];
        let mut walk = Walk::headers(&*file, at[4], 0, 8, Arc::new(known));
        assert_eq!(walked(&mut walk), (vec![0, 4, 6], vec![]));
        assert_eq!((walk.position(), walk.next()), (at[4], 8));
    }

    #[test]
    fn a_walk_of_headers_finds_the_batch_that_tells_a_wrong_length() {
        let (file, at) = file(&[0, 2, 4, 6], |bytes, at| {
            bytes[at[1] + LENGTH_AT + 3] ^= 4;
        });
        let mut walk = Walk::headers(&*file, at[4], 0, 8, Arc::new([]));
        // It was given before that could be seen.
        assert_eq!(walked(&mut walk), (vec![0, 2, 4, 6], vec![(2, 4)]));
        assert_eq!(
            walked(&mut Walk::new(&*file, at[4], 0, 8)),
            (vec![0, 4, 6], vec![(2, 4)])
        );
    }

    #[test]
    fn a_walk_of_headers_does_not_look_at_records() {
        let (file, at) = file(&[0, 2, 4, 6], |bytes, at| bytes[at[2] - 1] ^= 1);
        let mut walk = Walk::headers(&*file, at[4], 0, 8, Arc::new([]));
        assert_eq!(walked(&mut walk), (vec![0, 2, 4, 6], vec![]));
    }

    #[test]
    fn a_batch_that_is_none_is_damaged_and_not_the_one_before_it() {
        let (file, at) = file(&[0, 2, 4, 6], |bytes, at| {
            bytes[at[2] + MAGIC_AT as usize] ^= 1;
        });
        for mut walk in [
            Walk::headers(&*file, at[4], 0, 8, Arc::new([])),
            Walk::new(&*file, at[4], 0, 8),
        ] {
            assert_eq!(walked(&mut walk), (vec![0, 2, 6], vec![(4, 6)]));
        }
        // And so for who goes on there.
        let mut walk = Walk::new(&*file, at[4], 0, 8).from(at[2], 4);
        assert_eq!(walked(&mut walk), (vec![6], vec![(4, 6)]));
        assert_eq!(walk.position(), at[4]);
    }

    #[test]
    fn a_batch_is_none_that_the_one_before_or_the_segments_bounds_exclude() {
        let found = |offsets: &[i64], base, limit| {
            let (file, at) = file(offsets, |_, _| {});
            walked(&mut Walk::new(&*file, at[offsets.len()], base, limit)).0
        };
        assert_eq!(found(&[0, 2, 4, 6], 0, 8), [0, 2, 4, 6]);
        // The next segment begins within the last.
        assert_eq!(found(&[0, 2, 4, 6], 0, 7), [0, 2, 4]);
        assert_eq!(found(&[0, 2, 1], 0, 8), [0, 2]);
        // An index tells 31 bits of an offset, from the segment's first on.
        let base: i64 = 3 << 30;
        let reach = base + i64::from(i32::MAX);
        assert_eq!(found(&[base, reach - 1], base, i64::MAX), [base, reach - 1]);
        assert_eq!(found(&[base, reach], base, i64::MAX), [base]);
    }

    #[test]
    fn an_offset_or_epoch_that_leaps_is_wrong_if_what_is_behind_fits_without_the_leap_only() {
        const OFFSET_AT: usize = 7;
        const EPOCH_AT: usize = 15;
        let walked = |offsets: &[i64], changed: &[(usize, usize, u8)]| {
            let (file, at) = file(offsets, |bytes, at| {
                for (batch, byte, to) in changed {
                    bytes[at[*batch] + *byte] = *to;
                }
            });
            walked(&mut Walk::new(&*file, at[offsets.len()], 0, 8))
        };
        let all = [0, 2, 4, 6];
        let second = (vec![0, 4, 6], vec![(2, 4)]);
        assert_eq!(walked(&all, &[(1, OFFSET_AT, 3)]), second);
        assert_eq!(walked(&all, &[(1, EPOCH_AT, 5)]), second);
        // Of two that differ a third one tells which is wrong.
        let third = (vec![0, 2, 6], vec![(4, 6)]);
        let epochs = [(1, EPOCH_AT, 5), (3, EPOCH_AT, 5)];
        assert_eq!(walked(&all, &epochs), third);
        // Where nothing leaps, one that begins within the batch before it is wrong itself.
        let epochs = [1, 2, 3].map(|batch| (batch, EPOCH_AT, 1));
        let within = [&epochs[..], &[(2, OFFSET_AT, 3)]].concat();
        assert_eq!(walked(&all, &within), third);
        // Compaction leaves gaps, and elections change the epoch.
        assert_eq!(walked(&[0, 4, 6], &[]), (vec![0, 4, 6], vec![]));
        let epochs = [(2, EPOCH_AT, 1), (3, EPOCH_AT, 2)];
        assert_eq!(walked(&all, &epochs), (all.to_vec(), vec![]));
    }

    #[test]
    fn damage_covers_what_is_within_it() {
        let of = |from, to| Damage::lost(from, to, 0);
        for (from, to, is_covered) in [
            (2, 6, true),
            (3, 5, true),
            (1, 6, false),
            (2, 7, false),
            (1, 7, false),
        ] {
            assert_eq!(of(2, 6).covers(&of(from, to)), is_covered, "{from} {to}");
        }
    }
}
