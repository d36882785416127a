//! Invariant 2: what ListOffsets answers as latest never goes back for one client (KIP-207).

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    // The answers that told more than all before them.
    let mut newest = BTreeMap::<(&str, &Place), Vec<(usize, i64)>>::new();
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
        // Only what was asked after an earlier answer had come must not be older.
        let before = newest.entry((&event.who, at)).or_default();
        let known = before.partition_point(|(earlier, _)| index.events[*earlier].at_us <= *sent_us);
        if let Some((earlier, end)) = before[..known].last().filter(|(_, end)| end > offset) {
            found.push(Anomaly {
                kind: Kind::LatestWentBack,
                at: Some(at.clone()),
                what: format!("{} was told {end}, then {offset}", event.who),
                events: vec![*earlier, number],
            });
        }
        if before.last().is_none_or(|(_, end)| end < offset) {
            before.push((number, *offset));
        }
    }
    found
}
