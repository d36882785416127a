//! Properties that hold after every command of any history.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::{LeaderEpoch, PartitionEpoch};
use crate::metadata::{Reassignment, Snapshot};

#[derive(Clone, Debug)]
enum Step {
    Register(i32),
    /// On a machine with the memory of this name.
    RegisterWith(i32, u128),
    MinIsr(u16),
    TopicMinIsr(usize, u16),
    UncleanDefault(bool),
    Fence(i32),
    Unfence(i32),
    ShutDown(i32),
    Stall(i32, bool),
    Leave(i32, bool),
    Unregister(i32),
    Reassign {
        pick: usize,
        target: Option<Vec<i32>>,
    },
    Unclean(usize),
    Create {
        partitions: i32,
        factor: i16,
    },
    AskIsr {
        pick: usize,
        isr: Vec<i32>,
        staleness: i32,
    },
    Balance,
}

fn step() -> impl Strategy<Value = Step> {
    let broker = 1..=4i32;
    prop_oneof![
        1 => broker.clone().prop_map(Step::Register),
        2 => (broker.clone(), 1..3u128).prop_map(|(b, memory)| Step::RegisterWith(b, memory)),
        1 => (1..4u16).prop_map(Step::MinIsr),
        1 => (any::<usize>(), 1..4u16).prop_map(|(pick, replicas)| Step::TopicMinIsr(pick, replicas)),
        1 => prop::bool::weighted(0.2).prop_map(Step::UncleanDefault),
        1 => broker.clone().prop_map(Step::Fence),
        3 => broker.clone().prop_map(Step::Unfence),
        1 => broker.clone().prop_map(Step::ShutDown),
        1 => (broker.clone(), any::<bool>()).prop_map(|(b, s)| Step::Stall(b, s)),
        1 => (1..5i32, 1..4i16).prop_map(|(partitions, factor)| Step::Create { partitions, factor }),
        4 => (any::<usize>(), prop::collection::vec(broker.clone(), 0..4), 0..2i32)
            .prop_map(|(pick, isr, staleness)| Step::AskIsr { pick, isr, staleness }),
        1 => (broker.clone(), any::<bool>()).prop_map(|(b, at_once)| Step::Leave(b, at_once)),
        1 => broker.clone().prop_map(Step::Unregister),
        3 => (any::<usize>(), prop::option::of(prop::collection::vec(broker.clone(), 1..4)))
            .prop_map(|(pick, target)| Step::Reassign { pick, target }),
        1 => any::<usize>().prop_map(Step::Unclean),
        1 => Just(Step::Balance),
    ]
}

fn take(cluster: &mut Cluster, step: &Step) {
    let epoch = |cluster: &Cluster, id: i32| {
        cluster
            .image
            .broker(BrokerId(id))
            .map_or(BrokerEpoch(-1), |b| b.epoch)
    };
    let command = match step {
        Step::Register(id) => {
            cluster.register(*id, None);
            return;
        }
        Step::RegisterWith(id, memory) => {
            cluster.register_with(*id, *memory);
            return;
        }
        Step::MinIsr(replicas) => Command::SetMinInsyncDefault {
            replicas: *replicas,
        },
        Step::UncleanDefault(enabled) => Command::SetUncleanDefault { enabled: *enabled },
        Step::TopicMinIsr(pick, replicas) => {
            let topic = picked(cluster, *pick).and_then(|p| cluster.image.topic_by_id(p.topic));
            if let Some(name) = topic.map(|t| t.name.to_string()) {
                cluster.set_config(&name, "min.insync.replicas", &replicas.to_string());
            }
            return;
        }
        Step::Fence(id) => Command::FenceBroker {
            broker: BrokerId(*id),
            epoch: epoch(cluster, *id),
        },
        Step::Unfence(id) => Command::UnfenceBroker {
            broker: BrokerId(*id),
            epoch: epoch(cluster, *id),
        },
        Step::ShutDown(id) => Command::ShutDownBroker {
            broker: BrokerId(*id),
            epoch: epoch(cluster, *id),
        },
        Step::Stall(id, stalled) => Command::StallBroker {
            broker: BrokerId(*id),
            epoch: epoch(cluster, *id),
            stalled: *stalled,
        },
        Step::Leave(id, at_once) => Command::LeaveBroker {
            broker: BrokerId(*id),
            epoch: epoch(cluster, *id),
            min_insync_replicas: 2,
            at_once: *at_once,
        },
        Step::Unregister(id) => Command::UnregisterBroker {
            broker: BrokerId(*id),
        },
        Step::Reassign { pick, target } => match picked(cluster, *pick) {
            Some(partition) => Command::AlterReassignments {
                partitions: vec![Reassignment {
                    partition,
                    target: target.as_deref().map(brokers),
                    min_insync_replicas: 2,
                }],
                allow_factor_change: true,
            },
            None => return,
        },
        Step::Unclean(pick) => Command::ElectUnclean {
            partitions: picked(cluster, *pick).into_iter().collect(),
        },
        Step::Create { partitions, factor } => {
            let id = Uuid::from(u128::from(cluster.index) + 1);
            let assignment = Assignment::Spread {
                partitions: *partitions,
                replication_factor: *factor,
            };
            Command::CreateTopics {
                topics: vec![new_topic(&format!("t{}", cluster.index), id, assignment)],
            }
        }
        Step::AskIsr {
            pick,
            isr,
            staleness,
        } => match isr_wish(cluster, *pick, isr, *staleness) {
            Some(command) => command,
            None => return,
        },
        Step::Balance => Command::ElectPreferred {
            partitions: cluster.image.imbalanced(),
        },
    };
    // Most random commands are refused; what matters is what the accepted ones leave behind.
    let _ = cluster.propose(command);
}

