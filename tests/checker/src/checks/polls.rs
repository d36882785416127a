//! Non-monotonic poll: within one assignment a member goes on where it was, neither before nor behind that.

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
                ..
            } => {
                let of_member = positions.entry((group, member)).or_default();
                of_member.insert(at, (number, *from));
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
                let wrong = before.filter(|(_, position)| position != from);
                found.extend(wrong.map(|(earlier, position)| Anomaly {
                    kind: Kind::NonMonotonicPoll,
                    at: Some(at.clone()),
                    what: format!("{member} was at {position} and polls from {from}"),
                    events: vec![earlier, number],
                }));
            }
            _ => {}
        }
    }
    found
}
