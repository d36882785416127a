//! Invariant 6: who reads only what is committed is shown all of that and nothing else.
//!
//! - Aborted read: a reader of committed records was shown one whose transaction was aborted, or whose commit nobody had
//!   asked for when the answer came.
//! - Torn transaction: a reader of committed records went on behind a record that the last full read has, of a transaction
//!   that was committed, without being shown it. A transaction whose end is not known was committed if any reader was
//!   shown any of its records: all of it or nothing.
//! - Missed read: the same, of a record without a transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use crate::history::{Place, RecordId, Seen, What};
use crate::report::{Anomaly, Kind};

#[derive(Default)]
struct Transactions<'a> {
    of: BTreeMap<(&'a Place, RecordId), u64>,
    /// When its commit was asked for.
    committing: BTreeMap<u64, usize>,
    committed: BTreeSet<u64>,
    aborted: BTreeMap<u64, usize>,
}

struct Read<'a> {
    event: usize,
    at: &'a Place,
    from: i64,
    next: i64,
    records: &'a [Seen],
}

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut known = Transactions::default();
    let mut reads = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        match &event.what {
            What::InTransaction {
                at,
                record,
                transaction,
            } => {
                known.of.insert((at, *record), *transaction);
            }
            What::EndingTransaction {
                transaction,
                commit: true,
            } => {
                known.committing.entry(*transaction).or_insert(number);
            }
            What::TransactionEnded {
                transaction,
                commit: true,
            } => {
                known.committed.insert(*transaction);
            }
            What::TransactionEnded {
                transaction,
                commit: false,
            } => {
                known.aborted.insert(*transaction, number);
            }
            What::FetchedCommitted {
                at,
                from,
                next,
                records,
                ..
            } => reads.push(Read {
                event: number,
                at,
                from: *from,
                next: *next,
                records,
            }),
            _ => {}
        }
    }
    let mut found: Vec<Anomaly> = reads.iter().flat_map(|read| known.aborted(read)).collect();
    for read in &reads {
        let shown = read.records.iter().filter_map(|seen| seen.record);
        let of = shown.filter_map(|record| known.of.get(&(read.at, record)));
        known.committed.extend(of.copied().collect::<Vec<_>>());
    }
    found.extend(reads.iter().flat_map(|read| known.torn(index, read)));
    found
}

impl Transactions<'_> {
    fn aborted(&self, read: &Read<'_>) -> Vec<Anomaly> {
        let mut found = Vec::new();
        for seen in read.records {
            let Some(record) = seen.record else { continue };
            let Some(transaction) = self.of.get(&(read.at, record)) else {
                continue;
            };
            let aborted = self.aborted.get(transaction).copied();
            let asked = self.committing.get(transaction).copied();
            if aborted.is_none() && asked.is_some_and(|asked| asked < read.event) {
                continue;
            }
            let fate = if aborted.is_some() { "aborted" } else { "open" };
            let mut events: Vec<_> = aborted.into_iter().chain([read.event]).collect();
            events.sort_unstable();
            found.push(Anomaly {
                kind: Kind::AbortedRead,
                at: Some(read.at.clone()),
                what: format!("{record} of transaction {transaction}, which is {fate}, was shown"),
                events,
            });
        }
        found
    }

    fn torn(&self, index: &Index<'_>, read: &Read<'_>) -> Option<Anomaly> {
        let partition = index.partitions.get(read.at)?;
        let last = partition.last_read.as_ref()?;
        if partition.may_lose.is_some() || partition.compacted {
            return None;
        }
        let from = read.from.max(last.log_start).max(partition.start);
        let shown: BTreeSet<i64> = read.records.iter().map(|seen| seen.offset).collect();
        for seen in last.between(from, read.next) {
            let Some(record) = seen.record else { continue };
            let transaction = self.of.get(&(read.at, record));
            if shown.contains(&seen.offset)
                || transaction
                    .is_some_and(|of| !self.committed.contains(of) || self.aborted.contains_key(of))
            {
                continue;
            }
            let (kind, of) = match transaction {
                Some(of) => (
                    Kind::TornTransaction,
                    format!(" of committed transaction {of}"),
                ),
                None => (Kind::MissedRead, String::new()),
            };
            let mut events = vec![read.event, last.event];
            events.sort_unstable();
            return Some(Anomaly {
                kind,
                at: Some(read.at.clone()),
                what: format!("{record} at {}{of} was passed over", seen.offset),
                events,
            });
        }
        None
    }
}
