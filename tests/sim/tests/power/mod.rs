//! Power fails: at one machine and at another, at all of them at once, with and without `flush.messages=1`.
//! docs/durability.md says what is promised.

mod outage;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::faults::Kind;
use sim::{Harm, Plan, seed_or};

use crate::traced;

const SEEDS: u64 = 4;

/// Machines lose power at any moment, while processes of others die and start again.
fn blackouts(plan: &Plan) -> Plan {
    let mut dice = StdRng::seed_from_u64(plan.seed ^ 0x0070_6f77_6572);
    let mut harms: Vec<Harm> = (0..14)
        .map(|_| Harm {
            at_ms: dice.random_range(0..10_000),
            lasts_ms: dice.random_range(50..4_000),
            kind: match dice.random_range(0..10) {
                0..=6 => Kind::PowerLoss,
                7..=8 => Kind::Kill,
                _ => Kind::Stop,
            },
            victim: dice.random_range(1..=plan.brokers),
        })
        .collect();
    harms.sort_by_key(|harm| harm.at_ms);
    plan.with_harms(harms)
}

#[test]
fn nothing_acknowledged_is_lost_as_long_as_one_who_had_it_keeps_its_memory() {
    let (mut losses, mut together) = (0, 0);
    for seed in seed_or(300)..seed_or(300) + SEEDS {
        let mut dark = 0;
        for line in traced(&blackouts(&Plan::of(seed))) {
            let begins = Kind::ALL
                .iter()
                .any(|kind| line.starts_with(&format!("{kind:?} of broker")));
            match line.ends_with(" ends") {
                true if begins => dark -= 1,
                false if begins => {
                    dark += 1;
                    let is_loss = line.starts_with("PowerLoss");
                    losses += i32::from(is_loss);
                    together += i32::from(is_loss && dark > 1);
                }
                _ => {}
            }
        }
    }
    assert!(
        losses > 8 && together > 2,
        "{losses} losses of power, {together} while another was away, are too few to prove anything"
    );
}

#[test]
fn with_every_record_flushed_nothing_is_lost_when_all_lose_power_at_once() {
    for seed in seed_or(400)..seed_or(400) + 2 {
        let plan = Plan::of(seed).flushed();
        let all_at = |at_ms| {
            (1..=plan.brokers).map(move |victim| Harm {
                at_ms,
                lasts_ms: 500,
                kind: Kind::PowerLoss,
                victim,
            })
        };
        let harms: Vec<Harm> = all_at(2_000).chain(all_at(8_000)).collect();
        let wanted = harms.len();
        let lines = traced(&plan.with_harms(harms));
        let began = |line: &&String| line.starts_with("PowerLoss") && !line.ends_with(" ends");
        assert_eq!(lines.iter().filter(began).count(), wanted, "seed {seed}");
    }
}
