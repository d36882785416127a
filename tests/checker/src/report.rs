//! What a check found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{Event, Place, What};

/// The kinds of anomalies, each defined where it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    LostWrite,
    Duplicate,
    Reordered,
    Gap,
    Phantom,
    RefusedButThere,
    InconsistentOffsets,
    GoneTooSoon,
    MissedRead,
    StaleRead,
    AbortedRead,
    TornTransaction,
    TruncatedRead,
    LatestWentBack,
    NonMonotonicPoll,
    SkippedPoll,
    GenerationWentBack,
    TwoOwners,
    LostCommit,
    PhantomCommit,
    FencedCommit,
    MetadataWentBack,
    TwoLeaders,
    ReplicasDiffer,
    NeverRead,
}

/// One promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    pub kind: Kind,
    /// None where it is of a whole group.
    pub at: Option<Place>,
    /// What is wrong, in a sentence.
    pub what: String,
    /// The events that show it: indexes into the history, ascending.
    pub events: Vec<usize>,
}

/// What the history holds, for who wants to know whether anything was put to the test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub acked: u64,
    pub refused: u64,
    pub read: u64,
    pub polled: u64,
    /// Fetches without a group that were answered.
    pub fetched: u64,
    /// Answers to who asked for the latest offset.
    pub latest: u64,
    pub committed: u64,
    /// Those of them whose generation is known.
    pub fenceable: u64,
    pub assigned: u64,
    /// Leaders of an epoch that were told of.
    pub led: u64,
    /// Changes of metadata that brokers have shown.
    pub applied: u64,
    /// Batches on replicas, of which those of one partition are compared.
    pub replicated: u64,
    /// Records by their keys, on replicas of compacted logs.
    pub keyed: u64,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub anomalies: Vec<Anomaly>,
    pub counts: Counts,
}

impl Report {
    /// How many anomalies of each kind there are.
    pub fn by_kind(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for anomaly in &self.anomalies {
            *kinds.entry(anomaly.kind).or_default() += 1;
        }
        kinds
    }

    /// The first anomalies, and in the order of time all that shows them and all that was noted.
    pub fn in_order(&self, events: &[Event], most: usize) -> String {
        let told = || self.anomalies.iter().take(most);
        let mut text: String = told().map(|anomaly| format!("{anomaly}\n")).collect();
        if self.anomalies.len() > most {
            text.push_str(&format!("and {} more\n", self.anomalies.len() - most));
        }
        let shown: BTreeSet<usize> = told().flat_map(|a| a.events.iter().copied()).collect();
        for (number, event) in events.iter().enumerate() {
            if shown.contains(&number) || matches!(event.what, What::Note { .. }) {
                text.push_str(&format!("    {}\n", shortened(&event.to_string())));
            }
        }
        text
    }

    /// The first anomalies with the events that show them.
    pub fn story(&self, events: &[Event], most: usize) -> String {
        let mut text = String::new();
        for anomaly in self.anomalies.iter().take(most) {
            text.push_str(&format!("{anomaly}\n"));
            for index in &anomaly.events {
                text.push_str(&format!("    {}\n", shortened(&events[*index].to_string())));
            }
        }
        if self.anomalies.len() > most {
            text.push_str(&format!("and {} more\n", self.anomalies.len() - most));
        }
        text
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{:?} in {at}: {}", self.kind, self.what),
            None => write!(f, "{:?}: {}", self.kind, self.what),
        }
    }
}

impl fmt::Display for Report {
    /// The closing line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.by_kind();
        let count = |kind| kinds.get(&kind).copied().unwrap_or(0);
        write!(
            f,
            "acked {}, lost {}, duplicated {}, reordered {}, other anomalies {}",
            self.counts.acked,
            count(Kind::LostWrite),
            count(Kind::Duplicate),
            count(Kind::Reordered),
            self.anomalies.len()
                - count(Kind::LostWrite)
                - count(Kind::Duplicate)
                - count(Kind::Reordered)
        )
    }
}
