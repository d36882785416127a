//! What a run has come to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use checker::Kind as Broken;
use serde_json::json;

use super::clock::between;
use super::field::BROKERS;
use super::histories::Histories;
use super::history::Place;
use super::kind::Kind;
use super::looks::Looks;
use super::verdict::Evidence;

/// Records acknowledged in each second of a run, below which it does not count: less than a tenth of what is sent.
pub const LEAST_PER_SECOND: u64 = 30;

/// A broker was hurt so that it cannot lead on: when, and what it led.
#[derive(Debug)]
pub struct Loss {
    pub at_ns: u64,
    pub places: Vec<Place>,
}

/// What a run has come to.
#[derive(Debug, Default)]
pub struct Summary {
    pub(super) seed: u64,
    /// How long faults were to go on, and how long they did.
    pub(super) asked_s: u64,
    pub(super) seconds: u64,
    pub(super) faults: BTreeMap<Kind, usize>,
    pub(super) acked: u64,
    pub(super) polled: u64,
    pub(super) committed: u64,
    pub(super) lost: usize,
    pub(super) duplicated: usize,
    pub(super) reordered: usize,
    pub(super) others: Vec<String>,
    /// Consumers that their client library has given up on.
    pub(super) anew: usize,
    pub(super) first_acks: Vec<Duration>,
    pub(super) led: BTreeMap<i32, u64>,
    pub(super) looks: Looks,
    /// Why the run does not count.
    pub(super) lacking: Vec<String>,
    pub(super) story: String,
    pub(super) kept: Option<PathBuf>,
}

impl Summary {
    /// What the clients have done so far.
    pub fn count(&mut self, histories: &Histories) {
        (self.acked, self.polled) = (histories.acked, histories.polled);
        self.committed = histories.committed;
    }

    /// Takes down what the checker and the clients say, and what the run lacks.
    pub fn conclude(&mut self, histories: &Histories, evidence: &Evidence, losses: &[Loss]) {
        let summary = self;
        let by_kind = evidence.report.by_kind();
        let count = |kind| by_kind.get(&kind).copied().unwrap_or(0);
        summary.count(histories);
        summary.lost = count(Broken::LostWrite);
        summary.duplicated = count(Broken::Duplicate);
        summary.reordered = count(Broken::Reordered);
        let counted = [Broken::LostWrite, Broken::Duplicate, Broken::Reordered];
        let others = evidence.anomalies().iter();
        let others = others.filter(|anomaly| !counted.contains(&anomaly.kind));
        summary
            .others
            .extend(others.map(|anomaly| anomaly.to_string()));
        summary.others.extend(evidence.others.iter().cloned());
        if histories.given_up > 0 {
            let text = format!("{} records were given up", histories.given_up);
            summary.others.push(text);
        }
        summary.story = evidence.report.story(&evidence.events, 10);
        summary.first_acks = first_acks(losses, histories);
        summary.first_acks.sort();
        summary.looks = Looks::of(&evidence.report);
        summary.lacking.extend(summary.looks.lacking());
        let least = LEAST_PER_SECOND * summary.seconds;
        if summary.acked < least {
            let text = format!("only {} records acknowledged, of {least}", summary.acked);
            summary.lacking.push(text);
        }
        for kind in summary.lacking_kinds() {
            summary.lacking.push(format!("no {kind}"));
        }
        for id in (1..=BROKERS).filter(|id| !summary.led.contains_key(id)) {
            summary.lacking.push(format!("broker {id} never led"));
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
        self.lost + self.duplicated + self.reordered + self.others.len() == 0
    }

    /// No promise was broken, and enough was tried.
    pub fn is_good(&self) -> bool {
        self.is_clean() && self.lacking.is_empty()
    }

    /// What repeats it.
    pub fn again(&self) -> String {
        format!("make chaos DURATION={}s SEED={}", self.asked_s, self.seed)
    }

    fn percentile(&self, of: usize) -> f64 {
        let last = self.first_acks.len().saturating_sub(1);
        let found = self.first_acks.get(last * of / 100);
        found.map_or(0.0, Duration::as_secs_f64)
    }

    fn shares(&self) -> BTreeMap<i32, u64> {
        let all: u64 = self.led.values().sum::<u64>().max(1);
        let share = |(id, led): (&i32, &u64)| (*id, led * 100 / all);
        self.led.iter().map(share).collect()
    }

    /// The same for a program.
    pub fn json(&self) -> serde_json::Value {
        let faults: BTreeMap<&str, usize> =
            self.faults.iter().map(|(k, n)| (k.name(), *n)).collect();
        json!({
            "seed": self.seed,
            "seconds": self.seconds,
            "faults": faults,
            "acknowledged": self.acked,
            "polled": self.polled,
            "committed": self.committed,
            "consumers_started_anew": self.anew,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "other_anomalies": self.others,
            "first_acknowledgement_s": {
                "n": self.first_acks.len(),
                "p50": self.percentile(50),
                "p99": self.percentile(99),
                "max": self.percentile(100),
            },
            "leadership_percent": self.shares(),
            "looks": self.looks.json(),
            "lacking": self.lacking,
            "good": self.is_good(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story)?;
        for other in &self.others {
            writeln!(f, "anomaly: {other}")?;
        }
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(k, n)| format!("{k} {n}"))
            .collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        writeln!(
            f,
            "acknowledged {}, lost {}, duplicated {}, reordered {}, other anomalies {}; read by groups {}, commits {}, consumers started anew {}",
            self.acked,
            self.lost,
            self.duplicated,
            self.reordered,
            self.others.len(),
            self.polled,
            self.committed,
            self.anew
        )?;
        writeln!(
            f,
            "first acknowledgement after the loss of a leader: p50 {:.2} s, p99 {:.2} s, max {:.2} s, n {}",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.first_acks.len()
        )?;
        let shares: Vec<String> = self
            .shares()
            .iter()
            .map(|(id, share)| format!("broker {id} {share} %"))
            .collect();
        writeln!(f, "leadership: {}", shares.join(", "))?;
        writeln!(f, "{}", self.looks)?;
        for lacking in &self.lacking {
            writeln!(f, "this run does not count: {lacking}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "kept: {}", kept.display())?;
        }
        write!(f, "again: {}", self.again())
    }
}

/// Of each partition that lost its leader, how long it took until a record that was sent afterwards was acknowledged.
fn first_acks(losses: &[Loss], histories: &Histories) -> Vec<Duration> {
    let acknowledged = histories.acknowledged();
    let mut found = Vec::new();
    for loss in losses {
        for place in &loss.places {
            let after = acknowledged
                .iter()
                .filter(|ack| ack.place == *place && ack.sent_ns > loss.at_ns);
            let first = after.map(|ack| ack.acked_ns).min();
            found.extend(first.map(|first| between(loss.at_ns, first)));
        }
    }
    found
}
