//! Invariant 7, of ownership.
//!
//! - Two owners: in one generation of a group two members are given the same partition.
//! - Generation went back: a member is given partitions in an older generation than it was in.

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut owners = BTreeMap::<(&str, i32, &Place), (usize, &str)>::new();
    let mut generations = BTreeMap::<(&str, &str), (usize, i32)>::new();
    let mut found = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        let What::Assigned {
            group,
            member,
            generation,
            places,
        } = &event.what
        else {
            continue;
        };
        let before = generations.insert((group, member), (number, *generation));
        if let Some((earlier, old)) = before.filter(|(_, old)| old > generation) {
            found.push(Anomaly {
                kind: Kind::GenerationWentBack,
                at: None,
                what: format!("{member} of {group} was in {old} and is in {generation}"),
                events: vec![earlier, number],
            });
        }
        for at in places {
            let (earlier, owner) = *owners
                .entry((group, *generation, at))
                .or_insert((number, member));
            if owner != member {
                found.push(Anomaly {
                    kind: Kind::TwoOwners,
                    at: Some(at.clone()),
                    what: format!("{owner} and {member} own it in generation {generation}"),
                    events: vec![earlier, number],
                });
            }
        }
    }
    found
}
