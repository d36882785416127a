//! What the checker had to judge besides records: a verdict on nothing is none.

use std::collections::BTreeMap;
use std::fmt;

use checker::{Counts, Kind, Report};
use serde_json::json;

/// What was looked at, and the anomalies that only such looks can show.
#[derive(Debug, Default)]
pub struct Looks {
    counts: Counts,
    broken: BTreeMap<Kind, usize>,
}

impl Looks {
    pub fn of(report: &Report) -> Looks {
        Looks {
            counts: report.counts.clone(),
            broken: report.by_kind(),
        }
    }

    /// What nobody has seen any of.
    pub fn lacking(&self) -> Vec<String> {
        let looks = [
            (self.counts.fetched, "was told a high watermark"),
            (self.counts.latest, "was told where a log ends"),
            (self.counts.applied, "was told how far metadata is"),
            (self.counts.assigned, "was given partitions in a generation"),
            (self.counts.fenceable, "has committed in a generation"),
        ];
        let none = looks.iter().filter(|(count, _)| *count == 0);
        none.map(|(_, what)| format!("nobody {what}")).collect()
    }

    fn broken(&self, kind: Kind) -> usize {
        self.broken.get(&kind).copied().unwrap_or(0)
    }

    /// The same for a program.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "fetches": self.counts.fetched,
            "ends": self.counts.latest,
            "stale_reads": self.broken(Kind::StaleRead),
            "ends_that_went_back": self.broken(Kind::LatestWentBack),
            "metadata": self.counts.applied,
            "metadata_that_went_back": self.broken(Kind::MetadataWentBack),
            "assignments": self.counts.assigned,
            "two_owners": self.broken(Kind::TwoOwners),
            "generations_that_went_back": self.broken(Kind::GenerationWentBack),
            "commits_of_a_generation": self.counts.fenceable,
            "fenced_commits": self.broken(Kind::FencedCommit),
        })
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "looks: fetches {}, ends {} (stale reads {}, went back {}), metadata {} (went back {}), assignments {} (two owners {}, generation went back {}), commits in a generation {} (fenced {})",
            self.counts.fetched,
            self.counts.latest,
            self.broken(Kind::StaleRead),
            self.broken(Kind::LatestWentBack),
            self.counts.applied,
            self.broken(Kind::MetadataWentBack),
            self.counts.assigned,
            self.broken(Kind::TwoOwners),
            self.broken(Kind::GenerationWentBack),
            self.counts.fenceable,
            self.broken(Kind::FencedCommit),
        )
    }
}

#[cfg(test)]
mod tests {
    use checker::history::{Event, Place, What};

    use super::*;

    #[test]
    fn each_look_that_nobody_has_had_is_told() {
        assert_eq!(Looks::default().lacking().len(), 5);
        let at = || Place::new("chaos", 0);
        let (group, member) = (|| "raw".to_string(), || "raw-1".to_string());
        let all = [
            What::Fetched {
                at: at(),
                leader_epoch: Some(1),
                sent_us: 0,
                from: 0,
                next: 0,
                high_watermark: 0,
                log_start: 0,
                records: Vec::new(),
            },
            What::Latest {
                at: at(),
                leader_epoch: Some(1),
                sent_us: 0,
                offset: 0,
            },
            What::MetadataSeen {
                broker: 1,
                incarnation: 1,
                index: 1,
            },
            What::Assigned {
                group: group(),
                member: member(),
                generation: 1,
                places: vec![at()],
            },
            What::Committed {
                group: group(),
                member: member(),
                generation: 1,
                at: at(),
                offset: 0,
                sent_us: 0,
            },
        ];
        let event = |what| Event {
            at_us: 1,
            who: "somebody".into(),
            what,
        };
        let events = all.map(event);
        let looks = Looks::of(&checker::check(&events));
        assert!(looks.lacking().is_empty(), "{:?}", looks.lacking());
        for left_out in 0..events.len() {
            let mut rest = events.to_vec();
            rest.remove(left_out);
            assert_eq!(Looks::of(&checker::check(&rest)).lacking().len(), 1);
        }
    }
}
