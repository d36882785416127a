//! Which replicas go where: decided from a view, without a network.

use std::collections::{BTreeMap, BTreeSet};

use super::view::{Broker, Name, Partition, View};

/// The replicas that a partition shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub name: Name,
    pub target: Vec<i32>,
}

/// How many replicas each broker has or will have.
type Load = BTreeMap<i32, usize>;

fn load<'a>(targets: impl Iterator<Item = &'a Vec<i32>>) -> Load {
    let mut load = Load::new();
    targets
        .flatten()
        .for_each(|id| *load.entry(*id).or_default() += 1);
    load
}

fn of(load: &Load, id: i32) -> usize {
    load.get(&id).copied().unwrap_or(0)
}

/// Moves every replica off `broker`. Each goes to the broker with the fewest, in a rack that the partition is not in
/// yet where that is possible, and takes the place of the one that leaves: preferred leaders spread as replicas do.
/// The partitions for which nobody is left are the error.
pub fn drain(view: &View, broker: i32) -> Result<Vec<Move>, Vec<Name>> {
    let targets: Vec<Vec<i32>> = view.partitions.iter().map(Partition::target).collect();
    let mut load = load(targets.iter());
    let (mut moves, mut stuck) = (Vec::new(), Vec::new());
    for (partition, mut target) in view.partitions.iter().zip(targets) {
        let Some(place) = target.iter().position(|id| *id == broker) else {
            continue;
        };
        let fit = |b: &&Broker| b.takes_replicas() && b.id != broker && !target.contains(&b.id);
        let racks = racks(view, target.iter().filter(|id| **id != broker));
        let candidates = view.brokers.values().filter(fit);
        let rank = |b: &&Broker| (shares_rack(&racks, b), of(&load, b.id), b.id);
        let Some(best) = candidates.min_by_key(rank).map(|b| b.id) else {
            stuck.push(partition.name.clone());
            continue;
        };
        target[place] = best;
        *load.entry(best).or_default() += 1;
        moves.push(Move {
            name: partition.name.clone(),
            target,
        });
    }
    if stuck.is_empty() {
        Ok(moves)
    } else {
        Err(stuck)
    }
}

fn racks<'a>(view: &'a View, ids: impl Iterator<Item = &'a i32>) -> BTreeSet<&'a str> {
    ids.filter_map(|id| view.brokers.get(id)?.rack.as_deref())
        .collect()
}

fn shares_rack(racks: &BTreeSet<&str>, broker: &Broker) -> bool {
    broker.rack.as_deref().is_some_and(|r| racks.contains(r))
}

/// Evens out how many replicas, and how many preferred leaders, each usable broker has, with as few moves as it takes.
/// Partitions that move already are left alone.
pub fn balance(view: &View) -> Vec<Move> {
    let mut targets: Vec<Vec<i32>> = view.partitions.iter().map(Partition::target).collect();
    let before = targets.clone();
    let usable: Vec<i32> = view
        .brokers
        .values()
        .filter(|b| b.takes_replicas())
        .map(|b| b.id)
        .collect();
    let settled: Vec<bool> = view.partitions.iter().map(|p| !p.is_moving()).collect();
    while even_replicas(view, &mut targets, &settled, &usable) {}
    while even_leaders(&mut targets, &settled, &usable) {}
    let changed = view.partitions.iter().zip(targets).zip(before);
    changed
        .filter(|((_, target), before)| target != before)
        .map(|((partition, target), _)| Move {
            name: partition.name.clone(),
            target,
        })
        .collect()
}

/// Moves one replica from a broker that has at least two more than another; says whether it found one.
fn even_replicas(view: &View, targets: &mut [Vec<i32>], settled: &[bool], usable: &[i32]) -> bool {
    let load = load(targets.iter());
    for (from, to) in uneven(&load, usable) {
        let may_go = |(at, target): &(usize, &Vec<i32>)| {
            let racks = racks(view, target.iter().filter(|id| **id != from));
            // Where there are fewer racks than replicas, some share one: then it only must not get worse.
            let worse = shares_rack(&racks, &view.brokers[&to])
                && !shares_rack(&racks, &view.brokers[&from]);
            let fits = target.contains(&from) && !target.contains(&to);
            settled[*at] && fits && !worse
        };
        let found = targets.iter().enumerate().find(may_go).map(|(at, _)| at);
        if let Some(at) = found {
            targets[at]
                .iter_mut()
                .filter(|id| **id == from)
                .for_each(|id| *id = to);
            return true;
        }
    }
    false
}

