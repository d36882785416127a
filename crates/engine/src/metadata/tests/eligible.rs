//! Eligible leader replicas (KIP-966): who may lead besides the ISR, and who may not any more.

use super::*;
use crate::metadata::{Elections, Reassignment, Snapshot};

const KEPT: u128 = 1;
const ANOTHER: u128 = 2;

/// Brokers 1 to `n` whose machines tell of their memory, in a cluster with `min.insync.replicas=2`.
fn cluster_of(n: i32) -> Cluster {
    let mut cluster = Cluster::empty();
    cluster.done(Command::SetMinInsyncDefault { replicas: 2 });
    for id in 1..=n {
        cluster.register_with(id, KEPT);
        cluster.unfence(id);
    }
    cluster
}

/// ISR, ELR and the last known ELR.
fn seen(cluster: &Cluster, id: PartitionId) -> (Vec<i32>, Vec<i32>, Vec<i32>) {
    let ids = |all: Vec<BrokerId>| all.into_iter().map(|b| b.0).collect();
    let state = cluster.partition(id);
    (ids(state.isr), ids(state.elr), ids(state.last_known_elr))
}

fn leader(cluster: &Cluster, id: PartitionId) -> Option<i32> {
    cluster.partition(id).leader.map(|b| b.0)
}

#[test]
fn who_leaves_an_isr_that_commits_is_not_eligible_and_who_leaves_a_smaller_one_is() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.fence(3);
    assert_eq!(seen(&cluster, p), (vec![1, 2], vec![], vec![]));
    cluster.fence(2);
    assert_eq!(seen(&cluster, p), (vec![1], vec![2], vec![]));
    cluster.fence(1);
    assert_eq!(seen(&cluster, p), (vec![], vec![1, 2], vec![]));
    assert_eq!(leader(&cluster, p), None);
    cluster.unfence(3);
    assert_eq!(leader(&cluster, p), None, "3 may lack records");
    cluster.unfence(2);
    assert_eq!(leader(&cluster, p), Some(2));
    assert_eq!(seen(&cluster, p), (vec![2], vec![1], vec![]));
    cluster.ask_isr(p, &[2, 3]).expect("3 has caught up");
    assert_eq!(
        seen(&cluster, p),
        (vec![2, 3], vec![], vec![]),
        "what they commit from now on 1 does not have"
    );
}

#[test]
fn a_leader_that_drops_a_laggard_leaves_it_eligible_until_it_commits_again() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.ask_isr(p, &[1]).expect("accepted");
    assert_eq!(seen(&cluster, p), (vec![1], vec![2, 3], vec![]));
    cluster.fence(1);
    assert_eq!(leader(&cluster, p), Some(2), "it is alive");
    assert_eq!(seen(&cluster, p), (vec![2], vec![1, 3], vec![]));
    cluster.ask_isr(p, &[2, 3]).expect("accepted");
    assert_eq!(seen(&cluster, p), (vec![2, 3], vec![], vec![]));
}

#[test]
fn a_process_that_comes_back_into_the_same_memory_is_still_eligible() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    for id in [3, 2, 1] {
        cluster.fence(id);
    }
    assert!(cluster.register_with(2, KEPT).1);
    assert_eq!(seen(&cluster, p), (vec![], vec![1, 2], vec![]));
    cluster.unfence(2);
    assert_eq!(leader(&cluster, p), Some(2));
}

#[test]
fn a_process_that_stopped_cleanly_is_eligible_whatever_became_of_the_memory() {
    let mut cluster = cluster_of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    cluster.fence(2);
    cluster.fence(1);
    let epoch = cluster.epoch(1);
    let registration = cluster.registration(1, Some(epoch));
    let (_, clean) = cluster.registered(Command::RegisterWithMemory {
        registration,
        memory: Memory {
            id: Uuid::from(ANOTHER),
            same_disks: true,
        },
    });
    assert!(clean);
    cluster.unfence(1);
    assert_eq!(leader(&cluster, p), Some(1));
}

