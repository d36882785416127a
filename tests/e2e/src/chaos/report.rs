//! What a run has come to, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::kind::Kind;
use super::verified::{Held, Verified};
use super::watch::Sight;

/// Records acknowledged in each second of a run, below which it does not count: less than a quarter of what is sent.
pub const LEAST_PER_SECOND: u64 = 40;

/// What a run has come to.
#[derive(Debug, Default)]
pub struct Summary {
    pub(super) seed: u64,
    /// How long faults were to go on, and how long they did.
    pub(super) asked_s: u64,
    pub(super) seconds: u64,
    pub(super) faults: BTreeMap<Kind, usize>,
    pub(super) sight: Sight,
    /// How many instances each service has had.
    pub(super) sizes: BTreeMap<&'static str, BTreeSet<usize>>,
    /// Of each way: requests and connections that have not been carried.
    pub(super) felt: BTreeMap<&'static str, u64>,
    /// From the last fault until the sinks had everything.
    pub(super) drained: Option<Duration>,
    pub(super) verified: Verified,
    /// Anomalies beside those of the verdict.
    pub(super) others: Vec<String>,
    /// Why the run does not count.
    pub(super) lacking: Vec<String>,
    pub(super) kept: Option<PathBuf>,
}

impl Summary {
    /// Takes down what the run lacks.
    pub fn conclude(&mut self) {
        let least = LEAST_PER_SECOND * self.seconds;
        let acknowledged = self.sight.acknowledged;
        if acknowledged < least {
            let text = format!("only {acknowledged} records acknowledged, of {least}");
            self.lacking.push(text);
        }
        let records = self.verified.records();
        if records < acknowledged {
            let text =
                format!("{acknowledged} records were acknowledged, and the log has {records}");
            self.others.push(text);
        }
        for kind in self.lacking_kinds() {
            self.lacking.push(format!("no {kind}"));
        }
        for sink in ["postgres", "opensearch", "s3"] {
            if self.sight.rebalances.get(sink).copied().unwrap_or(0) == 0 {
                self.lacking.push(format!("{sink}: no rebalance"));
            }
        }
    }

    /// Kinds of faults that have not occurred so far.
    pub fn lacking_kinds(&self) -> Vec<Kind> {
        let mut kinds = Kind::ALL.to_vec();
        kinds.retain(|kind| !self.faults.contains_key(kind));
        kinds
    }

    /// No promise was broken.
    pub fn is_clean(&self) -> bool {
        self.others.is_empty() && self.verified.anomalies.is_empty()
    }

    /// No promise was broken, and enough was tried.
    pub fn is_good(&self) -> bool {
        self.is_clean() && self.lacking.is_empty()
    }

    /// What repeats it.
    pub fn again(&self) -> String {
        format!(
            "make chaos-mesh DURATION={}s SEED={}",
            self.asked_s, self.seed
        )
    }