fn picked(cluster: &Cluster, pick: usize) -> Option<PartitionId> {
    let all: Vec<_> = cluster.image.partitions().map(|(id, _)| id).collect();
    all.get(pick.checked_rem(all.len())?).copied()
}

fn isr_wish(cluster: &Cluster, pick: usize, isr: &[i32], staleness: i32) -> Option<Command> {
    let all: Vec<_> = cluster.image.partitions().collect();
    let (partition, now) = all.get(pick.checked_rem(all.len())?)?;
    let leader = now.leader?;
    let isr = isr
        .iter()
        .copied()
        .chain([leader.0])
        .map(|b| IsrMember {
            broker: BrokerId(b),
            epoch: None,
        })
        .collect();
    let change = PartitionChange {
        partition: *partition,
        leader_epoch: LeaderEpoch(now.leader_epoch.0 - staleness),
        partition_epoch: PartitionEpoch(now.partition_epoch.0),
        isr,
    };
    Some(Command::AlterPartitions {
        broker: leader,
        epoch: cluster.epoch(leader.0),
        changes: vec![change],
    })
}

/// Who has led in which epoch, ever.
type Leaders = BTreeMap<(PartitionId, LeaderEpoch), Option<BrokerId>>;

fn check(before: &Image, step: &Step, after: &Image, leaders: &mut Leaders) {
    for (id, p) in after.partitions() {
        assert_eq!(
            p.isr.is_empty(),
            p.leader.is_none(),
            "an ISR is empty only without a leader: {id:?} {p:?}"
        );
        assert!(
            p.isr.iter().all(|b| p.has_replica(*b)),
            "an ISR has only replicas: {id:?} {p:?}"
        );
        check_elr(after, id, p);
        assert_eq!(
            after.settled(id, p, None),
            None,
            "what a command leaves is settled: {id:?} {p:?}"
        );
        if let Some(leader) = p.leader {
            assert!(p.is_in_sync(leader), "a leader is in the ISR: {id:?} {p:?}");
            assert!(
                after.is_unfenced(leader),
                "a leader is not fenced: {id:?} {p:?}"
            );
        }
        let led = *leaders.entry((id, p.leader_epoch)).or_insert(p.leader);
        assert_eq!(led, p.leader, "one leader per epoch: {id:?} {p:?}");
        if let Some(old) = before.partition(id.topic, id.index) {
            assert!(p.leader_epoch >= old.leader_epoch && p.partition_epoch >= old.partition_epoch);
            assert_eq!(
                p.partition_epoch == old.partition_epoch,
                p == old,
                "each change has its epoch"
            );
            check_moves(old, p);
            check_eligible(old, before, step, after, (id, p));
        }
    }
    for broker in before.brokers() {
        match after.broker(broker.id) {
            Some(now) => assert!(now.epoch >= broker.epoch, "broker epochs only grow"),
            None => assert!(
                broker.fenced && !after.partitions().any(|(_, p)| p.has_replica(broker.id)),
                "only one that has stopped and holds nothing is forgotten"
            ),
        }
    }
}

/// Those that are eligible, and those that were, are replicas in no ISR that commits.
fn check_elr(image: &Image, id: PartitionId, p: &PartitionState) {
    let mut all: Vec<_> = p
        .isr
        .iter()
        .chain(&p.elr)
        .chain(&p.last_known_elr)
        .collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "nobody stands there twice: {p:?}");
    assert!(all.iter().all(|b| p.has_replica(**b)), "{p:?}");
    let commits = p.isr.len() >= p.min_isr(image.min_insync_replicas(id));
    assert!(
        !commits || (p.elr.is_empty() && p.last_known_elr.is_empty()),
        "an ISR that commits leaves the others behind: {p:?}"
    );
}

