//! One node alone.

use broker::quorum::untrusted::{offer_snapshot, snapshot_of};
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

#[test]
fn a_snapshot_that_cannot_be_read_is_refused_and_the_process_goes_on() {
    // Given a voter that a peer of a later term calls
    let cluster = Cluster::up(&[1], &[]);
    let offer = |image: &[u8]| {
        let quorum = cluster.live[&1].quorum.clone();
        cluster.run(1, async move { offer_snapshot(&quorum, image, 50).await })
    };

    // When it sends what is no image, and an image of another entry
    let other = cluster.image(1).at_index(1_000_000);
    let other = snapshot_of(&other);
    for garbage in [&[0xff; 1000][..], &[], &other] {
        let refused = offer(garbage).expect_err("it is no image");
        assert!(refused.contains("refused"), "{refused}");
    }

    // Then nothing has failed, and commands are still carried out
    cluster.create(1, "t", &[1]);

    // And what can be read is taken
    let image = cluster.image(1);
    let next = image.at_index(image.index() + 1);
    offer(&snapshot_of(&next)).expect("a good image");
    cluster.wait(1, "the snapshot", |image| image.index() >= next.index());
}
