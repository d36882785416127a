//! What the members of groups are given.
//!
//! - Non-monotonic poll: within one assignment a member goes back behind where it was; or it begins below the committed
//!   offset.
//! - Skipped poll: within one assignment it goes on beyond where it was; or it begins above the committed offset, unless
//!   what lies below may be gone.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut positions = BTreeMap::<(&str, &str), BTreeMap<&Place, (usize, i64)>>::new();
    let mut found = Vec::new();
    for (number, event) in index.events.iter().enumerate() {
        match &event.what {
            What::Assigned { group, member, .. } | What::Revoked { group, member } => {
                positions.remove(&(group.as_str(), member.as_str()));
            }
            What::Began {
                group,
                member,
                at,
                from,
                committed,
                ..
            } => {
                let of_member = positions.entry((group, member)).or_default();
                of_member.insert(at, (number, *from));
                found.extend(committed.and_then(|committed| {
                    astray(index, at, member, (number, committed), number, *from)
                }));
            }
            What::Polled {
                group,
                member,
                at,
                from,
                next,
                ..
            } => {
                let of_member = positions.entry((group, member)).or_default();
                let before = of_member.insert(at, (number, *next));
                found.extend(
                    before.and_then(|before| astray(index, at, member, before, number, *from)),
                );
            }
            _ => {}
        }
    }
    found
}

fn astray(
    index: &Index<'_>,
    at: &Place,
    member: &str,
    (earlier, position): (usize, i64),
    number: usize,
    from: i64,
) -> Option<Anomaly> {
    let partition = index.partitions.get(at);
    if partition.is_some_and(|partition| partition.may_lose.is_some()) {
        return None;
    }
    // Who finds that what comes next is gone goes on at the log's start, as it was then.
    let position = position.max(index.start(at).min(from));
    let kind = match from.cmp(&position) {
        Ordering::Less => Kind::NonMonotonicPoll,
        Ordering::Greater => Kind::SkippedPoll,
        Ordering::Equal => return None,
    };
    let mut events = vec![earlier, number];
    events.dedup();
    Some(Anomaly {
        kind,
        at: Some(at.clone()),
        what: format!("{member} was to go on at {position}, and did at {from}"),
        events,
    })
}
