//! Invariant 7, of ownership.
//!
//! - Two owners: in one generation of a group two members are given the same partition.
//! - Generation went back: a member is given partitions in an older generation than it was in.
//! - Fenced commit: a commit of an older generation is acknowledged, although a member was given partitions in a newer one
//!   before that commit was asked for.

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

type Newest<'a> = BTreeMap<&'a str, Vec<(usize, i32)>>;

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut owners = BTreeMap::<(&str, i32, &Place), (usize, &str)>::new();
    let mut generations = BTreeMap::<(&str, &str), (usize, i32)>::new();
    // Of each group: when each newest generation became known.
    let mut newest = Newest::new();
    let mut found = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        let (group, member, generation, places) = match &event.what {
            What::Assigned {
                group,
                member,
                generation,
                places,
            } => (group, member, generation, places),
            What::Committed { .. } => {
                found.extend(fenced(&newest, index, number));
                continue;
            }
            _ => continue,
        };
        let first = newest.entry(group).or_default();
        if first.last().is_none_or(|(_, known)| known < generation) {
            first.push((number, *generation));
        }
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

fn fenced(newest: &Newest<'_>, index: &Index<'_>, number: usize) -> Option<Anomaly> {
    let What::Committed {
        group,
        member,
        generation,
        at,
        sent_us,
        ..
    } = &index.events[number].what
    else {
        return None;
    };
    let known = newest.get(group.as_str())?;
    // Those that were known before it was asked for.
    let before = known.partition_point(|(event, _)| index.events[*event].at_us < *sent_us);
    let (event, current) = *known[..before].last()?;
    // A commit without a membership has no generation.
    (0..current).contains(generation).then(|| Anomaly {
        kind: Kind::FencedCommit,
        at: Some(at.clone()),
        what: format!(
            "{member} has committed in generation {generation} of {group}, which was in {current}"
        ),
        events: vec![event, number],
    })
}
