//! Replicas that move: KIP-455, and what Kafka's controller answers.

use super::*;
use crate::ids::LeaderEpoch;
use crate::metadata::{Reassignment, Snapshot};

fn wish(partition: PartitionId, target: Option<&[i32]>) -> Reassignment {
    Reassignment {
        partition,
        target: target.map(brokers),
        min_insync_replicas: 2,
    }
}

fn ask(cluster: &mut Cluster, wish: Reassignment, allow: bool) -> Result<(), Rejection> {
    let command = Command::AlterReassignments {
        partitions: vec![wish],
        allow_factor_change: allow,
    };
    match cluster.propose(command)? {
        Outcome::Each(mut each) => each.remove(0),
        other => panic!("AlterReassignments answers {other:?}"),
    }
}

fn reassign(
    cluster: &mut Cluster,
    partition: PartitionId,
    target: &[i32],
) -> Result<(), Rejection> {
    ask(cluster, wish(partition, Some(target)), true)
}

fn cancel(cluster: &mut Cluster, partition: PartitionId) -> Result<(), Rejection> {
    ask(cluster, wish(partition, None), true)
}

/// Replicas, adding, removing, ISR, leader.
type Seen = (Vec<i32>, Vec<i32>, Vec<i32>, Vec<i32>, Option<i32>);

fn seen(cluster: &Cluster, partition: PartitionId) -> Seen {
    let p = cluster.partition(partition);
    let ids = |all: &[BrokerId]| all.iter().map(|b| b.0).collect();
    (
        ids(&p.replicas),
        ids(&p.adding),
        ids(&p.removing),
        ids(&p.isr),
        p.leader.map(|b| b.0),
    )
}

#[test]
fn a_move_ends_when_all_of_the_target_is_in_sync() {
    let mut cluster = Cluster::of(5);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    reassign(&mut cluster, p, &[4, 3, 5]).expect("accepted");
    assert_eq!(
        seen(&cluster, p),
        (
            vec![4, 3, 5, 1, 2],
            vec![4, 5],
            vec![1, 2],
            vec![1, 2, 3],
            Some(1)
        )
    );
    assert_eq!(cluster.partition(p).leader_epoch, LeaderEpoch(0));
    cluster.ask_isr(p, &[1, 2, 3, 4]).expect("4 has caught up");
    assert!(cluster.partition(p).is_reassigned());
    cluster.ask_isr(p, &[1, 2, 4, 5]).expect("3 lags");
    assert!(
        cluster.partition(p).is_reassigned(),
        "3 belongs to the target too"
    );
    cluster.ask_isr(p, &[1, 2, 3, 4, 5]).expect("all are there");
    // The old leader is not a replica any more: the new preferred one leads, in a new epoch.
    assert_eq!(
        seen(&cluster, p),
        (vec![4, 3, 5], vec![], vec![], vec![4, 3, 5], Some(4))
    );
    assert_eq!(cluster.partition(p).leader_epoch, LeaderEpoch(1));
}

#[test]
fn what_needs_no_copy_is_done_at_once_and_a_removal_ends_the_leader_epoch() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    reassign(&mut cluster, p, &[3, 1, 2]).expect("another order");
    assert_eq!(
        seen(&cluster, p),
        (vec![3, 1, 2], vec![], vec![], vec![1, 2, 3], Some(1))
    );
    assert_eq!(cluster.partition(p).leader_epoch, LeaderEpoch(0));
    reassign(&mut cluster, p, &[1, 2]).expect("one replica less");
    assert_eq!(
        seen(&cluster, p),
        (vec![1, 2], vec![], vec![], vec![1, 2], Some(1))
    );
    assert_eq!(
        cluster.partition(p).leader_epoch,
        LeaderEpoch(1),
        "what the leader knows of broker 3 is over, though it leads on"
    );
}