#[test]
fn who_has_lost_its_memory_leaves_the_isr_and_the_elr_before_any_election() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.fence(3);
    // Nobody has missed the leader yet when it is back.
    let before = cluster.index;
    assert!(!cluster.register_with(1, ANOTHER).1);
    assert_eq!(cluster.index, before + 1);
    assert_eq!(leader(&cluster, p), Some(2));
    assert_eq!(seen(&cluster, p), (vec![2], vec![], vec![1]));
    cluster.fence(2);
    cluster.unfence(1);
    cluster.unfence(3);
    assert_eq!(
        leader(&cluster, p),
        None,
        "neither has all that is committed"
    );
    assert_eq!(seen(&cluster, p), (vec![], vec![2], vec![1]));
    // From the ELR too.
    assert!(!cluster.register_with(2, ANOTHER).1);
    cluster.unfence(2);
    assert_eq!(leader(&cluster, p), None);
    assert_eq!(seen(&cluster, p), (vec![], vec![], vec![2, 1]));
}

#[test]
fn who_has_told_that_its_disk_failed_counts_at_its_next_registration_as_without_memory() {
    let mut cluster = cluster_of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    let (broker, epoch) = (BrokerId(1), cluster.epoch(1));
    cluster.done(Command::ForgetMemory { broker, epoch });
    assert_eq!(
        seen(&cluster, p),
        (vec![1, 2], vec![], vec![]),
        "other directories of it may serve yet"
    );
    cluster.fence(2);
    cluster.fence(1);
    assert_eq!(seen(&cluster, p), (vec![], vec![1, 2], vec![]));
    // Nothing could be written to its disk, so it names the memory of before.
    assert!(!cluster.register_with(1, KEPT).1);
    cluster.unfence(1);
    assert_eq!(seen(&cluster, p), (vec![], vec![2], vec![1]));
    assert_eq!(leader(&cluster, p), None);
    let stale = cluster.propose(Command::ForgetMemory { broker, epoch });
    assert_eq!(stale, Err(Rejection::StaleBrokerEpoch));
}

#[test]
fn a_machine_that_tells_nothing_of_its_memory_may_have_lost_it() {
    let mut cluster = cluster_of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    assert!(!cluster.register(1, None).1);
    assert_eq!(seen(&cluster, p), (vec![2], vec![], vec![1]));
    assert!(
        !cluster.register_with(1, KEPT).1,
        "of the one before nothing is known"
    );
}

#[test]
fn whoever_asks_for_an_unclean_election_gets_the_last_that_was_known_to_have_all() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.fence(1);
    for id in [2, 3] {
        cluster.register_with(id, ANOTHER);
        cluster.unfence(id);
    }
    cluster.unfence(1);
    assert_eq!(leader(&cluster, p), None);
    assert_eq!(seen(&cluster, p), (vec![], vec![], vec![3, 2]));
    let elect = Command::ElectUnclean {
        partitions: vec![p],
    };
    let before = cluster.image.clone();
    cluster.done(elect.clone());
    assert_eq!(leader(&cluster, p), Some(3));
    assert_eq!(seen(&cluster, p), (vec![3], vec![], vec![]));
    let unclean = Elections {
        clean: 0,
        unclean: 1,
    };
    assert_eq!(cluster.image.elections(&before, &elect), unclean);
}

#[test]
fn an_election_from_the_elr_is_a_clean_one() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.ask_isr(p, &[1]).expect("accepted");
    let before = cluster.image.clone();
    let fence = Command::FenceBroker {
        broker: BrokerId(1),
        epoch: cluster.epoch(1),
    };
    cluster.done(fence.clone());
    let clean = Elections {
        clean: 1,
        unclean: 0,
    };
    assert_eq!(cluster.image.elections(&before, &fence), clean);
}

