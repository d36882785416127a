//! What happens when: a function of the seed alone.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::kind::Kind;
use super::turns::Turns;

/// How long a broker may be silent before it is fenced; a pause lasts longer.
pub const SESSION: Duration = Duration::from_secs(4);

/// A run that is shorter than this hurries.
const LONG: Duration = Duration::from_secs(5 * 60);

/// How much time a run takes for a fault: every kind must occur in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tempo {
    Usual,
    /// Faults are short, and some always come amid others: all kinds in nine steps.
    Quick,
}

impl Tempo {
    /// Of a run of this length.
    pub fn of(duration: Duration) -> Tempo {
        match duration < LONG {
            true => Tempo::Quick,
            false => Tempo::Usual,
        }
    }
}

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
    /// How long the fault goes on before the second one comes.
    pub lead: Duration,
    /// How long it goes on from there, or from its beginning where it is alone.
    pub lasting: Duration,
    /// How long the cluster is left alone afterwards.
    pub calm: Duration,
    pub churn: Option<Churn>,
}

impl Step {
    /// All that it brings.
    pub fn kinds(&self) -> Vec<Kind> {
        let amid = self.amid.iter().map(|blow| blow.kind);
        std::iter::once(self.blow.kind).chain(amid).collect()
    }
}

/// An endless sequence of steps. Each round has every kind once, in an order of its own, so that a run of any length
/// has about as many of each.
#[derive(Debug)]
pub struct Schedule {
    dice: StdRng,
    tempo: Tempo,
    /// What is left of the round, each with what comes amid it.
    round: Vec<(Kind, Option<Kind>)>,
    /// Each broker must be hurt, and each must lead.
    victims: Turns<i32>,
    consumers: usize,
    number: usize,
}

impl Schedule {
    pub fn new(seed: u64, tempo: Tempo, brokers: i32, consumers: usize) -> Schedule {
        Schedule {
            dice: StdRng::seed_from_u64(seed),
            tempo,
            round: Vec::new(),
            victims: Turns::new((1..=brokers).collect()),
            consumers,
            number: 0,
        }
    }

    fn kinds(&mut self) -> (Kind, Option<Kind>) {
        if self.round.is_empty() {
            self.round = match self.tempo {
                Tempo::Usual => usual_round(&mut self.dice),
                Tempo::Quick => quick_round(&mut self.dice),
            };
        }
        self.round.pop().expect("a round is not empty")
    }

    fn between(&mut self, usual_ms: Range<u64>, quick_ms: Range<u64>) -> Duration {
        let range = match self.tempo {
            Tempo::Usual => usual_ms,
            Tempo::Quick => quick_ms,
        };
        Duration::from_millis(self.dice.random_range(range))
    }

    fn blow(&mut self, kind: Kind, victim: i32) -> Blow {
        let dice = self.dice.random();
        Blow { kind, victim, dice }
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
        let (kind, amid) = self.kinds();
        let victim = self.victims.next(&mut self.dice);
        let blow = self.blow(kind, victim);
        let amid = amid.map(|kind| self.blow(kind, victim));
        let lead = self.between(1_000..3_000, 400..800);
        let is_paused =
            [Some(kind), amid.as_ref().map(|blow| blow.kind)].contains(&Some(Kind::Pause));
        let least = if is_paused { SESSION } else { Duration::ZERO };
        let lasting = least + self.between(2_000..6_000, 1_000..1_800);
        let calm = self.between(500..2_500, 200..500);
        let churn = self.churn();
        self.number += 1;
        Some(Step {
            number: self.number,
            blow,
            lead: amid.as_ref().map_or(Duration::ZERO, |_| lead),
            amid,
            lasting,
            calm,
            churn,
        })
    }
}

/// Every kind once, and amid some of them a kill or a pause.
fn usual_round(dice: &mut StdRng) -> Vec<(Kind, Option<Kind>)> {
    let mut kinds = Kind::ALL;
    kinds.shuffle(dice);
    let with_amid = |kind: Kind| {
        let amid = match dice.random_bool(0.7) {
            true => Kind::Kill,
            false => Kind::Pause,
        };
        let comes = dice.random_bool(0.3) && kind.can_be_overlapped();
        (kind, comes.then_some(amid))
    };
    kinds.into_iter().map(with_amid).collect()
}

