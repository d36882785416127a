//! Whether others keep their latency: how long the client that behaves waits under an attack, beside how long it waits in
//! the calm just before and just after it, in the same run and on the same machine.
//!
//! Nothing is judged by the clock alone. Attackers take processor time from everybody, on a small machine most of it, so
//! the limits are wide: a median of ten times the calm one is still a client that works, one of a hundred times is not.

use serde_json::{Value, json};

use super::honest::{Seen, Waits};

/// Who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody but the client that behaves.
    Quiet,
    /// Idle connections too.
    Calm,
    /// And those that do something.
    Attack,
}

/// A phase, as far as latency goes.
pub type Observed<'a> = (&'static str, Stage, &'a Seen);

/// Shorter waits in the calm count as this: ten times next to nothing is nothing, too. Milliseconds.
pub const FLOOR_MS: f64 = 10.0;
/// Of which part of the waits, and how many times the calm one.
pub const LIMITS: [(f64, f64); 2] = [(MEDIAN, 10.0), (0.9, 20.0)];
const MEDIAN: f64 = 0.5;
/// Of fewer waits there is a median, but no tail.
const TAIL: usize = 20;

/// One quantile of one kind of wait, in the calm and under an attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub phase: &'static str,
    pub what: &'static str,
    pub part: f64,
    pub limit: f64,
    /// How many waits, and the quantile in milliseconds.
    pub calm: (usize, f64),
    pub attack: (usize, f64),
}

impl Comparison {
    pub fn ratio(&self) -> f64 {
        self.attack.1 / self.calm.1.max(FLOOR_MS)
    }

    /// What is wrong with it.
    pub fn breach(&self) -> Option<String> {
        let Comparison {
            phase,
            what,
            limit,
            calm,
            attack,
            ..
        } = self;
        let (percent, ratio) = (self.percent(), self.ratio());
        if calm.0 == 0 || attack.0 == 0 {
            let (calm, attack) = (calm.0, attack.0);
            return Some(format!(
                "{phase}: {what}: nothing to compare: {calm} waits in the calm, {attack} under attack"
            ));
        }
        let is_judged = self.part <= MEDIAN || calm.0.min(attack.0) >= TAIL;
        (is_judged && ratio > *limit).then(|| {
            format!(
                "{phase}: {what}: p{percent} is {:.1} ms, in the calm {:.1} ms: x{ratio:.1}, of x{limit} of at least {FLOOR_MS} ms",
                attack.1, calm.1
            )
        })
    }

    pub fn percent(&self) -> u32 {
        (self.part * 100.0).round() as u32
    }

    pub fn json(&self) -> Value {
        json!({
            "phase": self.phase,
            "what": self.what,
            "percent": self.percent(),
            "calm_n": self.calm.0,
            "calm_ms": self.calm.1,
            "attack_n": self.attack.0,
            "attack_ms": self.attack.1,
            "ratio": self.ratio(),
            "limit": self.limit,
        })
    }
}

/// Each attack beside the calm around it; and all of the calm, in which idle connections are there, beside the quiet at
/// both ends of the run.
pub fn compare(phases: &[Observed]) -> Vec<Comparison> {
    let of = |stage| {
        let found = phases.iter().filter(move |phase| phase.1 == stage);
        found.map(|phase| phase.2).collect::<Vec<_>>()
    };
    let mut all = quantiles("idle", &of(Stage::Quiet), &of(Stage::Calm));
    for (at, (name, stage, seen)) in phases.iter().enumerate() {
        if *stage != Stage::Attack {
            continue;
        }
        let is_calm = |phase: &&Observed| phase.1 == Stage::Calm;
        let before = phases[..at].iter().rev().find(is_calm);
        let after = phases[at..].iter().find(is_calm);
        let around: Vec<&Seen> = before.into_iter().chain(after).map(|p| p.2).collect();
        all.extend(quantiles(name, &around, &[seen]));
    }
    all
}

/// Everything that is wrong with a run's latency.
pub fn breaches(comparisons: &[Comparison]) -> Vec<String> {
    let mut all: Vec<String> = comparisons.iter().filter_map(Comparison::breach).collect();
    if !comparisons.iter().any(|one| one.phase != "idle") {
        all.push("no attack was compared with the calm around it".to_owned());
    }
    all
}