#[test]
fn a_smaller_minimum_ends_the_elr_where_the_isr_commits_by_it() {
    let mut cluster = cluster_of(3);
    let (led, dead) = (
        cluster.topic_on("led", &[1, 2]),
        cluster.topic_on("dead", &[2, 3]),
    );
    cluster.ask_isr(led, &[1]).expect("accepted");
    cluster.fence(2);
    cluster.fence(3);
    assert_eq!(seen(&cluster, led), (vec![1], vec![2], vec![]));
    assert_eq!(seen(&cluster, dead), (vec![], vec![2, 3], vec![]));
    cluster.done(Command::SetMinInsyncDefault { replicas: 1 });
    assert_eq!(seen(&cluster, led), (vec![1], vec![], vec![]));
    assert_eq!(
        seen(&cluster, dead),
        (vec![], vec![2, 3], vec![]),
        "nobody commits anything there"
    );
    cluster.set_config("dead", "min.insync.replicas", "2");
    cluster.unfence(3);
    assert_eq!(seen(&cluster, dead), (vec![3], vec![2], vec![]));
    cluster.set_config("dead", "min.insync.replicas", "1");
    assert_eq!(seen(&cluster, dead), (vec![3], vec![], vec![]));
}

#[test]
fn what_was_flushed_before_it_counted_is_not_lost_with_the_memory() {
    let mut cluster = cluster_of(2);
    let replicas = Assignment::Given(vec![brokers(&[1, 2])]);
    let topic = NewTopic {
        configs: vec![("flush.messages".into(), "1".into())],
        ..new_topic("t", Uuid::from(77), replicas)
    };
    let id = cluster.create(topic).expect("created");
    let p = PartitionId {
        topic: id,
        index: 0,
    };
    let all_lose_power = |cluster: &mut Cluster| {
        for id in [1, 2] {
            cluster.register_with(id, cluster.index.into());
        }
    };
    all_lose_power(&mut cluster);
    assert_eq!(seen(&cluster, p), (vec![], vec![1, 2], vec![]));
    cluster.unfence(1);
    cluster.unfence(2);
    assert_eq!(leader(&cluster, p), Some(1));
    // An empty disk has none of it, whoever is the first to be back.
    all_lose_power(&mut cluster);
    cluster.register_on(1, ANOTHER, false);
    cluster.unfence(1);
    assert_eq!(seen(&cluster, p), (vec![], vec![2], vec![1]));
    assert_eq!(leader(&cluster, p), None);
    cluster.unfence(2);
    assert_eq!(leader(&cluster, p), Some(2));
    cluster.ask_isr(p, &[1, 2]).expect("1 has caught up");
    // A topic that has the setting later has records from before it.
    cluster.set_config("t", "flush.messages", "2");
    cluster.set_config("t", "flush.messages", "1");
    all_lose_power(&mut cluster);
    assert_eq!(seen(&cluster, p), (vec![], vec![], vec![2, 1]));
}

fn reassign(
    cluster: &mut Cluster,
    partition: PartitionId,
    target: Option<&[i32]>,
) -> Result<(), Rejection> {
    let wish = Reassignment {
        partition,
        target: target.map(brokers),
        min_insync_replicas: 2,
    };
    match cluster.done(Command::AlterReassignments {
        partitions: vec![wish],
        allow_factor_change: true,
    }) {
        Outcome::Each(mut each) => each.remove(0),
        other => panic!("AlterReassignments answers {other:?}"),
    }
}

#[test]
fn who_had_a_partition_alone_stays_until_another_has_it_too() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1]);
    reassign(&mut cluster, p, Some(&[2, 3])).expect("accepted");
    assert!(!cluster.register_with(1, ANOTHER).1);
    assert_eq!(
        seen(&cluster, p),
        (vec![], vec![1], vec![]),
        "those that are being filled have nothing yet"
    );
    cluster.unfence(1);
    assert_eq!(leader(&cluster, p), Some(1));
    cluster.ask_isr(p, &[1, 2]).expect("2 has caught up");
    assert!(!cluster.register_with(1, KEPT).1);
    assert_eq!(leader(&cluster, p), Some(2));
    cluster.fence(2);
    cluster.unfence(1);
    assert_eq!(leader(&cluster, p), None, "only 2 has all of it");
}