#[test]
fn a_removed_replica_that_comes_back_is_a_new_one_to_the_leader() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    let before = cluster.partition(p);
    reassign(&mut cluster, p, &[1, 2]).expect("3 deletes its log");
    reassign(&mut cluster, p, &[1, 2, 3]).expect("3 begins anew");
    let now = cluster.partition(p);
    assert!(now.leader_epoch > before.leader_epoch && !now.is_in_sync(BrokerId(3)));
    let delayed = PartitionChange {
        partition: p,
        leader_epoch: before.leader_epoch,
        partition_epoch: before.partition_epoch,
        isr: [1, 2, 3].map(|b| member(&cluster, b)).to_vec(),
    };
    assert_eq!(
        cluster.ask(BrokerId(1), delayed),
        Err(Rejection::FencedLeaderEpoch)
    );
}

fn member(cluster: &Cluster, id: i32) -> IsrMember {
    IsrMember {
        broker: BrokerId(id),
        epoch: Some(cluster.epoch(id)),
    }
}

#[test]
fn a_move_is_taken_back_where_enough_stay_in_sync() {
    let mut cluster = Cluster::of(5);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    assert_eq!(
        cancel(&mut cluster, p),
        Err(Rejection::NoReassignmentInProgress)
    );
    reassign(&mut cluster, p, &[3, 4, 5]).expect("accepted");
    cluster.ask_isr(p, &[1, 3, 4]).expect("accepted");
    cancel(&mut cluster, p).expect("1 and 3 have all of it");
    assert_eq!(
        seen(&cluster, p),
        (vec![3, 1, 2], vec![], vec![], vec![3, 1], Some(1))
    );
    assert_eq!(cluster.partition(p).leader_epoch, LeaderEpoch(1));
    // What is committed must not come to depend on one broker.
    reassign(&mut cluster, p, &[3, 4, 5]).expect("accepted");
    cluster.ask_isr(p, &[1, 4, 5]).expect("accepted");
    assert!(matches!(
        cancel(&mut cluster, p),
        Err(Rejection::InvalidAssignment(_))
    ));
    assert!(matches!(
        reassign(&mut cluster, p, &[1, 2, 3]),
        Err(Rejection::InvalidAssignment(_))
    ));
}

#[test]
fn a_leader_that_was_only_being_added_goes_with_the_cancelled_move() {
    let mut cluster = Cluster::of(4);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    reassign(&mut cluster, p, &[4, 2, 3]).expect("accepted");
    cluster.ask_isr(p, &[1, 2, 4]).expect("3 lags");
    cluster.fence(1);
    assert_eq!(cluster.partition(p).leader, Some(BrokerId(4)));
    cluster.unfence(1);
    cluster.ask_isr(p, &[1, 2, 4]).expect("1 is back");
    let led = cluster.partition(p).leader_epoch;
    cancel(&mut cluster, p).expect("1 and 2 are in sync");
    let now = cluster.partition(p);
    assert_eq!(
        (now.leader, now.leader_epoch),
        (Some(BrokerId(2)), led.next())
    );
}

#[test]
fn another_move_replaces_the_first_and_drops_what_it_does_not_want() {
    let mut cluster = Cluster::of(5);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    reassign(&mut cluster, p, &[1, 2, 4]).expect("accepted");
    cluster.ask_isr(p, &[1, 2]).expect("3 lags");
    reassign(&mut cluster, p, &[1, 2, 5]).expect("accepted");
    assert_eq!(
        seen(&cluster, p),
        (vec![1, 2, 5, 3], vec![5], vec![3], vec![1, 2], Some(1))
    );
    cancel(&mut cluster, p).expect("accepted");
    assert_eq!(seen(&cluster, p).0, vec![1, 2, 3], "4 is forgotten");
}

#[test]
fn each_wrong_wish_has_its_error() {
    let mut cluster = Cluster::of(4);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    for target in [&[][..], &[1, 9], &[1, 1]] {
        let refused = reassign(&mut cluster, p, target);
        assert!(
            matches!(refused, Err(Rejection::InvalidAssignment(_))),
            "{target:?}"
        );
    }
    let other = PartitionId { index: 7, ..p };
    assert_eq!(
        reassign(&mut cluster, other, &[1]),
        Err(Rejection::UnknownTopicOrPartition)
    );
    let fewer = ask(&mut cluster, wish(p, Some(&[1, 4])), false);
    assert!(matches!(fewer, Err(Rejection::InvalidReplicationFactor(_))));
    ask(&mut cluster, wish(p, Some(&[1, 2, 4])), false).expect("as many as before");
    // Against what it will have, not against the joint set.
    ask(&mut cluster, wish(p, Some(&[1, 3, 4])), false).expect("as many as before");
}

