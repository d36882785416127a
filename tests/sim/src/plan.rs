//! What a life is made of, drawn from its seed. A plan is data, so that one that fails can be made smaller.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::faults::Kind;
use crate::operations;

/// How long things go wrong, in milliseconds.
pub const HARM_MS: u64 = 12_000;

/// Topics are not given more partitions than this.
pub const MOST_PARTITIONS: i32 = 5;

/// A topic of the workload.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub replicas: i16,
    pub configs: Vec<(String, String)>,
    /// One that lacks records may be elected, by itself or because somebody asks for it: nothing is promised of what was
    /// acknowledged, but all else holds.
    pub may_lose: bool,
}

impl Topic {
    /// What it was begun with.
    pub fn config(&self, name: &str) -> Option<&str> {
        let found = self.configs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What is older, retention takes.
    pub fn keeps_ms(&self) -> Option<u64> {
        self.config("retention.ms")?.parse().ok()
    }

    /// Of each key only the newest record has to stay.
    pub fn is_compacted(&self) -> bool {
        self.config("cleanup.policy") == Some("compact")
    }

    /// A replica that lacks records is elected without anybody's asking.
    pub fn elects_unclean(&self) -> bool {
        self.config("unclean.leader.election.enable") == Some("true")
    }
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
    /// How finely time passes on the network.
    pub tick_ms: u64,
    /// How long a disk takes for a cold read or an fsync where nothing is wrong with it.
    pub disk_ms: u64,
    pub properties: Vec<(String, String)>,
    pub topics: Vec<Topic>,
    /// Idempotent producers with acks=all.
    pub producers: u32,
    /// Producers without idempotence, by their acks: those of 0 and 1 give a record up when it is refused.
    pub careless: Vec<i16>,
    /// Idempotent producers with several batches under way.
    pub pipelined: u32,
    pub consumers: u32,
    pub groups: Vec<Group>,
    pub operations: Vec<operations::Kind>,
    /// Whether the brokers are restarted in order, one after the other.
    pub rolling: bool,
    pub harms: Vec<Harm>,
}

impl fmt::Display for Plan {
    /// In a few lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} brokers at ticks of {} ms, disks of {} ms {:?}, {} producers, careless {:?}, {} pipelined, {} consumers, operations {:?}{}",
            self.brokers,
            self.tick_ms,
            self.disk_ms,
            self.properties,
            self.producers,
            self.careless,
            self.pipelined,
            self.consumers,
            self.operations,
            if self.rolling {
                ", restarted in turn"
            } else {
                ""
            }
        )?;
        for topic in &self.topics {
            writeln!(f, "{topic:?}")?;
        }
        for group in &self.groups {
            writeln!(f, "{group:?}")?;
        }
        self.harms
            .iter()
            .try_for_each(|harm| writeln!(f, "{harm:?}"))
    }
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
        // Few that last, or many in quick succession.
        let (most, longest) = *[(8, 6000), (8, 6000), (20, 1500)]
            .choose(&mut dice)
            .unwrap_or(&(8, 6000));
        let mut harms: Vec<Harm> = (0..dice.random_range(1..=most))
            .filter_map(|_| {
                let kind = *kinds.choose(&mut dice)?;
                Some(Harm {
                    at_ms: dice.random_range(0..HARM_MS * 3 / 4),
                    lasts_ms: dice.random_range(100..longest),
                    kind,
                    victim: dice.random_range(1..=brokers),
                })
            })
            .collect();
        let flushed = dice.random_bool(0.2);
        if dice.random_bool(0.25) {
            harms.extend(all_at_once(brokers, flushed, &mut dice));
        }
        if dice.random_bool(0.25) {
            harms.extend(in_succession(brokers, &mut dice));
        }
        harms.sort_by_key(|harm| harm.at_ms);
        let topics: Vec<Topic> = (0..dice.random_range(1..=2))
            .map(|n| topic(n, &mut dice))
            .collect();
        let mut careless: Vec<i16> = (0..dice.random_range(0..=2))
            .map(|_| *[0, 1, 1, -1].choose(&mut dice).unwrap_or(&1))
            .collect();
        // Nobody else writes where sequences may be lost.
        if careless.is_empty() && topics.iter().any(|topic| topic.may_lose) {
            careless.push(1);
        }
        let plan = Plan {
            seed,
            brokers,
            // Most lives are coarse, since that is cheap; what only fine steps show, the others find.
            tick_ms: *[1, 2, 2, 5, 5].choose(&mut dice).unwrap_or(&1),
            disk_ms: *[0, 0, 0, 2, 10].choose(&mut dice).unwrap_or(&0),
            properties: properties(&mut dice),
            topics,
            producers: dice.random_range(1..=3),
            careless,
            pipelined: dice.random_range(0..=1),
            consumers: dice.random_range(1..=2),
            groups: (0..dice.random_range(0..=2))
                .map(|n| group(n, &mut dice))
                .collect(),
            operations: operations::Kind::ALL
                .into_iter()
                .filter(|_| dice.random_bool(0.25))
                .collect(),
            rolling: dice.random_bool(0.15),
            harms,
        };
        match flushed {
            true => plan.flushed(),
            false => plan,
        }
    }

    /// The same life where every record is on disk before it is acknowledged: power may fail everywhere at once.
    pub fn flushed(mut self) -> Plan {
        for topic in &mut self.topics {
            topic.configs.retain(|(name, _)| name != "flush.messages");
            topic.configs.push(("flush.messages".into(), "1".into()));
        }
        // Their positions are in a topic that is not flushed with each record.
        self.groups.clear();
        // Nor is a topic that is made meanwhile, and who is being stopped has no power to lose.
        self.operations
            .retain(|kind| *kind != operations::Kind::Recreate);
        self.rolling = false;
        self
    }

    /// The same life with a part left out, the `at`-th of all that can be; none beyond the last.
    pub fn without(&self, at: usize) -> Option<Plan> {
        let mut plan = self.clone();
        let mut at = at;
        // Whether the part was among the first so many.
        let mut is_of = |parts: usize| {
            let found = (at < parts).then_some(at);
            at = at.wrapping_sub(parts);
            found
        };
        if let Some(one) = is_of(plan.harms.len()) {
            plan.harms.remove(one);
        } else if let Some(one) = is_of(plan.operations.len()) {
            plan.operations.remove(one);
        } else if let Some(one) = is_of(plan.groups.len()) {
            plan.groups.remove(one);
        } else if is_of(usize::from(plan.rolling)).is_some() {
            plan.rolling = false;
        } else if is_of(plan.pipelined as usize).is_some() {
            plan.pipelined -= 1;
        } else if let Some(one) = is_of(plan.careless.len()) {
            plan.careless.remove(one);
        } else if is_of(plan.consumers as usize).is_some() {
            plan.consumers -= 1;
        } else if is_of(plan.producers as usize - 1).is_some() {
            plan.producers -= 1;
        } else if let Some(one) = is_of(plan.topics.len() - 1) {
            plan.topics.remove(one + 1);
        } else if let Some(one) = is_of(plan.properties.len()) {
            plan.properties.remove(one);
        } else {
            return None;
        }
        Some(plan)
    }

    /// The same life with other harms.
    pub fn with_harms(&self, harms: Vec<Harm>) -> Plan {
        Plan {
            harms,
            ..self.clone()
        }
    }
}

