//! Whole clusters of one partition, on three brokers or moving about among five, on the engine alone: no sockets, no clock, no disk.
//!
//! A life is made from a seed: messages are lost, delayed and reordered, brokers crash and lose or keep what they had
//! not synced, the controller fences, elects and changes ISRs with the code that it has in production, and every
//! append and truncation is one that [`engine::replica`] has decided. Where there are five brokers, replicas are
//! reassigned (and a broker that has lost its replica deletes the log), reassignments are replaced and taken back, and
//! brokers leave in order. After every step the invariants 1 to 5 of the
//! design are checked. At the end all faults stop, and the cluster must come to rest with everything replicated.
//!
//! `SEED=n cargo test -p engine --test replicas` replays one life; `SEEDS=n` lives that many.

mod broker;
mod clients;
mod controller;
mod disk;
mod faults;
mod invariants;
mod moves;
mod network;
mod world;

use world::World;

/// Lives of one ordinary test run: a few seconds.
const SEEDS: u64 = 2_000;
const STEPS: usize = 600;

fn live(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.heal();
    world
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_life_keeps_the_invariants() {
    if let Some(seed) = number("SEED") {
        println!("{}", live(seed).summary());
        return;
    }
    let (mut appended, mut elections, mut truncations, mut moves) = (0, 0, 0, 0);
    for seed in 0..number("SEEDS").unwrap_or(SEEDS) {
        let lived = std::panic::catch_unwind(|| {
            let world = live(seed);
            let moves = world.moves();
            (
                world.committed(),
                world.elections(),
                world.truncations(),
                moves,
            )
        });
        match lived {
            Ok(counts) => {
                appended += counts.0;
                elections += counts.1;
                truncations += counts.2;
                moves += counts.3;
            }
            Err(_) => panic!("SEED={seed} breaks an invariant"),
        }
    }
    println!(
        "{appended} batches committed, {elections} elections, {truncations} truncations, {moves} replicas moved"
    );
    assert!(
        appended > 0 && elections > 0 && truncations > 0 && moves > 0,
        "the lives were too quiet to prove anything"
    );
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in [1, 77, 4711] {
        assert_eq!(live(seed).summary(), live(seed).summary());
    }
}
