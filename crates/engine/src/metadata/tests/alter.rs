//! ISR changes: every check of KIP-497 and KIP-903.

use super::*;
use crate::ids::{LeaderEpoch, PartitionEpoch};

/// As a leader of before KIP-903 asks: without the members' epochs.
fn change_for(cluster: &Cluster, id: PartitionId, isr: &[i32]) -> PartitionChange {
    let mut change = cluster.change(id, isr);
    change.isr.iter_mut().for_each(|member| member.epoch = None);
    change
}

#[test]
fn a_leader_shrinks_and_expands_its_isr() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    let answer = cluster.ask_isr(p, &[1, 3]).expect("accepted");
    assert_eq!(
        (answer.isr, answer.partition_epoch),
        (brokers(&[1, 3]), PartitionEpoch(1))
    );
    let answer = cluster.ask_isr(p, &[3, 2, 1]).expect("accepted");
    assert_eq!(
        (answer.isr, answer.partition_epoch),
        (brokers(&[1, 2, 3]), PartitionEpoch(2))
    );
    assert_eq!(
        (answer.leader, answer.leader_epoch),
        (Some(BrokerId(1)), LeaderEpoch(0))
    );
}

/// A copy of an earlier wish, which the network has kept, cannot be granted after it.
#[test]
fn a_wish_that_changes_nothing_ends_the_partition_epoch_too() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    let earlier = cluster.change(p, &[1]);
    let before = cluster.partition(p);
    let answer = cluster.ask_isr(p, &[1, 2]).expect("accepted");
    assert_eq!(answer.isr, before.isr);
    assert_eq!(answer.partition_epoch, before.partition_epoch.next());
    assert_eq!(answer.leader_epoch, before.leader_epoch);
    let refused = cluster.ask(BrokerId(1), earlier);
    assert_eq!(refused, Err(Rejection::InvalidUpdateVersion));
    assert_eq!(cluster.partition(p).isr, before.isr);
}

#[test]
fn each_wrong_request_has_its_error() {
    let mut cluster = Cluster::of(4);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.fence(1);
    cluster.unfence(1);
    let fresh = change_for(&cluster, p, &[2, 3]);
    let ask = |cluster: &mut Cluster, by: i32, change: PartitionChange| {
        cluster.ask(BrokerId(by), change).unwrap_err()
    };

    let other_topic = PartitionId {
        topic: Uuid::from(99),
        index: 0,
    };
    assert_eq!(
        ask(
            &mut cluster,
            2,
            PartitionChange {
                partition: other_topic,
                ..fresh.clone()
            }
        ),
        Rejection::UnknownTopicId
    );
    let other_index = PartitionId { index: 1, ..p };
    let wrong = PartitionChange {
        partition: other_index,
        ..fresh.clone()
    };
    assert_eq!(
        ask(&mut cluster, 2, wrong),
        Rejection::UnknownTopicOrPartition
    );
    let newer = PartitionChange {
        leader_epoch: LeaderEpoch(7),
        ..fresh.clone()
    };
    assert_eq!(ask(&mut cluster, 2, newer), Rejection::NotController);
    let newer = PartitionChange {
        partition_epoch: PartitionEpoch(7),
        ..fresh.clone()
    };
    assert_eq!(ask(&mut cluster, 2, newer), Rejection::NotController);
    let older = PartitionChange {
        leader_epoch: LeaderEpoch(0),
        ..fresh.clone()
    };
    assert_eq!(ask(&mut cluster, 2, older), Rejection::FencedLeaderEpoch);
    let older = PartitionChange {
        partition_epoch: PartitionEpoch(0),
        ..fresh.clone()
    };
    assert_eq!(ask(&mut cluster, 2, older), Rejection::InvalidUpdateVersion);
    assert!(
        matches!(
            ask(&mut cluster, 3, fresh.clone()),
            Rejection::InvalidRequest(_)
        ),
        "3 does not lead"
    );
    let without_leader = change_for(&cluster, p, &[3]);
    assert!(matches!(
        ask(&mut cluster, 2, without_leader),
        Rejection::InvalidRequest(_)
    ));
    let no_replica = change_for(&cluster, p, &[2, 4]);
    assert!(matches!(
        ask(&mut cluster, 2, no_replica),
        Rejection::InvalidRequest(_)
    ));
    let empty = change_for(&cluster, p, &[]);
    assert!(matches!(
        ask(&mut cluster, 2, empty),
        Rejection::InvalidRequest(_)
    ));
}

#[test]
fn a_replica_that_restarted_since_it_fetched_may_not_join() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    let seen = cluster.epoch(2);
    cluster.start(2);
    let mut change = change_for(&cluster, p, &[1, 2]);
    change.isr[1].epoch = Some(seen);
    assert_eq!(
        cluster.ask(BrokerId(1), change),
        Err(Rejection::IneligibleReplica)
    );
    cluster
        .ask_isr(p, &[1, 2])
        .expect("with the epoch of its new incarnation it may");
}

#[test]
fn a_fenced_replica_may_not_join() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    cluster.fence(2);
    assert_eq!(
        cluster.ask_isr(p, &[1, 2]),
        Err(Rejection::IneligibleReplica)
    );
}
