//! What a life is made of, drawn from its seed. A plan is data, so that one that fails can be made smaller.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::faults::Kind;

/// How long things go wrong, in milliseconds.
pub const HARM_MS: u64 = 12_000;

/// A topic of the workload.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub replicas: i16,
    pub configs: Vec<(String, String)>,
}

/// A consumer group of the workload: it reads every topic.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub members: u32,
    /// How many of them have a name of their own (KIP-345).
    pub statics: u32,
}

impl Group {
    /// The name of a member, from 0 on.
    pub fn member(&self, number: u32) -> String {
        format!("{}-member-{number}", self.name)
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug)]
pub struct Harm {
    /// After the topics were made.
    pub at_ms: u64,
    pub lasts_ms: u64,
    pub kind: Kind,
    pub victim: i32,
}

/// One life.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub brokers: i32,
    pub properties: Vec<(String, String)>,
    pub topics: Vec<Topic>,
    /// Idempotent producers with acks=all.
    pub producers: u32,
    /// Producers with acks=1, which give a record up when it is refused.
    pub careless: u32,
    pub consumers: u32,
    pub groups: Vec<Group>,
    /// Whether replicas are moved and leaders elected on purpose.
    pub moves: bool,
    pub elections: bool,
    pub harms: Vec<Harm>,
}

impl Plan {
    /// The life of a seed. Each has only some kinds of faults, so that some are only slow and some only cruel (swarm
    /// testing: what one kind hides, another life shows).
    pub fn of(seed: u64) -> Plan {
        let mut dice = StdRng::seed_from_u64(seed);
        let brokers = if dice.random_bool(0.3) { 5 } else { 3 };
        let kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|_| dice.random_bool(0.35))
            .collect();
        let count = dice.random_range(1..=8);
        let mut harms: Vec<Harm> = (0..count)
            .filter_map(|_| {
                let kind = *kinds.choose(&mut dice)?;
                Some(Harm {
                    at_ms: dice.random_range(0..HARM_MS * 3 / 4),
                    lasts_ms: dice.random_range(100..6000),
                    kind,
                    victim: dice.random_range(1..=brokers),
                })
            })
            .collect();
        harms.sort_by_key(|harm| harm.at_ms);
        let topics = (0..dice.random_range(1..=2))
            .map(|n| topic(n, &mut dice))
            .collect();
        Plan {
            seed,
            brokers,
            properties: Vec::new(),
            topics,
            producers: dice.random_range(1..=3),
            careless: dice.random_range(0..=1),
            consumers: dice.random_range(1..=2),
            groups: (0..dice.random_range(0..=2))
                .map(|n| group(n, &mut dice))
                .collect(),
            moves: dice.random_bool(0.3),
            elections: dice.random_bool(0.3),
            harms,
        }
    }

    /// The same life with other harms.
    pub fn with_harms(&self, harms: Vec<Harm>) -> Plan {
        Plan {
            harms,
            ..self.clone()
        }
    }
}

fn group(number: u32, dice: &mut StdRng) -> Group {
    let members = dice.random_range(1..=3);
    Group {
        name: format!("readers-{number}"),
        members,
        statics: dice.random_range(0..=members),
    }
}

fn topic(number: i32, dice: &mut StdRng) -> Topic {
    let mut configs = Vec::new();
    let mut maybe = |dice: &mut StdRng, name: &str, value: &str| {
        if dice.random_bool(0.4) {
            configs.push((name.to_string(), value.to_string()));
        }
    };
    maybe(dice, "index.interval.bytes", "64");
    maybe(dice, "flush.messages", "1");
    maybe(dice, "segment.ms", "2000");
    Topic {
        name: format!("lives-{number}"),
        partitions: dice.random_range(1..=3),
        replicas: dice.random_range(2..=3),
        configs,
    }
}
