//! Invariant 8: the metadata that one life of a broker shows only moves forward.

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::What;
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut newest = BTreeMap::<(i32, u64), (usize, u64)>::new();
    let mut found = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        let What::MetadataSeen {
            broker,
            incarnation,
            index: seen,
        } = &event.what
        else {
            continue;
        };
        let before = newest
            .entry((*broker, *incarnation))
            .or_insert((number, *seen));
        if *seen < before.1 {
            found.push(Anomaly {
                kind: Kind::MetadataWentBack,
                at: None,
                what: format!("broker {broker} was at {}, then at {seen}", before.1),
                events: vec![before.0, number],
            });
        } else {
            *before = (number, *seen);
        }
    }
    found
}
