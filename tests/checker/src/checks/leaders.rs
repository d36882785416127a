//! Invariant 3: at most one leader per partition and leader epoch.

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut leaders = BTreeMap::<(&Place, i32), (usize, i32)>::new();
    let mut found = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        let What::Leader {
            at,
            broker,
            leader_epoch,
        } = &event.what
        else {
            continue;
        };
        let (earlier, leader) = *leaders
            .entry((at, *leader_epoch))
            .or_insert((number, *broker));
        if leader != *broker {
            found.push(Anomaly {
                kind: Kind::TwoLeaders,
                at: Some(at.clone()),
                what: format!("{leader} and {broker} lead it in epoch {leader_epoch}"),
                events: vec![earlier, number],
            });
        }
    }
    found
}