/// What is waited for, and where that is among what was seen.
type Kind = (&'static str, fn(&Seen) -> &Waits);

fn quantiles(phase: &'static str, calm: &[&Seen], attack: &[&Seen]) -> Vec<Comparison> {
    let kinds: [Kind; 3] = [
        ("ack", |seen| &seen.acks),
        ("end-to-end", |seen| &seen.ends),
        ("connect", |seen| &seen.connects),
    ];
    let mut all = Vec::new();
    for (what, kind) in kinds {
        let pooled = |seen: &[&Seen]| Waits::pooled(seen.iter().map(|seen| kind(seen)));
        let (calm, attack) = (pooled(calm), pooled(attack));
        all.extend(LIMITS.map(|(part, limit)| Comparison {
            phase,
            what,
            part,
            limit,
            calm: (calm.count(), calm.quantile_ms(part)),
            attack: (attack.count(), attack.quantile_ms(part)),
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Stage::{Attack, Calm, Quiet};
    use super::*;

    /// Waits of which eight of ten take `usual` milliseconds, and the rest `tail`.
    fn waits(count: usize, usual: f64, tail: f64) -> Waits {
        let one = |at: usize| if at % 10 < 8 { usual } else { tail };
        let all = (0..count).map(|at| Duration::from_secs_f64(one(at) / 1000.0));
        all.collect()
    }

    fn seen(usual: f64, tail: f64) -> Seen {
        Seen {
            acks: waits(200, usual, tail),
            ends: waits(200, usual, tail),
            connects: waits(200, usual, tail),
            errors: Vec::new(),
        }
    }

    fn judged(phases: &[(Stage, &Seen)]) -> Vec<String> {
        let name = |stage| match stage {
            Quiet => "quiet",
            Calm => "calm",
            Attack => "storm",
        };
        let phases: Vec<Observed> = phases
            .iter()
            .map(|(stage, seen)| (name(*stage), *stage, *seen))
            .collect();
        breaches(&compare(&phases))
    }

    /// An attack in the middle of an otherwise even run.
    fn attacked(calm: &Seen, attack: &Seen) -> Vec<String> {
        judged(&[
            (Quiet, calm),
            (Calm, calm),
            (Attack, attack),
            (Calm, calm),
            (Quiet, calm),
        ])
    }

    #[test]
    fn a_client_that_keeps_its_latency_breaks_no_limit() {
        let calm = seen(20.0, 30.0);
        assert_eq!(attacked(&calm, &calm), Vec::<String>::new());
        assert_eq!(attacked(&calm, &seen(200.0, 600.0)), Vec::<String>::new());
        // A machine that is a hundred times as slow is as slow in the calm.
        let slow = attacked(&seen(2_000.0, 3_000.0), &seen(6_000.0, 9_000.0));
        assert_eq!(slow, Vec::<String>::new());
        // Of hardly anything even a hundred times is little.
        let tiny = attacked(&seen(0.2, 0.4), &seen(20.0, 40.0));
        assert_eq!(tiny, Vec::<String>::new());
    }

    #[test]
    fn a_median_of_many_times_the_calm_one_is_refused() {
        let refused = attacked(&seen(20.0, 30.0), &seen(220.0, 220.0));
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused.iter().all(|text| text.contains("p50")));
        let beyond_the_floor = attacked(&seen(0.2, 0.4), &seen(110.0, 110.0));
        assert_eq!(beyond_the_floor.len(), 3, "{beyond_the_floor:?}");
    }

    #[test]
    fn a_tail_of_many_times_the_calm_one_is_refused_where_there_is_a_tail() {
        let calm = seen(20.0, 30.0);
        let refused = attacked(&calm, &seen(20.0, 700.0));
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused.iter().all(|text| text.contains("p90")));
        let few = Seen {
            connects: waits(10, 20.0, 700.0),
            ..calm.clone()
        };
        assert_eq!(attacked(&calm, &few), Vec::<String>::new());
    }

    #[test]
    fn one_kind_of_wait_is_enough() {
        let calm = seen(20.0, 30.0);
        let connects = Seen {
            connects: waits(200, 900.0, 900.0),
            ..calm.clone()
        };
        let refused = attacked(&calm, &connects);
        assert!(!refused.is_empty());
        assert!(
            refused
                .iter()
                .all(|text| text.starts_with("storm: connect"))
        );
    }

    #[test]
    fn calm_that_is_slow_at_another_time_excuses_nothing() {
        let (calm, slow) = (seen(20.0, 30.0), seen(900.0, 900.0));
        let refused = judged(&[
            (Quiet, &slow),
            (Calm, &calm),
            (Attack, &slow),
            (Calm, &calm),
            (Attack, &calm),
            (Calm, &slow),
            (Calm, &slow),
            (Quiet, &slow),
        ]);
        assert_eq!(refused.len(), 6, "{refused:?}");
    }

    #[test]
    fn idle_connections_are_judged_by_the_quiet_at_both_ends() {
        let (calm, slow) = (seen(20.0, 30.0), seen(900.0, 900.0));
        let refused = judged(&[
            (Quiet, &calm),
            (Calm, &slow),
            (Attack, &slow),
            (Calm, &slow),
            (Quiet, &calm),
        ]);
        assert!(!refused.is_empty());
        assert!(refused.iter().all(|text| text.starts_with("idle: ")));
    }

    #[test]
    fn where_nothing_can_be_compared_nothing_has_passed() {
        let calm = seen(20.0, 30.0);
        let refused = attacked(&calm, &Seen::default());
        assert_eq!(refused.len(), 6, "{refused:?}");
        assert_eq!(judged(&[(Quiet, &calm), (Calm, &calm)]).len(), 1);
        assert!(!judged(&[(Quiet, &calm), (Attack, &calm), (Quiet, &calm)]).is_empty());
        assert!(!judged(&[]).is_empty());
    }
}
