//! Brokers that stop in order, together or one by one, and brokers that are forgotten.

use super::*;
use crate::metadata::{DRAINED, Snapshot};

/// In a cluster with `min.insync.replicas=2`.
fn cluster_of(n: i32) -> Cluster {
    let mut cluster = Cluster::of(n);
    cluster.done(Command::SetMinInsyncDefault { replicas: 2 });
    cluster
}

/// How many partitions hold the broker; none where it has left.
fn leave(cluster: &mut Cluster, id: i32) -> Option<u32> {
    leave_with(cluster, id, false)
}

fn leave_with(cluster: &mut Cluster, id: i32, at_once: bool) -> Option<u32> {
    let epoch = cluster.epoch(id);
    match cluster.done(Command::LeaveBroker {
        broker: BrokerId(id),
        epoch,
        min_insync_replicas: 2,
        at_once,
    }) {
        Outcome::ShuttingDown { .. } => None,
        Outcome::Leaving { waiting, .. } => Some(waiting),
        other => panic!("LeaveBroker answers {other:?}"),
    }
}

#[test]
fn a_broker_that_is_not_needed_leaves_at_once() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    assert_eq!(leave(&mut cluster, 1), None);
    let now = cluster.partition(p);
    assert_eq!((now.leader, now.isr), (Some(BrokerId(2)), brokers(&[2, 3])));
}

#[test]
fn one_that_is_needed_gives_its_leaderships_away_and_stays_in_the_isr() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[2, 1, 3]);
    cluster.start(1);
    assert_eq!(leave(&mut cluster, 2), Some(1));
    let now = cluster.partition(p);
    assert_eq!((now.leader, now.isr), (Some(BrokerId(3)), brokers(&[2, 3])));
    // It is no candidate for anything any more, and what is known of it outlives the controller.
    assert!(!cluster.image.is_active(BrokerId(2)));
    assert_eq!(Image::from(Snapshot::from(&cluster.image)), cluster.image);
    assert_eq!(leave(&mut cluster, 2), Some(1), "still");
    cluster.ask_isr(p, &[1, 2, 3]).expect("1 has caught up");
    assert_eq!(leave(&mut cluster, 2), None);
    assert_eq!(cluster.partition(p).isr, brokers(&[1, 3]));
}

#[test]
fn its_time_over_it_leaves_whatever_suffers() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    cluster.fence(3);
    assert_eq!(leave(&mut cluster, 1), Some(1), "3 may come back");
    assert_eq!(cluster.image.suffering(BrokerId(1), 2), vec![p]);
    assert_eq!(leave_with(&mut cluster, 1, true), None);
    assert_eq!(cluster.partition(p).isr, brokers(&[2]));
}

#[test]
fn of_two_that_stop_together_one_goes_and_the_other_waits() {
    let mut cluster = cluster_of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    assert_eq!(leave(&mut cluster, 1), None);
    assert_eq!(leave(&mut cluster, 2), Some(1));
    cluster.fence(1);
    assert_eq!(leave(&mut cluster, 2), Some(1));
    cluster.start(1);
    cluster.ask_isr(p, &[1, 2, 3]).expect("1 has caught up");
    assert_eq!(leave(&mut cluster, 2), None);
}

#[test]
fn all_that_stop_together_do_not_wait_for_one_another() {
    for min_isr in ["1", "2", "3"] {
        let mut cluster = cluster_of(3);
        cluster.topic_on("t", &[1, 2, 3]);
        cluster.set_config("t", "min.insync.replicas", min_isr);
        for id in [1, 2] {
            if leave(&mut cluster, id).is_none() {
                cluster.fence(id);
            }
        }
        assert_eq!(leave(&mut cluster, 3), None, "nobody stays, {min_isr}");
        assert_eq!(leave(&mut cluster, 2), None, "nobody stays, {min_isr}");
        assert_eq!(leave(&mut cluster, 1), None, "nobody stays, {min_isr}");
    }
}

#[test]
fn what_nobody_else_can_replace_holds_nobody() {
    let mut cluster = cluster_of(3);
    cluster.topic_on("alone", &[1]);
    assert_eq!(leave(&mut cluster, 1), None, "one replica is on one broker");
    let mut single = cluster_of(1);
    single.topic_on("t", &[1]);
    assert_eq!(leave(&mut single, 1), None);
    // Two of three replicas stop for good, while the cluster lives on.
    let mut cluster = cluster_of(5);
    cluster.topic_on("t", &[1, 2, 3]);
    cluster.fence(1);
    assert_eq!(leave(&mut cluster, 2), Some(1), "1 may come back");
    assert_eq!(leave(&mut cluster, 3), None, "2 goes, and 1 is not enough");
}

#[test]
fn a_broker_is_forgotten_when_it_has_stopped_and_holds_nothing() {
    let mut cluster = cluster_of(4);
    let p = cluster.topic_on("t", &[1, 2, 4]);
    let unregister = Command::UnregisterBroker {
        broker: BrokerId(4),
    };
    let refused = |cluster: &mut Cluster| cluster.propose(unregister.clone()).unwrap_err();
    assert!(refused(&mut cluster).to_string().contains("is running"));
    cluster.fence(4);
    assert!(refused(&mut cluster).to_string().contains("replicas of 1"));
    drain(&mut cluster, "4,9");
    let wish = crate::metadata::Reassignment {
        partition: p,
        target: Some(brokers(&[1, 2, 3])),
        min_insync_replicas: 2,
    };
    cluster.done(Command::AlterReassignments {
        partitions: vec![wish],
        allow_factor_change: true,
    });
    cluster.ask_isr(p, &[1, 2, 3]).expect("3 has caught up");
    cluster.done(unregister.clone());
    assert_eq!(refused(&mut cluster), Rejection::BrokerNotRegistered);
    let drained = cluster.image.config(&Resource::AllBrokers, DRAINED);
    assert_eq!(drained, Some("9"), "a later broker 4 is another");
    // Its epoch still only grows.
    let before = cluster.index;
    cluster.start(4);
    assert!(cluster.epoch(4).0 > before as i64);
}

fn drain(cluster: &mut Cluster, ids: &str) {
    cluster.done(Command::AlterConfigs {
        changes: vec![ConfigChange {
            resource: Resource::AllBrokers,
            edits: vec![(DRAINED.into(), ConfigEdit::Set(ids.into()))],
        }],
    });
}

#[test]
fn a_drained_broker_gets_no_new_replicas() {
    let mut cluster = cluster_of(4);
    drain(&mut cluster, "4");
    let spread = |factor| Assignment::Spread {
        partitions: 8,
        replication_factor: factor,
    };
    let id = cluster
        .create(new_topic("t", Uuid::from(99), spread(3)))
        .expect("three are left");
    let topic = cluster.image.topic_by_id(id).expect("created");
    assert!(topic.iter().all(|(_, p)| !p.has_replica(BrokerId(4))));
    let refused = cluster.create(new_topic("u", Uuid::from(98), spread(4)));
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("1 are drained"), "{text}");
}
