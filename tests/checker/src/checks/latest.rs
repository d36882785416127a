//! Invariant 2: what ListOffsets answers as latest never goes back for one client (KIP-207).

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut newest = BTreeMap::<(&str, &Place), (usize, i64)>::new();
    let mut found = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        let What::Latest {
            at,
            sent_us,
            offset,
            ..
        } = &event.what
        else {
            continue;
        };
        if index
            .partitions
            .get(at)
            .is_some_and(|p| p.may_lose.is_some())
        {
            continue;
        }
        let before = newest.entry((&event.who, at)).or_insert((number, *offset));
        // Only what was asked after the earlier answer has come must not be older.
        let is_later = *sent_us >= index.events[before.0].at_us;
        if is_later && *offset < before.1 {
            found.push(Anomaly {
                kind: Kind::LatestWentBack,
                at: Some(at.clone()),
                what: format!("{} was told {}, then {offset}", event.who, before.1),
                events: vec![before.0, number],
            });
        }
        if *offset >= before.1 {
            *before = (number, *offset);
        }
    }
    found
}