#[test]
fn more_replicas_do_not_raise_the_bar_before_they_are_there() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1]);
    reassign(&mut cluster, p, &[1, 2, 3]).expect("accepted");
    assert_eq!(cluster.partition(p).min_isr(2), 1);
    cluster.ask_isr(p, &[1, 2]).expect("accepted");
    cluster.ask_isr(p, &[1, 2, 3]).expect("accepted");
    assert_eq!(cluster.partition(p).min_isr(2), 2);
}

#[test]
fn a_partition_without_a_leader_keeps_all_its_replicas() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2]);
    cluster.fence(2);
    cluster.fence(1);
    assert_eq!(cluster.partition(p).elr, brokers(&[1]));
    reassign(&mut cluster, p, &[1]).expect("accepted");
    assert_eq!(seen(&cluster, p).0, vec![1, 2], "until 1 is back");
    cluster.unfence(1);
    assert_eq!(
        seen(&cluster, p),
        (vec![1], vec![], vec![], vec![1], Some(1))
    );
}

#[test]
fn an_unclean_leader_is_one_that_has_something_to_lead_with() {
    let mut cluster = Cluster::of(4);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    reassign(&mut cluster, p, &[4, 2, 3]).expect("accepted");
    cluster.ask_isr(p, &[1]).expect("accepted");
    cluster.fence(1);
    assert_eq!(cluster.partition(p).leader, None);
    let elect = Command::ElectUnclean {
        partitions: vec![p],
    };
    assert_eq!(
        cluster.done(elect.clone()),
        Outcome::Elected(vec![Ok(())]),
        "somebody is alive"
    );
    assert_eq!(cluster.partition(p).leader, Some(BrokerId(2)));
    assert_eq!(
        cluster.done(elect),
        Outcome::Elected(vec![Err(Rejection::ElectionNotNeeded)])
    );
}

#[test]
fn a_replica_that_is_only_being_filled_leads_only_when_somebody_asks_for_it() {
    let mut cluster = Cluster::of(4);
    cluster.done(Command::SetUncleanDefault { enabled: true });
    let p = cluster.topic_on("t", &[1]);
    reassign(&mut cluster, p, &[4]).expect("accepted");
    // Everything is on 1, which restarts.
    cluster.fence(1);
    assert_eq!(cluster.partition(p).leader, None);
    cluster.unfence(1);
    assert_eq!(
        seen(&cluster, p),
        (vec![4, 1], vec![4], vec![1], vec![1], Some(1)),
        "nothing is lost, and the move goes on"
    );
    cluster.fence(1);
    cluster.done(Command::ElectUnclean {
        partitions: vec![p],
    });
    assert_eq!(cluster.partition(p).leader, Some(BrokerId(4)));
}

#[test]
fn moves_are_in_the_snapshot_and_only_they_need_its_newest_layout() {
    let mut cluster = Cluster::of_old();
    for id in 1..=4 {
        cluster.start(id);
    }
    let p = cluster.topic_on("t", &[1, 2, 3]);
    assert_eq!(Snapshot::from(&cluster.image).layout(), 2);
    reassign(&mut cluster, p, &[1, 2, 4]).expect("accepted");
    let stored = Snapshot::from(&cluster.image);
    assert_eq!(stored.layout(), 3);
    assert_eq!(Image::from(stored), cluster.image);
}

#[test]
fn a_deleted_topic_takes_its_moves_along() {
    let mut cluster = Cluster::of(4);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    reassign(&mut cluster, p, &[1, 2, 4]).expect("accepted");
    cluster.done(Command::DeleteTopics {
        topics: vec![crate::metadata::TopicId(p.topic)],
    });
    assert_eq!(
        cancel(&mut cluster, p),
        Err(Rejection::UnknownTopicOrPartition)
    );
}