/// Nobody becomes eligible but by its leader's wish, or by an unclean election; nobody is forgotten who is eligible as
/// long as nothing can be committed; and who may have lost its memory is not eligible any more.
fn check_eligible(
    old: &PartitionState,
    before: &Image,
    step: &Step,
    after: &Image,
    (id, p): (PartitionId, &PartitionState),
) {
    let lost = match step {
        Step::Register(broker) => Some(*broker),
        Step::RegisterWith(broker, memory) => {
            let state = before.broker(BrokerId(*broker));
            let memory = Some(Uuid::from(*memory));
            Some(*broker).filter(|_| state.is_some_and(|b| b.memory != memory))
        }
        _ => None,
    };
    let lost = lost.map(BrokerId);
    let may_stay = |b: BrokerId| !p.is_eligible(b) || old.original() == [b];
    assert!(
        lost.is_none_or(may_stay) || p.isr.len() == 1 && allows_unclean(after),
        "{lost:?} may have lost records: {old:?} {p:?}"
    );
    let was_unclean = p.leader.is_some_and(|l| Some(l) != old.leader)
        && p.isr.len() == 1
        && !old.is_eligible(p.isr[0]);
    if was_unclean {
        let asked = matches!(step, Step::Unclean(_) | Step::UncleanDefault(true));
        assert!(
            asked || allows_unclean(after) || matches!(step, Step::AskIsr { .. }),
            "leaders have what is committed: {step:?} {old:?} {p:?}"
        );
        return;
    }
    for broker in &p.replicas {
        let (was, is) = (old.is_eligible(*broker), p.is_eligible(*broker));
        let may_join = matches!(step, Step::AskIsr { .. }) && p.is_in_sync(*broker);
        assert!(was || !is || may_join, "{broker}: {step:?} {old:?} {p:?}");
        let commits = p.isr.len() >= p.min_isr(after.min_insync_replicas(id));
        assert!(
            is || !was || commits || Some(*broker) == lost,
            "{broker} is forgotten: {step:?} {old:?} {p:?}"
        );
    }
}

fn allows_unclean(image: &Image) -> bool {
    image.unclean_by_default()
}

/// Replicas go only where those that stay have what is committed, and their leader hears of it by its epoch.
fn check_moves(old: &PartitionState, p: &PartitionState) {
    let all = |these: &[BrokerId], of: &[BrokerId]| these.iter().all(|b| of.contains(b));
    assert!(all(&p.adding, &p.replicas) && p.replicas.ends_with(&p.removing));
    assert!(!p.adding.iter().any(|b| p.removing.contains(b)));
    let gone: Vec<_> = old
        .replicas
        .iter()
        .filter(|b| !p.has_replica(**b))
        .collect();
    if !gone.is_empty() {
        assert!(p.leader_epoch > old.leader_epoch, "{old:?} {p:?}");
        let kept = old.isr.iter().filter(|b| p.has_replica(**b)).count();
        let had_nothing = gone.iter().all(|b| !old.is_eligible(**b));
        assert!(
            had_nothing || kept >= p.min_isr(2) || p.isr.len() == p.replicas.len(),
            "{old:?} {p:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_history_keeps_the_invariants(steps in prop::collection::vec(step(), 1..60)) {
        let mut cluster = Cluster::of(3);
        let mut leaders = Leaders::new();
        for step in &steps {
            let before = cluster.image.clone();
            take(&mut cluster, step);
            check(&before, step, &cluster.image, &mut leaders);
        }
        let restored = Image::from(Snapshot::from(&cluster.image));
        prop_assert_eq!(restored, cluster.image, "a snapshot holds all of it");
    }

    #[test]
    fn placement_is_even_and_without_repetition(n in 1..7i32, partitions in 1..40i32, factor in 1..4i16) {
        let mut cluster = Cluster::of(n);
        let assignment = Assignment::Spread { partitions, replication_factor: factor };
        let created = cluster.create(new_topic("t", Uuid::from(1), assignment));
        prop_assert_eq!(created.is_ok(), i32::from(factor) <= n);
        let Ok(id) = created else { return Ok(()) };
        let mut leaders = BTreeMap::<i32, i32>::from_iter((1..=n).map(|b| (b, 0)));
        for (_, p) in cluster.image.topic_by_id(id).expect("created").iter() {
            let mut distinct = p.replicas.clone();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), usize::try_from(factor).expect("positive"));
            *leaders.entry(p.replicas[0].0).or_default() += 1;
        }
        let (min, max) = (leaders.values().min(), leaders.values().max());
        prop_assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 1), "{:?}", leaders);
    }
}