/// Every kind once, four of them amid others: a kill and a pause amid whatever lasts, what is done to connections amid what
/// leaves the network alone.
fn quick_round(dice: &mut StdRng) -> Vec<(Kind, Option<Kind>)> {
    let mut local = [
        Kind::FullDisk,
        Kind::Unreadable,
        Kind::SlowDisk,
        Kind::Memory,
    ];
    local.shuffle(dice);
    let (late, reset, rest) = (local[0], local[1], &local[2..]);
    let mut lasting = [rest, &[Kind::Partition, Kind::OneWay, Kind::Silence]].concat();
    lasting.shuffle(dice);
    let mut round = vec![
        (late, Some(Kind::Latency)),
        (reset, Some(Kind::Resets)),
        (lasting[0], Some(Kind::Kill)),
        (lasting[1], Some(Kind::Pause)),
        (Kind::Stop, None),
        (Kind::Storm, None),
    ];
    round.extend(lasting[2..].iter().map(|kind| (*kind, None)));
    round.shuffle(dice);
    round
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TEMPI: [Tempo; 2] = [Tempo::Usual, Tempo::Quick];
    /// Steps of a quick round.
    const QUICK: usize = 9;

    fn steps(seed: u64, tempo: Tempo, count: usize) -> Vec<Step> {
        Schedule::new(seed, tempo, 3, 4).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_gives_others() {
        for tempo in TEMPI {
            assert_eq!(steps(7, tempo, 60), steps(7, tempo, 60));
            assert_ne!(steps(7, tempo, 60), steps(8, tempo, 60));
        }
    }

    #[test]
    fn each_round_has_every_kind_and_each_turn_every_broker() {
        for seed in 0..20 {
            for (tempo, size) in [(Tempo::Usual, Kind::ALL.len()), (Tempo::Quick, QUICK)] {
                let all = steps(seed, tempo, size * 3);
                for round in all.chunks(size) {
                    let kinds: BTreeSet<Kind> = round.iter().flat_map(Step::kinds).collect();
                    assert_eq!(kinds.len(), Kind::ALL.len(), "{round:?}");
                }
                for turn in all.chunks_exact(3) {
                    let victims: BTreeSet<i32> = turn.iter().map(|step| step.blow.victim).collect();
                    assert_eq!(victims.len(), 3);
                }
            }
        }
    }

    #[test]
    fn a_quick_round_leaves_most_of_a_minute_for_what_heals() {
        for seed in 0..100 {
            let round = steps(seed, Tempo::Quick, QUICK);
            let planned: Duration = round
                .iter()
                .map(|step| step.lead + step.lasting + step.calm)
                .sum();
            assert!(planned < Duration::from_secs(30), "{planned:?}");
        }
    }

    #[test]
    fn a_run_hurries_where_it_is_short() {
        assert_eq!(Tempo::of(Duration::from_secs(60)), Tempo::Quick);
        assert_eq!(Tempo::of(LONG), Tempo::Usual);
    }

    #[test]
    fn what_comes_amid_a_fault_hits_the_same_broker_and_a_pause_outlasts_the_session() {
        for tempo in TEMPI {
            let all = steps(3, tempo, 300);
            let both: Vec<&Step> = all.iter().filter(|step| step.amid.is_some()).collect();
            assert!(!both.is_empty());
            for step in &both {
                let amid = step.amid.as_ref().expect("only those");
                assert_eq!(amid.victim, step.blow.victim);
                assert!(step.blow.kind.can_be_overlapped());
                assert!(step.lead > Duration::ZERO);
            }
            let mut pauses = all
                .iter()
                .filter(|step| step.kinds().contains(&Kind::Pause));
            assert!(pauses.any(|step| step.amid.is_some()));
            let mut pauses = all
                .iter()
                .filter(|step| step.kinds().contains(&Kind::Pause));
            assert!(pauses.all(|step| step.lasting > SESSION));
        }
    }

    #[test]
    fn a_proxy_stands_between_only_where_nothing_else_is_done_to_the_network() {
        for step in steps(5, Tempo::Quick, 300) {
            let amid = step.amid.as_ref().map(|blow| blow.kind);
            if matches!(amid, Some(Kind::Latency | Kind::Resets)) {
                let network = [Kind::Partition, Kind::OneWay, Kind::Silence];
                assert!(!network.contains(&step.blow.kind), "{step:?}");
            }
        }
    }
}
