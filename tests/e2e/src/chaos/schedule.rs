//! What happens when: a function of the seed alone.

use std::time::Duration;

use cluster::chaos::Turns;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::kind::Kind;

/// How long a broker may be silent before it is fenced (Kafka's default); a pause lasts longer.
pub const SESSION: Duration = Duration::from_secs(9);

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    pub kind: Kind,
    /// Decides everything that the kind leaves open.
    pub dice: u64,
}

/// A fault, perhaps with a second one amid it, and the time until it heals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub blow: Blow,
    pub amid: Option<Blow>,
    pub lasting: Duration,
    /// How long the mesh is left alone afterwards. Sinks may still be behind when the next fault comes.
    pub calm: Duration,
}

impl Step {
    /// All that it brings.
    pub fn kinds(&self) -> Vec<Kind> {
        let amid = self.amid.iter().map(|blow| blow.kind);
        std::iter::once(self.blow.kind).chain(amid).collect()
    }
}

/// An endless sequence of steps. Each round has every kind once, in an order of its own.
#[derive(Debug)]
pub struct Schedule {
    dice: StdRng,
    kinds: Turns<Kind>,
    amid: Turns<Kind>,
}

impl Schedule {
    pub fn new(seed: u64) -> Schedule {
        Schedule {
            dice: StdRng::seed_from_u64(seed),
            kinds: Turns::new(Kind::ALL.to_vec()),
            amid: Turns::new(Kind::AMID.to_vec()),
        }
    }

    fn blow(&mut self, kind: Kind) -> Blow {
        let dice = self.dice.random();
        Blow { kind, dice }
    }

    fn amid(&mut self, first: Kind) -> Option<Blow> {
        if !self.dice.random_bool(0.6) {
            return None;
        }
        let kind = self.amid.next(&mut self.dice);
        let blow = self.blow(kind);
        first.can_be_overlapped_by(kind).then_some(blow)
    }

    fn lasting(&mut self, kind: Kind) -> Duration {
        let (least, most) = match kind {
            Kind::PauseBroker => (1_000, 5_000),
            Kind::PostgresCrash | Kind::Poison => (0, 1_000),
            _ => (3_000, 9_000),
        };
        let least_of_all = match kind {
            Kind::PauseBroker => SESSION,
            _ => Duration::ZERO,
        };
        least_of_all + Duration::from_millis(self.dice.random_range(least..most))
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let kind = self.kinds.next(&mut self.dice);
        Some(Step {
            blow: self.blow(kind),
            amid: self.amid(kind),
            lasting: self.lasting(kind),
            calm: Duration::from_millis(self.dice.random_range(200..2_500)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(seed: u64, count: usize) -> Vec<Step> {
        Schedule::new(seed).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_gives_others() {
        assert_eq!(steps(7, 60), steps(7, 60));
        assert_ne!(steps(7, 60), steps(8, 60));
    }

    #[test]
    fn each_round_has_every_kind() {
        for seed in 0..20 {
            for round in steps(seed, 36).chunks(Kind::ALL.len()) {
                let kinds: BTreeSet<Kind> = round.iter().map(|step| step.blow.kind).collect();
                assert_eq!(kinds.len(), Kind::ALL.len());
            }
        }
    }

    #[test]
    fn no_two_brokers_are_away_at_once_and_a_pause_outlasts_the_session() {
        let all = steps(3, 600);
        let pauses: Vec<&Step> = all
            .iter()
            .filter(|step| step.blow.kind == Kind::PauseBroker)
            .collect();
        assert!(pauses.iter().any(|step| step.amid.is_some()));
        for step in pauses {
            assert!(step.lasting > SESSION);
            let amid = step.amid.as_ref().map(|blow| blow.kind);
            assert_ne!(amid, Some(Kind::KillBroker));
        }
    }
}
