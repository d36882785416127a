//! Which brokers get the replicas of new partitions.
//!
//! Replicas go round the brokers in steps, so that each broker leads and follows about as many partitions of the
//! topic as any other, and what one broker leads is followed by all others in turn: when it dies its load spreads.
//! Brokers of different racks take turns. Live brokers come first; a fenced one only fills up the replication factor.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wire::Str;

use super::{BrokerState, Image, Rejection, Resource};
use crate::ids::BrokerId;

/// The setting of all brokers that lists those which get no new replicas, with commas.
pub const DRAINED: &str = "drained.brokers";

/// How the replicas of new partitions are placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assignment {
    /// By the controller.
    Spread {
        /// How many partitions.
        partitions: i32,
        /// How many replicas each.
        replication_factor: i16,
    },
    /// By the one who asks: the replicas of each partition, the preferred leader first.
    Given(Vec<Vec<BrokerId>>),
}

struct Candidate<'a> {
    id: BrokerId,
    rack: Option<&'a Str>,
}

impl Image {
    /// Places `count` partitions, of which the first has index `first`, with `factor` replicas each.
    pub(super) fn place(
        &self,
        load: &Load,
        first: usize,
        count: usize,
        factor: usize,
    ) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        let usable = self.brokers().filter(|b| !self.is_drained(b.id));
        let (live, rest): (Vec<_>, Vec<_>) = usable.partition(|b| b.is_active());
        let usable = live.len() + rest.len();
        if factor > usable {
            let drained = match self.brokers().count() - usable {
                0 => String::new(),
                count => format!(" and not drained, {count} are drained"),
            };
            return Err(Rejection::InvalidReplicationFactor(format!(
                "The target replication factor of {factor} cannot be reached because only {usable} broker(s) are registered{drained}."
            )));
        }
        if live.is_empty() {
            return Err(Rejection::InvalidReplicationFactor(
                "All brokers are currently fenced.".into(),
            ));
        }
        let live = by_rack_in_turns(live.iter().map(|b| b.as_ref()));
        let rest = by_rack_in_turns(rest.iter().map(|b| b.as_ref()));
        let start = load.least(&live);
        Ok((0..count)
            .map(|i| place_one(&live, &rest, start + i, (first + i) / live.len(), factor))
            .collect())
    }
}

impl Image {
    /// Whether a broker gets no new replicas, because its own are to be moved away.
    pub fn is_drained(&self, broker: BrokerId) -> bool {
        let listed = self.config(&Resource::AllBrokers, DRAINED).unwrap_or("");
        let mut ids = listed.split(',').map(|id| id.trim().parse::<i32>());
        ids.any(|id| id == Ok(broker.0))
    }
}

/// Of how many partitions each broker is the preferred leader. Counted once for a command, however many topics it has.
pub(super) struct Load(BTreeMap<BrokerId, usize>);

impl Load {
    pub fn of(image: &Image) -> Load {
        let mut load = Load(BTreeMap::new());
        image.partitions().for_each(|(_, p)| load.add(&p.replicas));
        load
    }

    /// One more partition.
    pub fn add(&mut self, replicas: &[BrokerId]) {
        if let Some(preferred) = replicas.first() {
            *self.0.entry(*preferred).or_default() += 1;
        }
    }

    /// Where in the list the broker stands that has the fewest.
    fn least(&self, live: &[Candidate<'_>]) -> usize {
        let of = |c: &Candidate<'_>| self.0.get(&c.id).copied().unwrap_or(0);
        (0..live.len()).min_by_key(|i| of(&live[*i])).unwrap_or(0)
    }
}

/// Orders brokers so that neighbours are of different racks as long as that is possible.
fn by_rack_in_turns<'a>(brokers: impl Iterator<Item = &'a BrokerState>) -> Vec<Candidate<'a>> {
    let mut racks = BTreeMap::<Option<&Str>, Vec<BrokerId>>::new();
    for broker in brokers {
        racks
            .entry(broker.rack.as_ref())
            .or_default()
            .push(broker.id);
    }
    let deepest = racks.values().map(Vec::len).max().unwrap_or(0);
    let turn = |i: usize| {
        racks.iter().filter_map(move |(rack, ids)| {
            ids.get(i).map(|id| Candidate {
                id: *id,
                rack: *rack,
            })
        })
    };
    (0..deepest).flat_map(turn).collect()
}

/// The replicas of one partition. `turn` counts the partitions; each `round` over the brokers pairs a leader with
/// other followers than the round before.
fn place_one(
    live: &[Candidate<'_>],
    rest: &[Candidate<'_>],
    turn: usize,
    round: usize,
    factor: usize,
) -> Vec<BrokerId> {
    let n = live.len();
    let leader = turn % n;
    let followers: Vec<_> = (1..n)
        .map(|j| &live[(leader + 1 + (round + j) % (n - 1)) % n])
        .collect();
    let spare = (0..rest.len()).map(|j| &rest[(turn + j) % rest.len()]);

    let mut chosen = vec![live[leader].id];
    let mut racks = BTreeSet::from_iter(live[leader].rack);
    // First those whose rack has no replica yet, then whoever is left, then the fenced.
    for candidate in &followers {
        if chosen.len() < factor && candidate.rack.is_some_and(|r| racks.insert(r)) {
            chosen.push(candidate.id);
        }
    }
    for candidate in followers.into_iter().chain(spare) {
        if chosen.len() < factor && !chosen.contains(&candidate.id) {
            chosen.push(candidate.id);
        }
    }
    chosen.truncate(factor);
    chosen
}
