//! Invariant 7, of offsets: an acknowledged commit is never lost.
//!
//! Whoever asks for a group's offset after a commit was acknowledged sees that commit, or another that may have been made
//! after it: one whose answer had not come when the acknowledged one was asked for.
//!
//! - Lost commit: an older one was seen, or nothing at all, although a newer one was acknowledged.
//! - Phantom commit: an offset was seen that nobody had asked to be committed.

use std::collections::BTreeMap;

use super::index::Index;
use crate::history::{Place, What};
use crate::report::{Anomaly, Kind};

/// A commit that was asked for.
#[derive(Debug)]
struct Commit {
    asked: usize,
    asked_us: u64,
    offset: i64,
    /// The event and the time of the answer.
    answered: Option<(usize, u64)>,
}

/// What somebody was told of a group's offset.
struct Told {
    event: usize,
    sent_us: u64,
    at_us: u64,
    offset: Option<i64>,
}

type Key<'a> = (&'a str, &'a Place);

pub fn look(index: &Index<'_>) -> Vec<Anomaly> {
    let mut commits = BTreeMap::<Key<'_>, Vec<Commit>>::new();
    let mut told = BTreeMap::<Key<'_>, Vec<Told>>::new();
    for (number, event) in index.events.iter().enumerate() {
        let at_us = event.at_us;
        match &event.what {
            What::Committing {
                group, at, offset, ..
            } => commits.entry((group, at)).or_default().push(Commit {
                asked: number,
                asked_us: at_us,
                offset: *offset,
                answered: None,
            }),
            What::Committed {
                group,
                at,
                offset,
                sent_us,
                ..
            } => {
                let all = commits.entry((group, at)).or_default();
                let asked = all.iter_mut().rev().find(|c| {
                    c.asked_us == *sent_us && c.offset == *offset && c.answered.is_none()
                });
                if let Some(commit) = asked {
                    commit.answered = Some((number, at_us));
                }
            }
            What::CommittedSeen {
                group,
                at,
                offset,
                sent_us,
            }
            | What::Began {
                group,
                at,
                committed: offset,
                sent_us,
                ..
            } => told.entry((group, at)).or_default().push(Told {
                event: number,
                sent_us: *sent_us,
                at_us,
                offset: *offset,
            }),
            _ => {}
        }
    }
    let none = Vec::new();
    told.into_iter()
        .flat_map(|(key, told)| {
            let commits = commits.get(&key).unwrap_or(&none);
            told.into_iter()
                .filter_map(move |told| {
                    lost(key, commits, &told).or_else(|| phantom(key, commits, &told))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn lost((group, at): Key<'_>, commits: &[Commit], told: &Told) -> Option<Anomaly> {
    // The acknowledged commit that was asked for last, of those answered before the question.
    let newest = commits
        .iter()
        .filter(|c| c.answered.is_some_and(|(_, us)| us <= told.sent_us))
        .max_by_key(|c| c.asked_us)?;
    let may_be_newer = |c: &&Commit| {
        c.asked_us <= told.at_us && c.answered.is_none_or(|(_, us)| us >= newest.asked_us)
    };
    let explained = commits
        .iter()
        .filter(may_be_newer)
        .any(|c| Some(c.offset) == told.offset);
    (!explained).then(|| Anomaly {
        kind: Kind::LostCommit,
        at: Some(at.clone()),
        what: format!(
            "{group} has committed {}, and the cluster tells {:?}",
            newest.offset, told.offset
        ),
        events: [Some(newest.asked), newest.answered.map(|(event, _)| event)]
            .into_iter()
            .flatten()
            .chain([told.event])
            .collect(),
    })
}

fn phantom((group, at): Key<'_>, commits: &[Commit], told: &Told) -> Option<Anomaly> {
    let offset = told.offset?;
    let asked = |c: &Commit| c.asked_us <= told.at_us && c.offset == offset;
    (!commits.iter().any(asked)).then(|| Anomaly {
        kind: Kind::PhantomCommit,
        at: Some(at.clone()),
        what: format!("{group} has committed {offset}, the cluster tells, and nobody asked for it"),
        events: vec![told.event],
    })
}
