//! Cutting a stream of records into batches by count, bytes and time.

use std::time::Duration;

use tokio::time::Instant;

use crate::Record;

/// When a batch is full.
#[derive(Clone, Debug)]
pub struct BatchLimits {
    /// Of those that count: see [`super::Sink::counts`].
    pub max_records: usize,
    /// Keys, values and headers together; one record may exceed it alone.
    pub max_bytes: usize,
    /// Counted from the batch's first record.
    pub max_wait: Duration,
}

impl Default for BatchLimits {
    fn default() -> BatchLimits {
        BatchLimits {
            max_records: 1_000,
            max_bytes: 4 << 20,
            max_wait: Duration::from_millis(500),
        }
    }
}

/// Consecutive records of one partition, and the positions before and after them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The position that the batch begins at. The first record's offset may be larger, where compaction, a transaction
    /// marker or retention left a hole.
    pub begin: i64,
    /// Never empty, in offset order.
    pub records: Vec<Record>,
    /// The position when all of it is stored.
    pub next_offset: i64,
}

impl Batch {
    /// About how much memory the records take.
    pub(crate) fn size_bytes(&self) -> usize {
        self.records.iter().map(Record::size_bytes).sum()
    }

    /// Drops the records below `position`, which are stored already. `None` when nothing is left.
    pub(crate) fn from(mut self, position: i64) -> Option<Batch> {
        self.records.retain(|record| record.offset >= position);
        self.begin = self.begin.max(position);
        (!self.records.is_empty()).then_some(self)
    }
}

/// A batch in the making.
#[derive(Debug)]
pub(crate) struct Cutter {
    limits: BatchLimits,
    position: i64,
    records: Vec<Record>,
    /// How many of the records count towards the limit.
    counted: usize,
    bytes: usize,
    due: Option<Instant>,
    /// When the first record of the batch at hand, or of the one that was cut last, came.
    began: Instant,
}

impl Cutter {
    pub(crate) fn new(limits: BatchLimits, position: i64) -> Cutter {
        Cutter {
            limits,
            position,
            records: Vec::new(),
            counted: 0,
            bytes: 0,
            due: None,
            began: Instant::now(),
        }
    }

    /// Adds the next record; one that lies before the position is stored already and is dropped. `counts` says whether it
    /// fills the batch by one.
    pub(crate) fn push(&mut self, record: Record, counts: bool, now: Instant) {
        if record.offset < self.position + self.covered() {
            return;
        }
        self.bytes += record.size_bytes();
        self.counted += usize::from(counts);
        if self.due.is_none() {
            self.began = now;
        }
        self.due.get_or_insert(now + self.limits.max_wait);
        self.records.push(record);
    }

    /// How many offsets from the position on the records at hand cover.
    fn covered(&self) -> i64 {
        self.records
            .last()
            .map_or(0, |record| record.offset + 1 - self.position)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.counted >= self.limits.max_records || self.bytes >= self.limits.max_bytes
    }

    /// About how much memory the records at hand take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the batch must be cut even though it is not full; `None` while it is empty.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// When the first record of the batch at hand, or of the one that was cut last, came.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// What has been gathered; `None` when that is nothing.
    pub(crate) fn cut(&mut self) -> Option<Batch> {
        let next_offset = self.records.last()?.offset + 1;
        let batch = Batch {
            begin: self.position,
            records: std::mem::take(&mut self.records),
            next_offset,
        };
        (self.position, self.counted, self.bytes, self.due) = (next_offset, 0, 0, None);
        Some(batch)
    }

    /// The position moved on by itself: another owner has stored what lies before.
    pub(crate) fn advance(&mut self, position: i64) {
        self.position = self.position.max(position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, value_bytes: usize) -> Record {
        let value = Some(vec![b'x'; value_bytes].into());
        Record {
            offset,
            timestamp_ms: None,
            key: None,
            value,
            headers: Vec::new(),
        }
    }

    fn limits(max_records: usize, max_bytes: usize) -> BatchLimits {
        BatchLimits {
            max_records,
            max_bytes,
            max_wait: Duration::from_secs(1),
        }
    }

    #[test]
    fn batches_join_without_holes_even_where_offsets_are_missing() {
        let now = Instant::now();
        let mut cutter = Cutter::new(limits(2, usize::MAX), 10);
        cutter.push(record(12, 1), true, now);
        assert_eq!(
            (cutter.is_full(), cutter.due()),
            (false, Some(now + Duration::from_secs(1)))
        );
        cutter.push(record(15, 1), true, now);
        assert!(cutter.is_full());
        let first = cutter.cut().expect("two records");
        assert_eq!((first.begin, first.next_offset), (10, 16));
        assert!(cutter.cut().is_none() && cutter.due().is_none());

        cutter.push(record(16, 1), true, now);
        assert_eq!(
            cutter.cut().map(|batch| (batch.begin, batch.next_offset)),
            Some((16, 17))
        );
    }

    #[test]
    fn what_does_not_count_rides_along() {
        let now = Instant::now();
        let mut cutter = Cutter::new(limits(2, 1_000_000), 0);
        cutter.push(record(0, 1), true, now);
        (1..100).for_each(|offset| cutter.push(record(offset, 1), false, now));
        assert!(!cutter.is_full());
        cutter.push(record(100, 1), true, now);
        assert!(cutter.is_full());
        let batch = cutter.cut().expect("records");
        assert_eq!((batch.records.len(), batch.next_offset), (101, 101));
        cutter.push(record(101, 1), true, now);
        assert!(!cutter.is_full());
        cutter.push(record(102, 1_000_000), false, now);
        assert!(cutter.is_full());
    }

    #[test]
    fn bytes_fill_a_batch_and_one_large_record_is_a_batch() {
        let mut cutter = Cutter::new(limits(100, 1_000), 0);
        cutter.push(record(0, 10), true, Instant::now());
        assert!(!cutter.is_full());
        cutter.push(record(1, 5_000), true, Instant::now());
        assert!(cutter.is_full());
    }

    #[test]
    fn what_is_stored_already_is_not_stored_again() {
        let mut cutter = Cutter::new(limits(100, usize::MAX), 5);
        for offset in [3, 4, 5, 5, 6] {
            cutter.push(record(offset, 1), true, Instant::now());
        }
        let batch = cutter.cut().expect("records");
        assert_eq!(
            batch
                .records
                .iter()
                .map(|record| record.offset)
                .collect::<Vec<_>>(),
            [5, 6]
        );

        let rest = batch.from(6).expect("one is left");
        assert_eq!(
            (rest.begin, rest.records.len(), rest.next_offset),
            (6, 1, 7)
        );
        assert!(rest.from(7).is_none());

        cutter.advance(9);
        cutter.push(record(8, 1), true, Instant::now());
        assert!(cutter.cut().is_none());
    }
}
