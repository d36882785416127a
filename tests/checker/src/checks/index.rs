//! A history sorted by what its events are about.

use std::collections::BTreeMap;

use crate::history::{Event, Place, RecordId, Seen, What};

/// What is known of one record.
#[derive(Debug, Default)]
pub struct Written {
    /// The event that tells it; none for a phantom.
    pub sent: Option<usize>,
    pub acks: i16,
    pub idempotent: bool,
    pub acked: Option<usize>,
    pub acked_offset: Option<i64>,
    /// Its producer has given it up, whether or not it was written.
    pub refused: bool,
    pub refused_definitely: Option<usize>,
    pub key: Option<u64>,
}

/// The last full read of a partition.
#[derive(Debug)]
pub struct Final<'a> {
    pub event: usize,
    pub log_start: i64,
    pub end: i64,
    pub records: &'a [Seen],
}

impl Final<'_> {
    /// Where each record lies.
    pub fn offsets(&self) -> BTreeMap<RecordId, Vec<i64>> {
        let mut offsets = BTreeMap::<_, Vec<i64>>::new();
        for seen in self.records {
            if let Some(record) = seen.record {
                offsets.entry(record).or_default().push(seen.offset);
            }
        }
        offsets
    }

    /// What lies in `[from, next)`.
    pub fn between(&self, from: i64, next: i64) -> &[Seen] {
        let at = |offset| self.records.partition_point(|seen| seen.offset < offset);
        let (from, next) = (at(from), at(next));
        &self.records[from..next.max(from)]
    }
}

/// What is known of one partition.
#[derive(Debug, Default)]
pub struct Partition<'a> {
    pub written: BTreeMap<RecordId, Written>,
    pub last_read: Option<Final<'a>>,
    /// Reads of any kind: event, from, next, records.
    pub reads: Vec<(usize, i64, i64, &'a [Seen])>,
    /// Below it everything may be gone.
    pub start: i64,
    /// From an event on, what was sent longer ago may be gone as well.
    pub retention: Vec<(usize, u64)>,
    /// Its topic is gone.
    pub deleted: bool,
    /// Log starts that somebody was told before the end.
    pub starts: Vec<(usize, i64)>,
    /// Why committed records may be gone.
    pub may_lose: Option<&'a str>,
    /// Only the newest record of each key needs be there.
    pub compacted: bool,
}

/// A history by partition.
#[derive(Debug)]
pub struct Index<'a> {
    pub events: &'a [Event],
    pub partitions: BTreeMap<&'a Place, Partition<'a>>,
}

impl Partition<'_> {
    /// Whether compaction may have removed a record that was at `offset`, if that is known: a newer one of its key is
    /// there. Of a record whose key is not told nobody knows.
    pub fn is_superseded(&self, last: &Final<'_>, key: Option<u64>, offset: Option<i64>) -> bool {
        let is_newer = |seen: &&Seen| offset.is_none_or(|offset| seen.offset > offset);
        let key_of = |seen: &Seen| self.written.get(&seen.record?)?.key;
        let mut newer = last.records.iter().filter(is_newer);
        self.compacted && (key.is_none() || newer.any(|seen| key_of(seen) == key))
    }
}

impl<'a> Index<'a> {
    pub fn new(events: &'a [Event]) -> Index<'a> {
        let mut index = Index {
            events,
            partitions: BTreeMap::new(),
        };
        for (number, event) in events.iter().enumerate() {
            index.add(number, &event.what);
        }
        index
    }

    fn add(&mut self, number: usize, what: &'a What) {
        match what {
            What::Sent {
                at,
                record,
                acks,
                idempotent,
            } => {
                let written = self.written(at, *record);
                written.sent = Some(number);
                (written.acks, written.idempotent) = (*acks, *idempotent);
            }
            What::Acked { at, record, offset } => {
                let written = self.written(at, *record);
                written.acked = Some(number);
                written.acked_offset = *offset;
            }
            What::Refused {
                at,
                record,
                definite,
                ..
            } => {
                let written = self.written(at, *record);
                written.refused = true;
                if *definite {
                    written.refused_definitely = Some(number);
                }
            }
            What::Keyed { at, record, key } => self.written(at, *record).key = Some(*key),
            What::Fetched {
                at,
                from,
                next,
                records,
                log_start,
                ..
            } => {
                let read = (number, *from, *next, records.as_slice());
                let partition = self.partition(at);
                partition.reads.push(read);
                partition.starts.push((number, *log_start));
            }
            What::Polled {
                at,
                from,
                next,
                records,
                ..
            } => {
                let read = (number, *from, *next, records.as_slice());
                self.partition(at).reads.push(read);
            }
            What::FinalRead {
                at,
                log_start,
                end,
                records,
            } => {
                self.partition(at).last_read = Some(Final {
                    event: number,
                    log_start: *log_start,
                    end: *end,
                    records,
                });
            }
            What::Start { at, log_start } => {
                let partition = self.partition(at);
                partition.start = partition.start.max(*log_start);
            }
            What::Earliest { at, offset } => self.partition(at).starts.push((number, *offset)),
            What::Retention { at, keeps_us } => {
                self.partition(at).retention.push((number, *keeps_us));
            }
            What::Deleted { at } => self.partition(at).deleted = true,
            What::Compacted { at } => self.partition(at).compacted = true,
            What::MayLose { at, why } => self.partition(at).may_lose = Some(why),
            _ => {}
        }
    }

    /// Where somebody may go on who finds that what comes next is gone, at most.
    pub fn start(&self, at: &Place) -> i64 {
        let Some(partition) = self.partitions.get(at) else {
            return 0;
        };
        let told = partition.starts.iter().map(|(_, start)| *start).max();
        let told = told.filter(|_| !partition.retention.is_empty());
        partition.start.max(told.unwrap_or(0))
    }

    /// Whether retention may have taken a record by the time of an event.
    pub fn is_aged(&self, partition: &Partition<'_>, written: &Written, event: usize) -> bool {
        let so_far = partition.retention.iter().filter(|(from, _)| *from < event);
        let keeps_us = so_far.map(|(_, keeps_us)| *keeps_us).min();
        let (Some(keeps_us), Some(sent)) = (keeps_us, written.sent) else {
            return false;
        };
        self.events[event].at_us > self.events[sent].at_us.saturating_add(keeps_us)
    }

    fn partition(&mut self, at: &'a Place) -> &mut Partition<'a> {
        self.partitions.entry(at).or_default()
    }

    fn written(&mut self, at: &'a Place, record: RecordId) -> &mut Written {
        self.partition(at).written.entry(record).or_default()
    }
}
