//! The state of idempotent producers at an offset, and the `.snapshot` files that keep it: what a restart needs to go on
//! checking sequences without reading the whole log.
//!
//! The format is Kafka's (version 1), which tells the last batch of each producer. Nobody who repeats the one before that
//! could be told after a restart that it is in the log. So behind Kafka's entries there is for each of them how many records
//! are in the log one after the other; Kafka's own readers end before that.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut, Bytes};
use wire::batch::BatchHeader;

const VERSION: i16 = 1;
/// Whoever was heard of within this time is known, whatever the wall clock and the records' own time say: longer than a client
/// waits before it sends a batch again.
const KEPT_MS: u64 = 60 * 60 * 1000;
/// As many batches as an idempotent client may have in flight.
const RECENT_BATCHES: usize = 5;
/// Version and CRC.
const PREFIX_LEN: usize = 6;
const ENTRY_LEN: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
/// What stands behind the entries for each of them.
const WITHOUT_GAP_LEN: usize = 8;

/// What is known of one producer: its last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// -1 if no batch of this epoch is known.
    pub last_sequence: i32,
    /// -1 if no batch of this epoch is known.
    pub last_offset: i64,
    /// Offsets of the last batch minus 1.
    pub offset_delta: i32,
    /// Max timestamp of the last batch.
    pub timestamp: i64,
    /// Epoch of the transaction coordinator that wrote the last marker; -1 for none.
    pub coordinator_epoch: i32,
    /// Where the open transaction begins; -1 for none.
    pub current_txn_first_offset: i64,
    /// How many records, up to the last batch's end, are in the log one after the other.
    pub without_gap: u64,
}

impl ProducerEntry {
    /// Sequences wrap from the largest to 0.
    fn next_sequence(&self) -> i32 {
        self.last_sequence.checked_add(1).unwrap_or(0)
    }
}

/// All producers of a log, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerTable {
    entries: BTreeMap<i64, ProducerEntry>,
    /// The last batches of each producer that were applied here, oldest first: more than a snapshot keeps.
    recent: BTreeMap<i64, VecDeque<BatchHeader>>,
    /// When those were first looked at of whom nothing has been heard since, on a clock that does not jump.
    silent: BTreeMap<i64, u64>,
    /// From the first to behind the last offset that could not be read when the rest was: what was written there, and by
    /// whom, is not known.
    unread: Option<(i64, i64)>,
}

type Known = (ProducerEntry, VecDeque<BatchHeader>);

impl ProducerTable {
    pub fn from_entries(entries: Vec<ProducerEntry>) -> ProducerTable {
        let keyed = entries.into_iter().map(|entry| (entry.producer_id, entry));
        ProducerTable {
            entries: keyed.collect(),
            ..ProducerTable::default()
        }
    }

    pub fn unread(&self) -> Option<(i64, i64)> {
        self.unread
    }

    /// The offsets of these ranges could not be read.
    pub fn note_unread(&mut self, ranges: impl Iterator<Item = (i64, i64)>) {
        self.unread = ranges.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
    }

    /// Takes over what `before` knows of the batches that end before `end`, where that is more than was read.
    pub fn recall(&mut self, before: &ProducerTable, end: i64) {
        let mut all = before.unread.is_none();
        for id in before.entries.keys() {
            let Some((entry, recent)) = before.at(*id, end) else {
                all = false;
                continue;
            };
            let read = self.entries.get(id);
            if read.is_none_or(|read| read.last_offset < entry.last_offset) {
                self.entries.insert(*id, entry);
                self.recent.insert(*id, recent);
            }
        }
        if all {
            self.unread = None;
        }
    }

