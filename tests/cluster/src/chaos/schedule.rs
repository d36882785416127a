//! What happens when: a function of the seed alone.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::kind::Kind;
use super::turns::Turns;

/// How long a broker may be silent before it is fenced; a pause lasts longer.
pub const SESSION: Duration = Duration::from_secs(4);

/// One fault on one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    pub kind: Kind,
    /// The broker that is hurt.
    pub victim: i32,
    /// Decides everything that the kind leaves open.
    pub dice: u64,
}

/// What is done to a consumer meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Churn {
    /// kill -9, and started again.
    Kill(usize),
    /// It leaves its group, and is started again.
    Leave(usize),
}

/// A fault, perhaps with a second one on the same broker amid it, and the time until it heals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub number: usize,
    pub blow: Blow,
    pub amid: Option<Blow>,
    pub lasting: Duration,
    /// How long the cluster is left alone afterwards.
    pub calm: Duration,
    pub churn: Option<Churn>,
}

/// An endless sequence of steps. Each round has every kind once, in an order of its own, so that a run of any length
/// has about as many of each.
#[derive(Debug)]
pub struct Schedule {
    dice: StdRng,
    kinds: Turns<Kind>,
    /// Each broker must be hurt, and each must lead.
    victims: Turns<i32>,
    consumers: usize,
    number: usize,
    /// Whether faults may overlap; a short run has no time for that.
    overlaps: bool,
}

impl Schedule {
    pub fn new(seed: u64, kinds: &[Kind], brokers: i32, consumers: usize) -> Schedule {
        Schedule {
            dice: StdRng::seed_from_u64(seed),
            kinds: Turns::new(kinds.to_vec()),
            victims: Turns::new((1..=brokers).collect()),
            consumers,
            number: 0,
            overlaps: kinds.len() == Kind::ALL.len(),
        }
    }

    fn amid(&mut self, first: Kind, victim: i32) -> Option<Blow> {
        let wanted = self.overlaps && self.dice.random_bool(0.3);
        let kind = if self.dice.random_bool(0.7) {
            Kind::Kill
        } else {
            Kind::Pause
        };
        let dice = self.dice.random();
        (wanted && first.can_be_overlapped()).then_some(Blow { kind, victim, dice })
    }

    fn lasting(&mut self, paused: bool) -> Duration {
        let least = if paused { SESSION } else { Duration::ZERO };
        least + Duration::from_millis(self.dice.random_range(2_000..6_000))
    }

    fn churn(&mut self) -> Option<Churn> {
        let who = self.dice.random_range(0..self.consumers.max(1));
        let churn = match self.dice.random_range(0..4) {
            0 => Some(Churn::Kill(who)),
            1 => Some(Churn::Leave(who)),
            _ => None,
        };
        churn.filter(|_| self.consumers > 0)
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let kind = self.kinds.next(&mut self.dice);
        let victim = self.victims.next(&mut self.dice);
        let dice = self.dice.random();
        let amid = self.amid(kind, victim);
        let paused = kind == Kind::Pause || amid.as_ref().is_some_and(|b| b.kind == Kind::Pause);
        let lasting = self.lasting(paused);
        let calm = Duration::from_millis(self.dice.random_range(500..2_500));
        let churn = self.churn();
        self.number += 1;
        Some(Step {
            number: self.number,
            blow: Blow { kind, victim, dice },
            amid,
            lasting,
            calm,
            churn,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn steps(seed: u64, kinds: &[Kind], count: usize) -> Vec<Step> {
        Schedule::new(seed, kinds, 3, 4).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_gives_others() {
        assert_eq!(steps(7, &Kind::ALL, 60), steps(7, &Kind::ALL, 60));
        assert_ne!(steps(7, &Kind::ALL, 60), steps(8, &Kind::ALL, 60));
    }

    #[test]
    fn each_round_has_every_kind_and_each_turn_every_broker() {
        for seed in 0..20 {
            let all = steps(seed, &Kind::ALL, Kind::ALL.len() * 3);
            for round in all.chunks(Kind::ALL.len()) {
                let kinds: BTreeSet<Kind> = round.iter().map(|step| step.blow.kind).collect();
                assert_eq!(kinds.len(), Kind::ALL.len());
            }
            for turn in all.chunks(3) {
                let victims: BTreeSet<i32> = turn.iter().map(|step| step.blow.victim).collect();
                assert_eq!(victims.len(), 3);
            }
        }
    }

    #[test]
    fn what_comes_amid_a_fault_hits_the_same_broker_and_a_pause_outlasts_the_session() {
        let all = steps(3, &Kind::ALL, 300);
        let both: Vec<&Step> = all.iter().filter(|step| step.amid.is_some()).collect();
        assert!(!both.is_empty());
        for step in &both {
            let amid = step.amid.as_ref().expect("only those");
            assert_eq!(amid.victim, step.blow.victim);
            assert!(step.blow.kind.can_be_overlapped());
        }
        let pauses = all.iter().filter(|step| step.blow.kind == Kind::Pause);
        assert!(pauses.into_iter().all(|step| step.lasting > SESSION));
    }
}
