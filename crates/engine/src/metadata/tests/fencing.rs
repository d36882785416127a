//! What becomes of leaderships and ISRs when brokers die, hang, stop and come back.

use super::*;
use crate::ids::LeaderEpoch;

#[test]
fn a_fenced_leader_is_replaced_from_the_isr_in_one_write() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    let before = cluster.index;
    cluster.fence(1);
    let state = cluster.partition(p);
    assert_eq!(cluster.index, before + 1);
    assert_eq!(state.leader, Some(BrokerId(2)));
    assert_eq!(state.isr, brokers(&[2, 3]));
    assert_eq!(state.leader_epoch, LeaderEpoch(1));
}

#[test]
fn the_last_member_of_the_isr_leads_again_when_it_returns() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    for id in [1, 2, 3] {
        cluster.fence(id);
    }
    let state = cluster.partition(p);
    assert_eq!((state.leader, state.isr), (None, vec![]));
    assert_eq!(state.elr, brokers(&[3]));
    cluster.unfence(1);
    assert_eq!(
        cluster.partition(p).leader,
        None,
        "broker 1 may lack records"
    );
    cluster.unfence(3);
    let state = cluster.partition(p);
    assert_eq!(
        (state.leader, state.isr),
        (Some(BrokerId(3)), brokers(&[3]))
    );
    assert_eq!(state.leader_epoch, LeaderEpoch(4));
}

#[test]
fn a_new_incarnation_leaves_every_isr() {
    let mut cluster = Cluster::of(2);
    let (shared, alone) = (
        cluster.topic_on("shared", &[1, 2]),
        cluster.topic_on("alone", &[1]),
    );
    let (epoch, clean) = cluster.register(1, None);
    assert!(!clean);
    assert!(epoch > BrokerEpoch(1));
    assert_eq!(
        (
            cluster.partition(shared).leader,
            cluster.partition(shared).isr
        ),
        (Some(BrokerId(2)), brokers(&[2]))
    );
    assert_eq!(
        (
            cluster.partition(alone).leader,
            cluster.partition(alone).isr
        ),
        (None, vec![])
    );
    cluster.unfence(1);
    let state = cluster.partition(alone);
    assert_eq!(
        (state.leader, state.isr),
        (Some(BrokerId(1)), brokers(&[1])),
        "nobody else has a replica, so nobody has more"
    );
}

#[test]
fn a_clean_shutdown_record_is_recognised_by_its_epoch() {
    let mut cluster = Cluster::of(1);
    let epoch = cluster.epoch(1);
    assert!(cluster.register(1, Some(epoch)).1);
    assert!(
        !cluster.register(1, Some(epoch)).1,
        "the record is of an older incarnation"
    );
}

#[test]
fn registering_the_same_incarnation_again_changes_nothing() {
    let mut cluster = Cluster::of(1);
    let state = cluster
        .image
        .broker(BrokerId(1))
        .expect("registered")
        .clone();
    let again = Registration {
        broker: state.id,
        incarnation: state.incarnation,
        directory: state.directory,
        cluster_id: None,
        clean_epoch: None,
        endpoints: state.endpoints.clone(),
        rack: None,
    };
    let outcome = cluster.done(Command::RegisterBroker(again));
    assert!(matches!(outcome, Outcome::Registered { epoch, .. } if epoch == state.epoch));
    assert_eq!(cluster.image.broker(BrokerId(1)), Some(&state));
}

#[test]
fn a_broker_of_another_cluster_is_refused() {
    let mut cluster = Cluster::of(1);
    cluster.done(Command::NameCluster {
        cluster_id: "ours".into(),
    });
    cluster.done(Command::NameCluster {
        cluster_id: "too late".into(),
    });
    let state = cluster
        .image
        .broker(BrokerId(1))
        .expect("registered")
        .clone();
    let foreign = Registration {
        broker: BrokerId(2),
        incarnation: Uuid::from(7),
        directory: Uuid::from(7),
        cluster_id: Some("theirs".into()),
        clean_epoch: None,
        endpoints: state.endpoints.clone(),
        rack: None,
    };
    let refused = cluster.propose(Command::RegisterBroker(foreign.clone()));
    assert_eq!(
        refused,
        Err(Rejection::InconsistentClusterId {
            ours: "ours".into(),
            theirs: "theirs".into()
        })
    );
    // One whose directories have been used here before, and one whose are new.
    for cluster_id in [Some("ours".into()), None] {
        let mut fits = foreign.clone();
        fits.cluster_id = cluster_id;
        cluster.registered(Command::RegisterBroker(fits));
    }
}

