//! The checks: one module for each kind of promise, over one pass that sorts the history by what it is about.

mod agreement;
mod commits;
mod index;
mod latest;
mod leaders;
mod members;
mod metadata;
mod polls;
mod reads;
mod sequences;
mod stale;
mod starts;
mod transactions;
mod writes;

use crate::history::{Event, What};
use crate::report::{Counts, Report};
use index::Index;

/// Looks through a history for everything that should not have happened.
pub fn check(events: &[Event]) -> Report {
    let index = Index::new(events);
    let mut anomalies = Vec::new();
    for look in [
        writes::look,
        sequences::look,
        reads::look,
        stale::look,
        starts::look,
        transactions::look,
        latest::look,
        polls::look,
        members::look,
        commits::look,
        leaders::look,
        metadata::look,
        agreement::look,
    ] {
        anomalies.extend(look(&index));
    }
    anomalies.sort_by_key(|anomaly| anomaly.events.last().copied());
    let counts = counts(events);
    Report { anomalies, counts }
}

fn counts(events: &[Event]) -> Counts {
    let mut counts = Counts::default();
    for event in events {
        match &event.what {
            What::Sent { .. } => counts.sent += 1,
            What::Acked { .. } => counts.acked += 1,
            What::Refused { .. } => counts.refused += 1,
            What::Fetched { records, .. } => {
                counts.fetched += 1;
                counts.read += records.len() as u64;
            }
            What::Latest { .. } => counts.latest += 1,
            What::FinalRead { records, .. } => counts.read += records.len() as u64,
            What::Polled { records, .. } => counts.polled += records.len() as u64,
            What::Committed { generation, .. } => {
                counts.committed += 1;
                counts.fenceable += u64::from(*generation >= 0);
            }
            What::Assigned { .. } => counts.assigned += 1,
            What::Leader { .. } => counts.led += 1,
            What::MetadataSeen { .. } => counts.applied += 1,
            What::Replica {
                batches, records, ..
            } => {
                counts.replicated += batches.len() as u64;
                counts.keyed += records.len() as u64;
            }
            _ => {}
        }
    }
    counts
}