/// All brokers die in one moment, each for a while; where the records outlive that, all machines do.
fn all_at_once(brokers: i32, flushed: bool, dice: &mut StdRng) -> Vec<Harm> {
    let at_ms = dice.random_range(0..HARM_MS * 3 / 4);
    let kind = match flushed && dice.random_bool(0.7) {
        true => Kind::PowerLoss,
        false => Kind::Kill,
    };
    (1..=brokers)
        .map(|victim| Harm {
            at_ms,
            lasts_ms: dice.random_range(100..3000),
            kind,
            victim,
        })
        .collect()
}

/// The brokers die one after the other, in any order, and soon come back: whoever has just been elected dies next.
fn in_succession(brokers: i32, dice: &mut StdRng) -> Vec<Harm> {
    let mut order: Vec<i32> = (1..=brokers).collect();
    order.shuffle(dice);
    let mut at_ms = dice.random_range(0..HARM_MS * 3 / 4);
    let mut next = |victim| {
        at_ms += dice.random_range(20..600);
        Harm {
            at_ms,
            lasts_ms: dice.random_range(50..1500),
            kind: Kind::Kill,
            victim,
        }
    };
    order.into_iter().map(&mut next).collect()
}

fn group(number: u32, dice: &mut StdRng) -> Group {
    let members = dice.random_range(1..=3);
    Group {
        name: format!("readers-{number}"),
        members,
        statics: dice.random_range(0..=members),
    }
}

fn properties(dice: &mut StdRng) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut maybe = |name: &str, value: &str| {
        if dice.random_bool(0.3) {
            properties.push((name.to_string(), value.to_string()));
        }
    };
    // Everything is read from the disk.
    maybe("record.cache.bytes", "0");
    maybe("metadata.log.max.record.bytes.between.snapshots", "300");
    // Leaders shrink ISRs before the controller fences anybody.
    maybe("replica.lag.time.max.ms", "1000");
    maybe("log.flush.offset.checkpoint.interval.ms", "200");
    maybe("log.dirs", "/data,/more");
    properties
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
    // One replica may go on alone: what it acknowledges then only it has.
    if dice.random_bool(0.2) {
        configs.push(("min.insync.replicas".into(), "1".into()));
    }
    if dice.random_bool(0.2) {
        let keeps_ms: u64 = dice.random_range(1500..6000);
        configs.push(("retention.ms".into(), keeps_ms.to_string()));
    } else if dice.random_bool(0.3) {
        configs.retain(|(name, _)| name != "segment.ms");
        let compacted = [
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("segment.ms", "1000"),
        ];
        configs.extend(compacted.map(|(name, value)| (name.into(), value.into())));
    }
    // Of the first topic all is promised.
    let may_lose = number > 0 && dice.random_bool(0.3);
    if may_lose && dice.random_bool(0.7) {
        configs.push(("unclean.leader.election.enable".into(), "true".into()));
    }
    Topic {
        may_lose,
        name: format!("lives-{number}"),
        partitions: dice.random_range(1..=3),
        replicas: if dice.random_bool(0.15) {
            1
        } else {
            dice.random_range(2..=3)
        },
        configs,
    }
}