#[test]
fn commands_of_an_older_incarnation_are_refused() {
    let mut cluster = Cluster::of(2);
    let stale = cluster.epoch(1);
    cluster.start(1);
    for command in [
        Command::FenceBroker {
            broker: BrokerId(1),
            epoch: stale,
        },
        Command::UnfenceBroker {
            broker: BrokerId(1),
            epoch: stale,
        },
        Command::AllocateProducerIds {
            broker: BrokerId(1),
            epoch: stale,
        },
        Command::AlterPartitions {
            broker: BrokerId(1),
            epoch: stale,
            changes: vec![],
        },
    ] {
        assert_eq!(cluster.propose(command), Err(Rejection::StaleBrokerEpoch));
    }
    let unknown = Command::FenceBroker {
        broker: BrokerId(9),
        epoch: stale,
    };
    assert_eq!(
        cluster.propose(unknown),
        Err(Rejection::BrokerNotRegistered)
    );
}

#[test]
fn a_stopping_broker_hands_over_what_another_can_take() {
    let mut cluster = Cluster::of(3);
    let (shared, alone) = (
        cluster.topic_on("shared", &[1, 2, 3]),
        cluster.topic_on("alone", &[1]),
    );
    let epoch = cluster.epoch(1);
    let outcome = cluster.done(Command::ShutDownBroker {
        broker: BrokerId(1),
        epoch,
    });
    assert_eq!(
        outcome,
        Outcome::ShuttingDown {
            remaining_leaderships: 1
        }
    );
    assert_eq!(cluster.partition(shared).leader, Some(BrokerId(2)));
    assert_eq!(cluster.partition(shared).isr, brokers(&[2, 3]));
    assert_eq!(cluster.partition(alone).leader, Some(BrokerId(1)));
}

#[test]
fn a_stalled_broker_leads_nothing_that_a_healthy_one_can_lead() {
    let mut cluster = Cluster::of(3);
    let p = cluster.topic_on("t", &[1, 2, 3]);
    let stall = |cluster: &mut Cluster, id: i32, stalled: bool| {
        let epoch = cluster.epoch(id);
        cluster.done(Command::StallBroker {
            broker: BrokerId(id),
            epoch,
            stalled,
        });
    };
    stall(&mut cluster, 1, true);
    assert_eq!(
        (cluster.partition(p).leader, cluster.partition(p).isr),
        (Some(BrokerId(2)), brokers(&[2, 3]))
    );
    assert!(
        !cluster
            .image
            .broker(BrokerId(1))
            .expect("registered")
            .fenced
    );
    assert_eq!(
        cluster.ask_isr(p, &[1, 2, 3]),
        Err(Rejection::IneligibleReplica)
    );
    stall(&mut cluster, 2, true);
    stall(&mut cluster, 3, true);
    assert_eq!(
        (cluster.partition(p).leader, cluster.partition(p).isr),
        (Some(BrokerId(3)), brokers(&[3]))
    );
    stall(&mut cluster, 1, false);
    cluster
        .ask_isr(p, &[1, 3])
        .expect("a healthy replica may join a stalled leader's ISR");
    assert_eq!(
        (cluster.partition(p).leader, cluster.partition(p).isr),
        (Some(BrokerId(1)), brokers(&[1]))
    );
}

#[test]
fn an_unclean_election_happens_only_where_the_config_says_so() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    cluster.fence(2);
    cluster.fence(1);
    cluster.unfence(2);
    assert_eq!(cluster.partition(p).leader, None);
    cluster.set_config("t", "unclean.leader.election.enable", "true");
    assert_eq!(
        (cluster.partition(p).leader, cluster.partition(p).isr),
        (Some(BrokerId(2)), brokers(&[2]))
    );
}

#[test]
fn the_preferred_replica_gets_its_leadership_back_once_it_is_in_sync() {
    let mut cluster = Cluster::of(2);
    let p = cluster.topic_on("t", &[1, 2]);
    cluster.fence(1);
    cluster.unfence(1);
    assert_eq!(cluster.image.imbalanced(), vec![]);
    let elect = |cluster: &mut Cluster| {
        cluster.done(Command::ElectPreferred {
            partitions: vec![p],
        })
    };
    let refused = Outcome::Elected(vec![Err(Rejection::PreferredLeaderNotAvailable)]);
    assert_eq!(elect(&mut cluster), refused);
    cluster.ask_isr(p, &[1, 2]).expect("back in sync");
    assert_eq!(cluster.image.imbalanced(), vec![p]);
    assert_eq!(elect(&mut cluster), Outcome::Elected(vec![Ok(())]));
    assert_eq!(cluster.partition(p).leader, Some(BrokerId(1)));
    assert_eq!(
        elect(&mut cluster),
        Outcome::Elected(vec![Err(Rejection::ElectionNotNeeded)])
    );
}

#[test]
fn the_controllers_own_default_counts_where_nobody_has_set_it() {
    let mut cluster = Cluster::of(2);
    let (lenient, strict) = (
        cluster.topic_on("lenient", &[1, 2]),
        cluster.topic_on("strict", &[1, 2]),
    );
    cluster.set_config("strict", "unclean.leader.election.enable", "false");
    cluster.fence(2);
    cluster.fence(1);
    cluster.unfence(2);
    cluster.done(Command::SetUncleanDefault { enabled: true });
    assert_eq!(cluster.partition(lenient).leader, Some(BrokerId(2)));
    assert_eq!(cluster.partition(strict).leader, None);
}
