//! States worth visiting, and how often lives were in them. A state shows in a line of the trace: of a broker's own log, or
//! of a client that was told something ([`note`]). One that many lives never reach is not put to the test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many lives reach every state; fewer need not.
pub const ENOUGH: u64 = 1000;

/// A state, and the words that a line has in which it shows.
struct Mark {
    name: &'static str,
    words: &'static [&'static str],
}

const fn mark(name: &'static str, words: &'static [&'static str]) -> Mark {
    Mark { name, words }
}

/// What clients note.
pub const ISR_OF_ONE: &str = "an ISR has one member";
pub const LOADING: &str = "a commit finds its coordinator loading";
pub const EXPELLED: &str = "a commit of one that is no member any more is refused";
pub const CONFIGURED: &str = "a topic has another configuration";
pub const TOO_FEW: &str = "too few replicas are in sync for a record";
pub const BEHIND: &str = "what is behind a refused batch is refused with it";
pub const NOT_AVAILABLE: &str = "a new leader does not know yet what is committed";
pub const TAKEN: &str = "retention has taken what a reader wants next";
pub const BROKER_CONFIGURED: &str = "a broker has another configuration";
pub const UNREGISTERED: &str = "a broker is registered no more";
pub const FORGOTTEN: &str = "what a group has committed is forgotten";

const MARKS: &[Mark] = &[
    mark(
        "truncation by epoch",
        &["cut the log where it differs from the leader's"],
    ),
    mark("ISR shrunk to one", &[ISR_OF_ONE]),
    mark(
        "controller change with a pending AlterPartition",
        &["the controller has changed while ISR changes were under way"],
    ),
    mark("controller succeeded", &["the active controller is gone"]),
    mark("fenced for its silence", &["no heartbeat for"]),
    mark("fenced as it is gone", &["it is gone: fencing"]),
    mark(
        "machine without an answer",
        &["its machine does not answer"],
    ),
    mark("unclean return", &["broker registered", "clean=false"]),
    mark("handover before a stop", &["leaderships handed over"]),
    mark("stop that waits for an ISR", &["waiting to leave"]),
    mark("preferred leaders back", &["giving leaderships back"]),
    mark(
        "stalled disk loses leaderships",
        &["moving its leaderships"],
    ),
    mark(
        "failed fsync",
        &["cannot fsync; the log directory is out of service"],
    ),
    mark("full disk", &["no space left"]),
    mark("failed read", &["cannot read a log"]),
    mark(
        "torn tail of a log",
        &["cut the end of a log that is not whole batches"],
    ),
    mark(
        "torn tail of the metadata",
        &["cut a torn tail off the metadata log"],
    ),
    mark(
        "snapshot installed",
        &["took over a snapshot of the metadata"],
    ),
    mark("partition deleted", &["the partition is deleted"]),
    mark(
        "replica moved away",
        &["the replica has moved to another broker"],
    ),
    mark("coordinator load during a commit", &[LOADING]),
    mark("fenced commit", &[EXPELLED]),
    mark("configuration changed", &[CONFIGURED]),
    mark("too few replicas in sync", &[TOO_FEW]),
    mark(
        "duplicate sequence",
        &["a batch that was sent again is there already"],
    ),
    mark("pipeline refused together", &[BEHIND]),
    mark("high watermark not known yet", &[NOT_AVAILABLE]),
    mark("read below the log start", &[TAKEN]),
    mark("broker configured", &[BROKER_CONFIGURED]),
    mark("broker unregistered", &[UNREGISTERED]),
    mark(
        "unclean election",
        &["replicas that may lack committed records were elected"],
    ),
    mark("commits forgotten", &[FORGOTTEN]),
    mark("log compacted", &["message=compacted"]),
];

/// A client saw such a state.
pub fn note(text: &str) {
    tracing::info!("{text}");
}

/// How often each state was visited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visits(BTreeMap<String, u64>);

impl Visits {
    /// Those of one life.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Visits {
        let mut visits = BTreeMap::new();
        for line in lines {
            let shows = |mark: &&Mark| mark.words.iter().all(|word| line.contains(word));
            for mark in MARKS.iter().filter(shows) {
                *visits.entry(mark.name.to_string()).or_default() += 1;
            }
        }
        Visits(visits)
    }

    pub fn add(&mut self, other: &Visits) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// One line for each state, in the order in which they stand here.
    pub fn table(&self) -> String {
        let line = |mark: &Mark| {
            let count = self.0.get(mark.name).copied().unwrap_or(0);
            format!("{count:>8}  {}\n", mark.name)
        };
        MARKS.iter().map(line).collect()
    }

    /// States that were never visited.
    pub fn missing(&self) -> Vec<&'static str> {
        let names = MARKS.iter().map(|mark| mark.name);
        names.filter(|name| !self.0.contains_key(*name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_line_shows_is_missing() {
        let lines = [
            "12 broker::x message=no heartbeat for 3s: fencing broker=1",
            "13 client message=an ISR has one member",
        ];
        let mut visits = Visits::of(lines);
        visits.add(&Visits::of([lines[0]]));
        assert!(visits.table().contains("       2  fenced for its silence"));
        let missing = visits.missing();
        assert!(!missing.contains(&"ISR shrunk to one"));
        assert!(missing.contains(&"unclean return"));
        assert_eq!(missing.len(), MARKS.len() - 2);
    }

    #[test]
    fn each_state_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = MARKS.iter().map(|mark| mark.name).collect();
        assert_eq!(names.len(), MARKS.len());
    }
}
