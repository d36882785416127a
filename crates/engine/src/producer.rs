//! Idempotent producers (KIP-98): which sequence each one may append next, and which batches are repetitions.
//!
//! The rules are Kafka's. A producer id that the log does not know may begin with any sequence, since its earlier
//! batches may have been forgotten (a new leader waits with that for what may be under way); after that, sequences have no
//! gap. The last five batches of each producer are remembered, as many as a client keeps in flight, so that a repeated one
//! is answered with its original offset.
//!
//! A batch may be repeated when it is not among those any more: the five are counted for each connection, and after a
//! change of the leader a Java client writes on to the new one while an answer of the old one is still awaited. Called out
//! of order, it would be sent again for ever, and nothing behind it would be sent. So its producer is told that it is in
//! the log, as far as that is known.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;
use wire::batch::BatchHeader;

use crate::ids::{Offset, ProducerId};

/// How many batches of a producer are remembered: a client's `max.in.flight.requests.per.connection` is at most this.
pub const REMEMBERED_BATCHES: usize = 5;

/// A sequence further back than this is taken for one that is to come: sequences wrap.
const FURTHEST_BACK: i64 = 1 << 30;

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("out of order sequence number for producer {producer}: got {got}, expected {expected}")]
    OutOfOrderSequence {
        producer: ProducerId,
        got: i32,
        expected: i32,
    },
    #[error("producer {producer} has epoch {current}, the batch has {got}")]
    InvalidEpoch {
        producer: ProducerId,
        got: i16,
        current: i16,
    },
}

/// One remembered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub first_sequence: i32,
    pub last_sequence: i32,
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub timestamp_ms: i64,
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub epoch: i16,
    /// Oldest first, at most [`REMEMBERED_BATCHES`].
    pub batches: VecDeque<Remembered>,
    /// How many records, up to the newest, are known to be in the log one after the other.
    pub without_gap: u64,
}

/// What to do with a batch that may be appended as far as its producer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Append,
    Duplicate(Remembered),
    /// It is in the log, before this offset.
    Known(Offset),
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
}

impl Producers {
    pub fn new(entries: impl IntoIterator<Item = (ProducerId, Producer)>) -> Producers {
        Producers {
            by_id: entries.into_iter().collect(),
        }
    }

    /// Judges a client's batch against what the log has of its producer.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, Error> {
        if !header.has_producer_id() {
            return Ok(Verdict::Append);
        }
        let id = ProducerId(header.producer_id);
        let Some(known) = self.by_id.get(&id) else {
            return Ok(Verdict::Append);
        };
        if header.producer_epoch < known.epoch {
            return Err(Error::InvalidEpoch {
                producer: id,
                got: header.producer_epoch,
                current: known.epoch,
            });
        }
        if let Some(original) = known.repeated(header) {
            return Ok(Verdict::Duplicate(original));
        }
        if let Some(offset) = known.in_log_before(header) {
            return Ok(Verdict::Known(offset));
        }
        let expected = if header.producer_epoch > known.epoch {
            0
        } else {
            known.next_sequence()
        };
        if header.base_sequence == expected {
            return Ok(Verdict::Append);
        }
        Err(Error::OutOfOrderSequence {
            producer: id,
            got: header.base_sequence,
            expected,
        })
    }

    /// Whether a batch is of a producer that the log does not know, and not its first.
    pub fn begins_late(&self, header: &BatchHeader) -> bool {
        header.has_producer_id()
            && header.base_sequence != 0
            && !self.by_id.contains_key(&ProducerId(header.producer_id))
    }

    /// Of a batch that skips sequences of its producer, where the last one is that the log has of it.
    pub fn skipped_since(&self, header: &BatchHeader) -> Option<Offset> {
        let known = self.by_id.get(&ProducerId(header.producer_id))?;
        let next = match header.producer_epoch.cmp(&known.epoch) {
            Ordering::Less => return None,
            Ordering::Equal => known.next_sequence(),
            Ordering::Greater => 0,
        };
        let last = known.batches.back()?;
        is_behind(header.base_sequence, next).then_some(last.last_offset)
    }

    /// Notes a batch that is in the log: appended by the leader, replicated, or read at recovery.
    pub fn on_appended(&mut self, header: &BatchHeader) {
        if !header.has_producer_id() {
            return;
        }
        let producer = self
            .by_id
            .entry(ProducerId(header.producer_id))
            .or_insert_with(|| Producer {
                epoch: header.producer_epoch,
                batches: VecDeque::new(),
                without_gap: 0,
            });
        producer.on_appended(header);
    }

    /// The log has forgotten a producer that was silent for too long (`producer.id.expiration.ms`).
    pub fn forget(&mut self, producer: ProducerId) {
        self.by_id.remove(&producer);
    }

    pub fn clear(&mut self) {
        self.by_id.clear();
    }
}