    /// What was known of a producer when the log ended at `end`, if that is remembered.
    fn at(&self, producer_id: i64, end: i64) -> Option<Known> {
        let entry = *self.entries.get(&producer_id)?;
        let recent = self.recent.get(&producer_id).cloned().unwrap_or_default();
        if entry.last_offset < end {
            return Some((entry, recent));
        }
        // What came before a marker is not remembered.
        let is_transactional = recent.iter().any(BatchHeader::is_transactional);
        if is_transactional || entry.coordinator_epoch >= 0 {
            return None;
        }
        let is_kept = |header: &BatchHeader| header.last_offset() < end;
        let (kept, cut): (VecDeque<_>, VecDeque<_>) = recent.into_iter().partition(is_kept);
        let last = *kept.back()?;
        let of = |header: &BatchHeader| u64::try_from(header.record_count).unwrap_or(0);
        // Where the gap itself is cut, what is remembered tells how much is without one before it.
        let mut remembered = 0;
        let mut first = None;
        for header in kept.iter().rev() {
            let next = header.last_sequence().checked_add(1).unwrap_or(0);
            if first.is_some_and(|first| first != next) {
                break;
            }
            remembered += of(header);
            first = Some(header.base_sequence);
        }
        let before_cut = entry.without_gap.saturating_sub(cut.iter().map(of).sum());
        let entry = ProducerEntry {
            last_sequence: last.last_sequence(),
            last_offset: last.last_offset(),
            offset_delta: last.last_offset_delta,
            timestamp: last.max_timestamp,
            without_gap: before_cut.max(remembered),
            ..entry
        };
        Some((entry, kept))
    }

    /// Nobody will ever read what was not read. Who may have written there last may go on with any sequence.
    pub fn give_up_unread(&mut self) {
        if let Some((_, to)) = self.unread.take() {
            self.entries.retain(|_, entry| entry.last_offset >= to);
            self.recent.retain(|id, _| self.entries.contains_key(id));
            self.silent.retain(|id, _| self.entries.contains_key(id));
        }
    }

    pub fn entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.entries.values()
    }

    /// Up to five batches of a producer's present epoch: as many as a client may repeat.
    pub fn recent(&self, producer_id: i64) -> impl Iterator<Item = &BatchHeader> {
        self.recent.get(&producer_id).into_iter().flatten()
    }

    fn remember(&mut self, header: &BatchHeader) {
        let recent = self.recent.entry(header.producer_id).or_default();
        if recent
            .back()
            .is_some_and(|last| last.producer_epoch != header.producer_epoch)
        {
            recent.clear();
        }
        if header.is_control() {
            return;
        }
        if recent.len() == RECENT_BATCHES {
            recent.pop_front();
        }
        recent.push_back(*header);
    }

    /// Takes a batch of the log into account, in offset order.
    pub fn apply(&mut self, header: &BatchHeader) {
        if !header.has_producer_id() {
            return;
        }
        let known = self.entries.get(&header.producer_id).copied();
        let mut entry = known.unwrap_or(ProducerEntry {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            last_sequence: -1,
            last_offset: -1,
            offset_delta: 0,
            timestamp: header.max_timestamp,
            coordinator_epoch: -1,
            current_txn_first_offset: -1,
            without_gap: 0,
        });
        if entry.producer_epoch != header.producer_epoch {
            (entry.last_sequence, entry.last_offset, entry.offset_delta) = (-1, -1, 0);
            entry.without_gap = 0;
        }
        if header.is_control() {
            entry.current_txn_first_offset = -1;
        } else {
            if header.base_sequence != entry.next_sequence() {
                entry.without_gap = 0;
            }
            entry.without_gap += u64::try_from(header.record_count).unwrap_or(0);
            entry.last_sequence = header.last_sequence();
            entry.last_offset = header.last_offset();
            entry.offset_delta = header.last_offset_delta;
            if header.is_transactional() && entry.current_txn_first_offset < 0 {
                entry.current_txn_first_offset = header.base_offset;
            }
        }
        entry.producer_epoch = header.producer_epoch;
        entry.timestamp = header.max_timestamp;
        self.entries.insert(header.producer_id, entry);
        self.silent.remove(&header.producer_id);
        self.remember(header);
    }

    /// A producer has sent something, whatever has become of it.
    pub fn heard_of(&mut self, producer_id: i64) {
        self.silent.remove(&producer_id);
    }

    /// Forgets producers that have been silent for too long and have no open transaction, and gives their ids. A wall clock
    /// may jump, and records may tell any time: forgotten is only who has been silent by `uptime_ms` as well, which does not
    /// jump and begins anew with each process.
    pub fn expire(&mut self, wall_ms: u64, uptime_ms: u64, expiration_ms: u64) -> Vec<i64> {
        let horizon = wall_ms.saturating_sub(expiration_ms) as i64;
        let mut gone = Vec::new();
        for (id, entry) in &self.entries {
            let since = *self.silent.entry(*id).or_insert(uptime_ms);
            // Where all clocks agree it need not be silent for as long once more after a restart.
            let patience_ms = match entry.timestamp < horizon {
                true => expiration_ms.min(KEPT_MS),
                false => expiration_ms,
            };
            if uptime_ms.saturating_sub(since) >= patience_ms && entry.current_txn_first_offset < 0
            {
                gone.push(*id);
            }
        }
        for id in &gone {
            self.entries.remove(id);
            self.recent.remove(id);
            self.silent.remove(id);
        }
        gone
    }
}

