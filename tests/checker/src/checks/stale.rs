//! Stale read: a leader that does not know what was committed before it was asked.
//!
//! - Within one leader epoch: an answer tells a high watermark, and to a question asked after it had come the same epoch
//!   tells a smaller one.
//! - In the newest leader epoch of the history: a record that was sent when this epoch was known, so that nobody but this
//!   leader can have acknowledged it, was acknowledged, and to a question asked after that the leader tells a high
//!   watermark that leaves it out.
//!
//! A new leader may for a moment not know how much of its predecessor's log is committed (KIP-207); so records that were sent
//! before its epoch was known prove nothing, and neither does an older epoch: a successor that it has not heard of may have
//! acknowledged the record. Answers to requests that name no epoch are left out. Who writes a history tells every
//! leader epoch that it knows of, at the latest before the end.

use std::collections::BTreeMap;

use super::index::{Index, Partition};
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

/// What a leader told of the committed end of its log.
struct Told {
    event: usize,
    sent_us: u64,
    at_us: u64,
    end: i64,
}

/// What was certainly committed in an epoch from a time on.
#[derive(Clone)]
struct Known {
    at_us: u64,
    end: i64,
    /// The events that show it.
    events: Vec<usize>,
}

#[derive(Default)]
struct Epoch {
    /// The first event that tells of it.
    known_us: Option<u64>,
    told: Vec<Told>,
}

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut places = BTreeMap::<&Place, BTreeMap<i32, Epoch>>::new();
    for (number, event) in index.events.iter().enumerate() {
        let (at, epoch, told) = match &event.what {
            What::Leader {
                at, leader_epoch, ..
            } => (at, *leader_epoch, None),
            What::Fetched {
                at,
                leader_epoch: Some(epoch),
                sent_us,
                high_watermark,
                ..
            } => (at, *epoch, Some((*sent_us, *high_watermark))),
            What::Latest {
                at,
                leader_epoch: Some(epoch),
                sent_us,
                offset,
            } => (at, *epoch, Some((*sent_us, *offset))),
            _ => continue,
        };
        let epoch = places.entry(at).or_default().entry(epoch).or_default();
        epoch.known_us.get_or_insert(event.at_us);
        epoch.told.extend(told.map(|(sent_us, end)| Told {
            event: number,
            sent_us,
            at_us: event.at_us,
            end,
        }));
    }
    let mut found = Vec::new();
    for (at, epochs) in &places {
        let partition = index.partitions.get(at);
        if partition.is_some_and(|p| p.may_lose.is_some()) {
            continue;
        }
        let newest = epochs.keys().next_back().copied();
        for (number, epoch) in epochs {
            let mut known: Vec<Known> = epoch.told.iter().map(shown).collect();
            if Some(*number) == newest {
                known.extend(partition.into_iter().flat_map(|p| acked(index, p, epoch)));
            }
            found.extend(behind(at, *number, &epoch.told, known));
        }
    }
    found
}

fn shown(told: &Told) -> Known {
    Known {
        at_us: told.at_us,
        end: told.end,
        events: vec![told.event],
    }
}

fn acked(index: &Index<'_>, partition: &Partition<'_>, epoch: &Epoch) -> Vec<Known> {
    let Some(known_us) = epoch.known_us else {
        return Vec::new();
    };
    let one = |written: &super::index::Written| {
        let (sent, acked) = (written.sent?, written.acked?);
        let of_epoch = index.events[sent].at_us > known_us && written.acks == -1;
        let offset = written.acked_offset.filter(|_| of_epoch)?;
        Some(Known {
            at_us: index.events[acked].at_us,
            end: offset + 1,
            events: vec![sent, acked],
        })
    };
    partition.written.values().filter_map(one).collect()
}

/// Goes through questions in the order in which they were asked, with the most that was known before each.
fn behind(at: &Place, epoch: i32, told: &[Told], mut known: Vec<Known>) -> Vec<Anomaly> {
    known.sort_by_key(|known| known.at_us);
    let mut questions: Vec<&Told> = told.iter().collect();
    questions.sort_by_key(|told| told.sent_us);
    let mut known = known.into_iter().peekable();
    let mut most: Option<Known> = None;
    let mut found = Vec::new();
    for question in questions {
        while let Some(next) = known.next_if(|known| known.at_us <= question.sent_us) {
            if most.as_ref().is_none_or(|most| most.end < next.end) {
                most = Some(next);
            }
        }
        let Some(most) = most.as_ref().filter(|most| most.end > question.end) else {
            continue;
        };
        let mut events = most.events.clone();
        events.push(question.event);
        events.sort_unstable();
        found.push(Anomaly {
            kind: Kind::StaleRead,
            at: Some(at.clone()),
            what: format!(
                "{} was committed, and the leader of epoch {epoch} tells {}",
                most.end, question.end
            ),
            events,
        });
    }
    found
}