    /// The same for a program.
    pub fn json(&self) -> Value {
        let faults: BTreeMap<&str, usize> =
            self.faults.iter().map(|(k, n)| (k.name(), *n)).collect();
        let sinks = self.verified.held.iter().map(|held| {
            json!({
                "sink": held.sink, "topic": held.topic, "records": held.records, "stored": held.stored,
                "dead_letters": held.dead, "missing": held.missing, "doubled": held.doubled,
                "different": held.different, "other": held.other,
            })
        });
        json!({
            "seed": self.seed,
            "seconds": self.seconds,
            "faults": faults,
            "acknowledged": self.sight.acknowledged,
            "sinks": sinks.collect::<Vec<_>>(),
            "rebalances": self.sight.rebalances,
            "instances": self.sizes,
            "not_carried": self.felt,
            "drained_s": self.drained.map(|drained| drained.as_secs_f64()),
            "verified_s": self.verified.took.as_secs_f64(),
            "anomalies": self.others.iter().chain(&self.verified.anomalies).collect::<Vec<_>>(),
            "lacking": self.lacking,
            "good": self.is_good(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for anomaly in self.others.iter().chain(&self.verified.anomalies) {
            writeln!(f, "anomaly: {anomaly}")?;
        }
        let counted = |(name, count): (&str, String)| format!("{name} {count}");
        let list = |all: Vec<(&str, String)>| {
            let words: Vec<String> = all.into_iter().map(counted).collect();
            words.join(", ")
        };
        let faults = self.faults.iter().map(|(k, n)| (k.name(), n.to_string()));
        writeln!(
            f,
            "faults in {} s: {}",
            self.seconds,
            list(faults.collect())
        )?;
        writeln!(f, "acknowledged {}", self.sight.acknowledged)?;
        self.verified
            .held
            .iter()
            .try_for_each(|held| line(f, held))?;
        let rebalances = self.sight.rebalances.iter();
        let rebalances = rebalances.map(|(sink, n)| (sink.as_str(), n.to_string()));
        let sizes = self.sizes.iter().map(|(service, sizes)| {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            (*service, sizes.join("/"))
        });
        writeln!(
            f,
            "rebalances: {}; instances: {}",
            list(rebalances.collect()),
            list(sizes.collect())
        )?;
        let felt = self.felt.iter().map(|(store, n)| (*store, n.to_string()));
        writeln!(f, "not carried as asked: {}", list(felt.collect()))?;
        if let Some(drained) = self.drained {
            writeln!(
                f,
                "drained {:.1} s after the faults, verified in {:.1} s; anomalies {}",
                drained.as_secs_f64(),
                self.verified.took.as_secs_f64(),
                self.others.len() + self.verified.anomalies.len()
            )?;
        }
        for lacking in &self.lacking {
            writeln!(f, "this run does not count: {lacking}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "kept: {}", kept.display())?;
        }
        write!(f, "again: {}", self.again())
    }
}

fn line(f: &mut fmt::Formatter<'_>, held: &Held) -> fmt::Result {
    writeln!(
        f,
        "{} -> {}: {} records, {} stored, {} dead letters, {} missing, {} doubled, {} different, {} other",
        held.topic,
        held.sink,
        held.records,
        held.stored,
        held.dead,
        held.missing,
        held.doubled,
        held.different,
        held.other
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Summary {
        let sinks = ["postgres", "opensearch", "s3"];
        Summary {
            seconds: 10,
            faults: Kind::ALL.iter().map(|kind| (*kind, 1)).collect(),
            sight: Sight {
                acknowledged: 10 * LEAST_PER_SECOND,
                rebalances: sinks.map(|sink| (sink.to_owned(), 1)).into(),
                ..Sight::default()
            },
            verified: Verified {
                held: vec![Held {
                    records: 10 * LEAST_PER_SECOND,
                    ..Held::default()
                }],
                ..Verified::default()
            },
            ..Summary::default()
        }
    }

    #[test]
    fn records_that_were_acknowledged_and_are_not_in_the_log_are_an_anomaly() {
        let mut summary = full();
        summary.sight.acknowledged += 1;
        summary.conclude();
        assert!(!summary.is_clean(), "{summary}");
    }

    #[test]
    fn a_run_in_which_everything_happened_counts() {
        let mut summary = full();
        summary.conclude();
        assert!(summary.is_good(), "{summary}");
    }

    #[test]
    fn a_run_that_lacks_a_fault_or_work_or_rebalances_does_not_count() {
        let mut summary = full();
        summary.faults.remove(&Kind::S3Storm);
        summary.sight.acknowledged -= 1;
        summary.sight.rebalances.remove("s3");
        summary.conclude();
        assert!(!summary.is_good() && summary.is_clean());
        let text = summary.to_string();
        for words in ["no s3-storm", "only 399 records", "s3: no rebalance"] {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
    }

    #[test]
    fn a_run_with_an_anomaly_is_bad_whoever_saw_it() {
        let mut summary = full();
        summary.others.push("etl-1 ended by itself".into());
        assert!(!summary.is_good());
        let mut summary = full();
        summary.verified.anomalies.push("missing".into());
        assert!(!summary.is_good());
        assert_eq!(summary.json()["good"], false);
    }
}