impl IntoIterator for Producers {
    type Item = (ProducerId, Producer);
    type IntoIter = std::collections::btree_map::IntoIter<ProducerId, Producer>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_id.into_iter()
    }
}

impl Producer {
    fn repeated(&self, header: &BatchHeader) -> Option<Remembered> {
        let same = |b: &&Remembered| {
            b.first_sequence == header.base_sequence && b.last_sequence == header.last_sequence()
        };
        if header.producer_epoch != self.epoch {
            return None;
        }
        self.batches.iter().find(same).copied()
    }

    /// Of a batch that ends before the oldest that is remembered, and is in the log: an offset behind it.
    fn in_log_before(&self, header: &BatchHeader) -> Option<Offset> {
        let oldest = self.batches.front()?;
        let next = self.next_sequence();
        let (first, remembered) = (
            distance(header.base_sequence, next),
            distance(oldest.first_sequence, next),
        );
        let count = i64::from(header.record_count);
        let is_known = header.producer_epoch == self.epoch
            && first >= remembered + count
            && first <= FURTHEST_BACK
            && u64::try_from(first).is_ok_and(|first| first <= self.without_gap);
        is_known.then_some(oldest.base_offset)
    }

    /// Sequences wrap from `i32::MAX` to 0.
    fn next_sequence(&self) -> i32 {
        self.batches
            .back()
            .map_or(0, |last| last.last_sequence.checked_add(1).unwrap_or(0))
    }

    fn on_appended(&mut self, header: &BatchHeader) {
        if header.producer_epoch != self.epoch {
            self.epoch = header.producer_epoch;
            self.batches.clear();
            self.without_gap = 0;
        }
        if header.is_control() {
            return;
        }
        if header.base_sequence != self.next_sequence() {
            self.without_gap = 0;
        }
        self.without_gap += u64::try_from(header.record_count).unwrap_or(0);
        if self.batches.len() == REMEMBERED_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(Remembered {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: Offset(header.base_offset),
            last_offset: Offset(header.last_offset()),
            timestamp_ms: header.max_timestamp,
        });
    }
}

/// Whether a sequence comes after another.
pub(crate) fn is_behind(sequence: i32, other: i32) -> bool {
    (1..FURTHEST_BACK).contains(&distance(other, sequence))
}

