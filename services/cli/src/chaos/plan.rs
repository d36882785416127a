//! What happens to which part: a function of the seed alone.

use std::fmt;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// How a part is hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    KillBroker,
    PauseBroker,
    KillEtl,
    KillArchiver,
    CrashPostgres,
    OutageOpensearch,
    OutageS3,
}

/// One part, hurt in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// As `make status` names it.
    pub part: String,
}

/// Each of `only` (of all kinds where that is empty) once in each round, in an order of each round's own.
pub fn plan(seed: u64, rounds: u32, only: &[Kind]) -> Vec<Fault> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut kinds: Vec<Kind> = match only {
        [] => Kind::value_variants().to_vec(),
        some => some.to_vec(),
    };
    kinds.sort();
    kinds.dedup();
    let mut faults = Vec::new();
    for _ in 0..rounds {
        kinds.shuffle(&mut dice);
        faults.extend(kinds.iter().map(|kind| Fault {
            kind: *kind,
            part: part(*kind, &mut dice),
        }));
    }
    faults
}

fn part(kind: Kind, dice: &mut StdRng) -> String {
    match kind {
        Kind::KillBroker | Kind::PauseBroker => format!("broker-{}", dice.random_range(1..=3)),
        Kind::KillEtl => "etl".into(),
        Kind::KillArchiver => "archiver".into(),
        Kind::CrashPostgres => "postgres".into(),
        Kind::OutageOpensearch => "opensearch".into(),
        Kind::OutageS3 => "s3".into(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = &self.part;
        match self.kind {
            Kind::KillBroker | Kind::KillEtl | Kind::KillArchiver => write!(f, "{part}: kill -9"),
            Kind::PauseBroker => write!(f, "{part}: stands still for 12 s"),
            Kind::CrashPostgres => write!(f, "{part}: immediate shutdown"),
            Kind::OutageOpensearch | Kind::OutageS3 => write!(f, "{part}: away for some seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(plan(7, 5, &[]), plan(7, 5, &[]));
        assert_ne!(plan(7, 5, &[]), plan(8, 5, &[]));
    }

    #[test]
    fn each_round_has_each_kind_once() {
        let all = Kind::value_variants();
        for round in plan(3, 4, &[]).chunks(all.len()) {
            let mut kinds: Vec<Kind> = round.iter().map(|fault| fault.kind).collect();
            kinds.sort();
            assert_eq!(kinds, all);
        }
    }

    #[test]
    fn only_what_was_asked_for_happens_and_nothing_twice_in_a_round() {
        let asked = [Kind::PauseBroker, Kind::KillEtl, Kind::PauseBroker];
        let faults = plan(1, 3, &asked);
        assert_eq!(faults.len(), 6);
        for fault in faults {
            match fault.kind {
                Kind::PauseBroker => assert!(fault.part.starts_with("broker-"), "{fault}"),
                kind => assert_eq!((kind, &*fault.part), (Kind::KillEtl, "etl")),
            }
        }
    }

    #[test]
    fn in_time_every_broker_is_a_victim() {
        let faults = plan(1, 30, &[Kind::KillBroker]);
        for id in 1..=3 {
            let name = format!("broker-{id}");
            assert!(faults.iter().any(|fault| fault.part == name), "{name}");
        }
    }
}