/// The content of a snapshot file.
pub(crate) fn encode<'a>(entries: impl Iterator<Item = &'a ProducerEntry>) -> Vec<u8> {
    let (mut body, mut behind) = (Vec::new(), Vec::new());
    let mut count = 0;
    body.put_i32(0);
    for e in entries {
        body.put_i64(e.producer_id);
        body.put_i16(e.producer_epoch);
        body.put_i32(e.last_sequence);
        body.put_i64(e.last_offset);
        body.put_i32(e.offset_delta);
        body.put_i64(e.timestamp);
        body.put_i32(e.coordinator_epoch);
        body.put_i64(e.current_txn_first_offset);
        behind.put_u64(e.without_gap);
        count += 1;
    }
    body[..4].copy_from_slice(&i32::to_be_bytes(count));
    body.extend_from_slice(&behind);
    let mut bytes = Vec::with_capacity(PREFIX_LEN + body.len());
    bytes.put_i16(VERSION);
    bytes.put_u32(crc32c::crc32c(&body));
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a snapshot; `None` if it is not a whole one.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Vec<ProducerEntry>> {
    if bytes.len() < PREFIX_LEN + 4 || bytes.get_i16() != VERSION {
        return None;
    }
    if bytes.get_u32() != crc32c::crc32c(&bytes) {
        return None;
    }
    let count = usize::try_from(bytes.get_i32()).ok()?;
    let entries_len = count.checked_mul(ENTRY_LEN)?;
    let behind_len = bytes.len().checked_sub(entries_len)?;
    if behind_len != 0 && behind_len != count.checked_mul(WITHOUT_GAP_LEN)? {
        return None;
    }
    let mut behind = bytes.split_off(entries_len);
    let entry = |_| {
        let mut entry = ProducerEntry {
            producer_id: bytes.get_i64(),
            producer_epoch: bytes.get_i16(),
            last_sequence: bytes.get_i32(),
            last_offset: bytes.get_i64(),
            offset_delta: bytes.get_i32(),
            timestamp: bytes.get_i64(),
            coordinator_epoch: bytes.get_i32(),
            current_txn_first_offset: bytes.get_i64(),
            without_gap: 0,
        };
        entry.without_gap = match behind.is_empty() {
            false => behind.get_u64(),
            true if entry.last_sequence < 0 => 0,
            true => u64::try_from(entry.offset_delta).unwrap_or(0) + 1,
        };
        entry
    };
    Some((0..count).map(entry).collect())
}

#[cfg(test)]
mod tests;