#[test]
fn replicas_that_have_what_is_committed_are_not_given_up() {
    let mut cluster = cluster_of(4);
    let p = cluster.topic_on("t", &[1, 2]);
    reassign(&mut cluster, p, Some(&[3, 4])).expect("accepted");
    cluster.ask_isr(p, &[1, 3]).expect("3 has caught up");
    for id in [1, 3] {
        cluster.fence(id);
    }
    assert_eq!(seen(&cluster, p), (vec![], vec![3, 1], vec![]));
    let refused = reassign(&mut cluster, p, None);
    assert!(
        matches!(refused, Err(Rejection::InvalidAssignment(_))),
        "{refused:?}"
    );
    reassign(&mut cluster, p, Some(&[3, 2])).expect("3 stays");
}

#[test]
fn a_snapshot_holds_it_in_a_layout_of_its_own() {
    let mut cluster = cluster_of(3);
    cluster.topic_on("t", &[1, 2, 3]);
    cluster.register_with(1, ANOTHER);
    cluster.fence(2);
    cluster.register_with(3, ANOTHER);
    let stored = Snapshot::from(&cluster.image);
    assert_eq!(stored.layout(), 4);
    assert_eq!(Image::from(stored), cluster.image);
}

/// A node that reads old entries again comes to what another has in a snapshot that was made before ELRs were known.
#[test]
fn what_was_written_before_there_were_eligible_replicas_is_applied_as_it_was_then() {
    let mut cluster = Cluster::of_old();
    let as_then = |cluster: &Cluster| assert!(Snapshot::from(&cluster.image).layout() <= 3);
    for id in [1, 2, 3] {
        cluster.start(id);
        as_then(&cluster);
    }
    let replicas = Assignment::Given(vec![brokers(&[1, 2, 3])]);
    let configs = [("min.insync.replicas", "2"), ("flush.messages", "1")];
    let configs = configs.map(|(key, value)| (key.into(), value.into()));
    let topic = cluster.create(NewTopic {
        configs: configs.to_vec(),
        ..new_topic("t", Uuid::from(77), replicas)
    });
    let topic = topic.expect("created");
    let p = PartitionId { topic, index: 0 };
    as_then(&cluster);
    for id in [3, 2, 1] {
        cluster.fence(id);
        as_then(&cluster);
    }
    assert_eq!(seen(&cluster, p), (vec![1], vec![], vec![]));
    cluster.unfence(2);
    assert_eq!(leader(&cluster, p), None);
    assert!(!cluster.register(1, None).1);
    as_then(&cluster);
    assert_eq!(seen(&cluster, p), (vec![1], vec![], vec![]), "it stays");

    // From here on controllers know of them.
    cluster.done(Command::SetMinInsyncDefault { replicas: 1 });
    assert_eq!(seen(&cluster, p), (vec![], vec![1], vec![]));
    assert!(!cluster.register_with(1, KEPT).1);
    assert_eq!(seen(&cluster, p), (vec![], vec![], vec![1]));
}

#[test]
fn whose_log_is_filled_anew_leaves_an_isr_that_commits_without_it_and_no_other() {
    let mut cluster = cluster_of(3);
    let partition = cluster.topic_on("t", &[1, 2, 3]);
    let leave = |cluster: &mut Cluster, id| {
        let (broker, epoch) = (BrokerId(id), cluster.epoch(id));
        cluster.propose(Command::LeavePartition {
            broker,
            epoch,
            partition,
        })
    };
    // The leader has asked for something, and knows how far 2 is.
    let asked = cluster.change(partition, &[1, 2, 3]);
    let before = cluster.partition(partition).leader_epoch;
    assert_eq!(leave(&mut cluster, 2), Ok(Outcome::Done));
    assert_eq!(seen(&cluster, partition), (vec![1, 3], vec![], vec![]));
    assert!(cluster.ask(BrokerId(1), asked).is_err());
    assert!(cluster.partition(partition).leader_epoch > before);
    let refused = leave(&mut cluster, 3);
    assert_eq!(refused, Err(Rejection::IneligibleReplica));
    assert_eq!(seen(&cluster, partition), (vec![1, 3], vec![], vec![]));
    cluster.ask_isr(partition, &[1, 2, 3]).expect("2 is back");
    assert_eq!(leave(&mut cluster, 1), Ok(Outcome::Done));
    assert_eq!(leader(&cluster, partition), Some(2));
}