/// From one sequence forward to another; they wrap from `i32::MAX` to 0.
fn distance(from: i32, to: i32) -> i64 {
    (i64::from(to) - i64::from(from)).rem_euclid(1 << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: offset,
            batch_length: 100,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
            record_count: count,
        }
    }

    fn expects(got: i32, expected: i32) -> Result<Verdict, Error> {
        Err(Error::OutOfOrderSequence {
            producer: ProducerId(7),
            got,
            expected,
        })
    }

    #[test]
    fn a_gap_is_refused_and_a_repetition_answered_with_its_offset() {
        let mut known = Producers::default();
        for n in 0..7 {
            known.on_appended(&batch(0, n * 2, 2, 100 + i64::from(n) * 2));
        }
        assert_eq!(known.check(&batch(0, 14, 1, 0)), Ok(Verdict::Append));
        assert_eq!(known.check(&batch(0, 15, 1, 0)), expects(15, 14));
        let Ok(Verdict::Duplicate(original)) = known.check(&batch(0, 4, 2, 0)) else {
            panic!("the fifth last batch is remembered")
        };
        assert_eq!(original.base_offset, Offset(104));
        // Before those that are remembered, and in the log all the same.
        let known_before = Ok(Verdict::Known(Offset(104)));
        assert_eq!(known.check(&batch(0, 2, 2, 0)), known_before);
        assert_eq!(known.check(&batch(0, 0, 4, 0)), known_before);
        assert_eq!(known.check(&batch(0, 2, 3, 0)), expects(2, 14));
        assert_eq!(known.check(&batch(0, 4, 1, 0)), expects(4, 14));
    }

    #[test]
    fn what_may_never_have_come_is_not_called_known() {
        // A producer that the log does not know begins anywhere.
        let mut known = Producers::default();
        for n in 10..20 {
            known.on_appended(&batch(0, n, 1, i64::from(n)));
        }
        let known_before = Ok(Verdict::Known(Offset(15)));
        assert_eq!(known.check(&batch(0, 10, 1, 0)), known_before);
        assert_eq!(known.check(&batch(0, 9, 1, 0)), expects(9, 20));
        assert_eq!(known.check(&batch(0, 9, 2, 0)), expects(9, 20));
        // Only what lies behind a gap is known, as nothing is of an earlier epoch.
        known.on_appended(&batch(0, 30, 1, 20));
        assert_eq!(known.check(&batch(0, 12, 1, 0)), expects(12, 31));
        for n in 0..9 {
            known.on_appended(&batch(1, n, 1, 21 + i64::from(n)));
        }
        assert_eq!(known.check(&batch(1, 30, 1, 0)), expects(30, 9));
        assert_eq!(
            known.check(&batch(1, 3, 1, 0)),
            Ok(Verdict::Known(Offset(25)))
        );
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_shuts_the_old_one_out() {
        let mut known = Producers::default();
        known.on_appended(&batch(1, 0, 5, 0));
        assert_eq!(known.check(&batch(2, 3, 1, 0)), expects(3, 0));
        assert_eq!(known.check(&batch(2, 0, 1, 0)), Ok(Verdict::Append));
        known.on_appended(&batch(2, 0, 1, 5));
        assert_eq!(
            known.check(&batch(1, 5, 1, 0)),
            Err(Error::InvalidEpoch {
                producer: ProducerId(7),
                got: 1,
                current: 2
            })
        );
    }

    #[test]
    fn what_comes_in_its_turn_or_lies_behind_skips_nothing() {
        let mut known = Producers::default();
        assert_eq!(known.skipped_since(&batch(0, 3, 1, 0)), None);
        known.on_appended(&batch(1, 10, 5, 100));
        let since = |epoch, sequence| known.skipped_since(&batch(epoch, sequence, 1, 0));
        let last = Some(Offset(104));
        assert_eq!(since(1, 14), None);
        assert_eq!(since(1, 15), None);
        assert_eq!(since(1, 16), last);
        // Sequences wrap: what is as far ahead as behind is taken for an old one.
        assert_eq!(since(1, 15 + (1 << 30) - 1), last);
        assert_eq!(since(1, 15 + (1 << 30)), None);
        // A new epoch begins with 0, and nothing of an old one is awaited.
        assert_eq!(since(2, 0), None);
        assert_eq!(since(2, 1), last);
        assert_eq!(since(0, 16), None);
    }

    #[test]
    fn who_has_written_can_be_handed_over() {
        let mut known = Producers::default();
        known.on_appended(&batch(0, 0, 5, 0));
        let taken: Vec<_> = known.clone().into_iter().collect();
        assert_eq!(taken.len(), 1);
        assert_eq!(Producers::new(taken), known);
    }

    #[test]
    fn sequences_wrap() {
        let mut known = Producers::default();
        known.on_appended(&batch(0, i32::MAX - 1, 2, 0));
        assert_eq!(known.check(&batch(0, 0, 1, 0)), Ok(Verdict::Append));
        known.on_appended(&batch(0, 0, 1, 2));
        let mut wrapped = Producers::default();
        wrapped.on_appended(&batch(0, i32::MAX, 3, 0));
        assert_eq!(wrapped.check(&batch(0, 2, 1, 0)), Ok(Verdict::Append));
        for n in 2..9 {
            wrapped.on_appended(&batch(0, n, 1, i64::from(n)));
        }
        let before = Ok(Verdict::Known(Offset(4)));
        assert_eq!(wrapped.check(&batch(0, i32::MAX, 3, 0)), before);
    }
}
