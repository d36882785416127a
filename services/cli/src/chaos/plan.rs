//! What happens to which part: a function of the seed alone.

use std::fmt;

use anyhow::bail;
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// How a part is hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    KillBroker,
    StopBroker,
    PauseBroker,
    StormBroker,
    PartitionBroker,
    OnewayBroker,
    ResetsBroker,
    MemoryBroker,
    FullDisk,
    UnreadableDisk,
    SlowDisk,
    KillEtl,
    KillArchiver,
    CrashPostgres,
    OutageOpensearch,
    OutageS3,
}

impl Kind {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it does to a part.
    fn words(self) -> &'static str {
        match self {
            Kind::KillBroker | Kind::KillEtl | Kind::KillArchiver => "kill -9",
            Kind::StopBroker => "stopped in order (SIGTERM), and started",
            Kind::PauseBroker => "stands still for 12 s",
            Kind::StormBroker => "killed four times, before it is back",
            Kind::PartitionBroker => "cut off from everyone for 12 s",
            Kind::OnewayBroker => "heard by nobody for 12 s",
            Kind::ResetsBroker => "each connection to it is reset, for 8 s",
            Kind::MemoryBroker => "hardly any more memory for 12 s, and perhaps killed for that",
            Kind::FullDisk => "restarted so that it takes its disk for full, for 12 s",
            Kind::UnreadableDisk => "its log directory cannot be entered for 8 s",
            Kind::SlowDisk => "a very slow disk for 12 s",
            Kind::CrashPostgres => "immediate shutdown",
            Kind::OutageOpensearch | Kind::OutageS3 => "away for some seconds",
        }
    }
}

/// One part, hurt in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// As `make status` names it.
    pub part: String,
}

/// What happens, and what does not with the reason for that.
#[derive(Debug)]
pub struct Choice {
    pub kinds: Vec<Kind>,
    pub left_out: Vec<(Kind, String)>,
}

/// All that was asked for; everything that can be done, where nothing was. `lacks` says why a kind cannot be.
pub fn choose(only: &[Kind], lacks: impl Fn(Kind) -> Option<String>) -> anyhow::Result<Choice> {
    let mut kinds = match only {
        [] => Kind::value_variants().to_vec(),
        some => some.to_vec(),
    };
    kinds.sort();
    kinds.dedup();
    let with_lack = |kind: &Kind| lacks(*kind).map(|lack| (*kind, lack));
    let left_out: Vec<(Kind, String)> = kinds.iter().filter_map(with_lack).collect();
    if let Some((kind, lack)) = left_out.first().filter(|_| !only.is_empty()) {
        bail!(
            "{} cannot be done here: {lack}. Leave it out of --only; without --only everything happens that can be done",
            kind.name()
        );
    }
    kinds.retain(|kind| left_out.iter().all(|(left_out, _)| left_out != kind));
    Ok(Choice { kinds, left_out })
}

/// Each of `kinds` once in each round, in an order of each round's own.
pub fn plan(seed: u64, rounds: u32, kinds: &[Kind]) -> Vec<Fault> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut kinds = kinds.to_vec();
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
        Kind::KillEtl => "etl".into(),
        Kind::KillArchiver => "archiver".into(),
        Kind::CrashPostgres => "postgres".into(),
        Kind::OutageOpensearch => "opensearch".into(),
        Kind::OutageS3 => "s3".into(),
        _ => format!("broker-{}", dice.random_range(1..=3)),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.kind.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> &'static [Kind] {
        Kind::value_variants()
    }

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(plan(7, 5, all()), plan(7, 5, all()));
        assert_ne!(plan(7, 5, all()), plan(8, 5, all()));
    }

    #[test]
    fn each_round_has_each_kind_once() {
        for round in plan(3, 4, all()).chunks(all().len()) {
            let mut kinds: Vec<Kind> = round.iter().map(|fault| fault.kind).collect();
            kinds.sort();
            assert_eq!(kinds, all());
        }
    }

    #[test]
    fn only_what_was_asked_for_happens_and_nothing_twice_in_a_round() {
        let asked = [Kind::PauseBroker, Kind::KillEtl, Kind::PauseBroker];
        let choice = choose(&asked, |_| None).expect("all of it can be done");
        let faults = plan(1, 3, &choice.kinds);
        assert_eq!(faults.len(), 6);
        for fault in faults {
            match fault.kind {
                Kind::PauseBroker => assert!(fault.part.starts_with("broker-"), "{fault}"),
                kind => assert_eq!((kind, &*fault.part), (Kind::KillEtl, "etl")),
            }
        }
    }

    #[test]
    fn what_cannot_be_done_is_left_out_and_named_unless_it_was_asked_for() {
        let lacks = |kind| (kind == Kind::SlowDisk).then(|| "no such disk".to_owned());
        let choice = choose(&[], lacks).expect("the rest can be done");
        assert_eq!(
            choice.left_out,
            [(Kind::SlowDisk, "no such disk".to_owned())]
        );
        assert_eq!(choice.kinds.len(), all().len() - 1);
        let refused = choose(&[Kind::KillEtl, Kind::SlowDisk], lacks);
        let refused = refused.expect_err("it was asked for").to_string();
        for words in ["slow-disk", "no such disk", "--only"] {
            assert!(refused.contains(words), "{refused}");
        }
        assert!(choose(&[Kind::KillEtl], lacks).is_ok());
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
