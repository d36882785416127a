//! One node alone.

use engine::ids::BrokerId;
use engine::metadata::{Command, Outcome};

use crate::harness::Cluster;

#[test]
fn a_sole_voter_is_controller_at_once_and_keeps_its_metadata() {
    let mut cluster = Cluster::up(&[1], &[]);
    assert_eq!(cluster.controller(), 1);
    let first = cluster
        .image(1)
        .broker(BrokerId(1))
        .expect("registered")
        .epoch;
    let cluster_id = cluster.image(1).cluster_id().cloned();
    assert!(cluster_id.is_some());
    let topic = cluster.create(1, "t", &[1]);

    cluster.kill(1);
    cluster.start(1);
    cluster.join(1, false);
    let image = cluster.image(1);
    assert_eq!(image.cluster_id(), cluster_id.as_ref());
    assert!(image.broker(BrokerId(1)).expect("registered").epoch > first);
    assert_eq!(
        image
            .partition(topic, 0)
            .expect("the topic is there")
            .leader,
        Some(BrokerId(1))
    );
    assert!(cluster.live[&1].quorum.broker_epoch() > Some(first));
}

#[test]
fn producer_ids_go_on_after_a_restart() {
    let mut cluster = Cluster::up(&[1], &[]);
    let allocate = |cluster: &Cluster| {
        let epoch = cluster.live[&1].quorum.broker_epoch().expect("registered");
        match cluster.propose(
            1,
            Command::AllocateProducerIds {
                broker: BrokerId(1),
                epoch,
            },
        ) {
            Ok(Outcome::ProducerIds { first }) => first.0,
            other => panic!("AllocateProducerIds answers {other:?}"),
        }
    };
    assert_eq!(allocate(&cluster), 0);
    cluster.stop(1);
    cluster.start(1);
    cluster.join(1, true);
    assert_eq!(allocate(&cluster), 1000);
}