/// Puts another replica of one partition first; says whether it found one.
fn even_leaders(targets: &mut [Vec<i32>], settled: &[bool], usable: &[i32]) -> bool {
    let mut load = Load::new();
    for first in targets.iter().filter_map(|target| target.first()) {
        *load.entry(*first).or_default() += 1;
    }
    for (from, to) in uneven(&load, usable) {
        let may_turn = |(at, target): &(usize, &Vec<i32>)| {
            settled[*at] && target.first() == Some(&from) && target.contains(&to)
        };
        let found = targets.iter().enumerate().find(may_turn).map(|(at, _)| at);
        if let Some(at) = found {
            targets[at].retain(|id| *id != to);
            targets[at].insert(0, to);
            return true;
        }
    }
    false
}

/// Pairs of usable brokers of which one has at least two more than the other, the most uneven first.
fn uneven(load: &Load, usable: &[i32]) -> Vec<(i32, i32)> {
    let mut pairs = Vec::new();
    for from in usable {
        for to in usable {
            let difference = of(load, *from).saturating_sub(of(load, *to));
            if difference >= 2 {
                pairs.push((difference, *from, *to));
            }
        }
    }
    pairs.sort_by_key(|(difference, from, to)| (std::cmp::Reverse(*difference), *from, *to));
    pairs.into_iter().map(|(_, from, to)| (from, to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(racks: &[(i32, &str)], replicas: &[&[i32]]) -> View {
        let broker = |(id, rack): &(i32, &str)| Broker {
            id: *id,
            address: "host:9092".into(),
            rack: (!rack.is_empty()).then(|| (*rack).to_owned()),
            fenced: false,
            drained: false,
        };
        let partition = |(index, ids): (usize, &&[i32])| Partition {
            name: ("t".into(), index as i32),
            leader: ids.first().copied(),
            replicas: ids.to_vec(),
            in_sync: ids.to_vec(),
            adding: vec![],
            removing: vec![],
        };
        View {
            cluster_id: "c".into(),
            controller: 1,
            brokers: racks.iter().map(|b| (b.0, broker(b))).collect(),
            partitions: replicas.iter().enumerate().map(partition).collect(),
        }
    }

    fn targets(moves: &[Move]) -> Vec<(i32, Vec<i32>)> {
        moves.iter().map(|m| (m.name.1, m.target.clone())).collect()
    }

    #[test]
    fn a_drain_keeps_order_number_and_racks() {
        let racks = [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "b")];
        let view = view(&racks, &[&[1, 2, 3], &[2, 3, 4], &[3, 1, 5]]);
        let moves = drain(&view, 1).expect("others are left");
        assert_eq!(targets(&moves), [(0, vec![4, 2, 3]), (2, vec![3, 4, 5])]);
    }

    #[test]
    fn a_drain_that_would_lose_a_replica_is_refused() {
        let mut three = view(&[(1, ""), (2, ""), (3, "")], &[&[1, 2, 3], &[1, 2]]);
        assert_eq!(drain(&three, 1), Err(vec![("t".into(), 0)]));
        three.partitions.remove(0);
        assert!(drain(&three, 1).is_ok());
        three.brokers.get_mut(&3).expect("there").fenced = true;
        assert!(drain(&three, 1).is_err(), "a dead broker takes nothing");
    }

    #[test]
    fn new_brokers_get_their_share_of_replicas_and_leaders() {
        shares_are_even("");
    }

    #[test]
    fn fewer_racks_than_replicas_hold_nothing_up() {
        shares_are_even("the only zone");
    }

    fn shares_are_even(rack: &str) {
        let racks = [(1, rack), (2, rack), (3, rack), (4, rack), (5, rack)];
        let old: Vec<Vec<i32>> = (0..10)
            .map(|i| (0..3).map(|j| (i + j) % 3 + 1).collect())
            .collect();
        let old: Vec<&[i32]> = old.iter().map(Vec::as_slice).collect();
        let mut view = view(&racks, &old);
        let moves = balance(&view);
        for one in &moves {
            view.partitions[one.name.1 as usize].replicas = one.target.clone();
        }
        let targets: Vec<_> = view.partitions.iter().map(Partition::target).collect();
        for id in 1..=5 {
            assert_eq!(of(&load(targets.iter()), id), 6, "{targets:?}");
            let leads = targets.iter().filter(|t| t[0] == id).count();
            assert!((1..=3).contains(&leads), "{id} leads {leads}: {targets:?}");
        }
        assert!(balance(&view).is_empty(), "twice does nothing more");
    }
}
