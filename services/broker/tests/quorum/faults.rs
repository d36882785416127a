//! What DESIGN.md's section 4 promises of voters that lose their directories, of disks that hang, of silence.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Command, Rejection};
use storage::Disk;
use storage::memory::{Fault, MemoryDisk, Operation};
use tokio::time::timeout;

use crate::harness::{Cluster, LIMIT, others};

#[test]
fn a_voter_that_lost_its_directory_votes_again_once_the_others_let_it_in() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    let topic = cluster.create(1, "t", &[1, 2, 3]);
    // Node 1 would be the one to initialise a quorum; it must not do so again.
    cluster.kill(1);
    let directory = cluster.directory(2);
    cluster.disks.insert(1, Arc::new(MemoryDisk::new()));
    cluster.start(1);
    cluster.join(1, false);
    cluster.wait(1, "the topic", |i| i.partition(topic, 0).is_some());
    assert_eq!(cluster.image(1).cluster_id(), cluster.image(2).cluster_id());
    assert_eq!(cluster.directory(2), directory);

    // It counts again: with another voter gone, it is needed for a majority.
    let mut lost = others(&[1, 2, 3], 1);
    let controller = cluster.controller();
    lost.sort_by_key(|id| *id != controller);
    cluster.wait_until("node 1 votes", |c| {
        c.live[&controller]
            .quorum
            .voters()
            .contains(&(BrokerId(1), c.directory(1)))
    });
    cluster.kill(lost[0]);
    let late = cluster.create(1, "late", &[1]);
    cluster.wait(1, "the late topic", |i| i.partition(late, 0).is_some());
}

/// Changes a byte of a file of a node's metadata directory.
fn damage(cluster: &Cluster, id: i32, file: &str) {
    let path = Path::new("/data/__cluster_metadata-0").join(file);
    let flipped = cluster.disks[&id].flip(&path, 5, 1);
    flipped.expect("it is there");
}

#[test]
fn a_voter_whose_files_are_damaged_gets_them_from_the_others_and_votes_again() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    let topic = cluster.create(1, "t", &[1, 2, 3]);
    for (id, file) in [
        (1, "vote"),
        (2, "00000000000000000000.raft"),
        (3, "identity"),
    ] {
        let before = cluster.directory(id);
        cluster.kill(id);
        damage(&cluster, id, file);
        cluster.start(id);
        cluster.join(id, false);
        cluster.wait(id, "the topic", |i| i.partition(topic, 0).is_some());
        let directory = cluster.directory(id);
        assert_ne!(directory, before, "it votes in its old name");
        cluster.wait_until("it votes", |c| {
            let controller = c.controller();
            let voters = c.live[&controller].quorum.voters();
            voters.contains(&(BrokerId(id), directory))
        });
        // And is like every other from now on.
        cluster.wait_until("the mark is gone", |c| {
            let mark = Path::new("/data/__cluster_metadata-0/rejoining");
            !c.disks[&id].exists(mark)
        });
        cluster.kill(id);
        cluster.start(id);
        cluster.join(id, false);
        assert_eq!(cluster.directory(id), directory);
    }
}

#[test]
fn voters_whose_files_are_all_damaged_begin_no_other_cluster() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    cluster.create(1, "t", &[1, 2, 3]);
    for id in [1, 2, 3] {
        cluster.kill(id);
        damage(&cluster, id, "vote");
    }
    for id in [1, 2, 3] {
        cluster.start(id);
    }
    let formed = cluster.formed_within(1, Duration::from_secs(3));
    assert!(!formed, "a second quorum has been initialised");
}

#[test]
fn a_voter_is_let_in_again_only_where_most_of_the_others_are_well() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    let topic = cluster.create(1, "t", &[1, 2, 3]);
    let controller = cluster.controller();
    let [away, hurt] = others(&[1, 2, 3], controller)[..] else {
        panic!("two others");
    };
    cluster.kill(away);
    // Twice the time after which a leader is replaced, in which it still counts as heard; nothing says when that is over.
    thread::sleep(Duration::from_secs(3));
    cluster.kill(hurt);
    let former = cluster.disks.insert(hurt, Arc::new(MemoryDisk::new()));
    cluster.start(hurt);
    let formed = cluster.formed_within(hurt, Duration::from_secs(2));
    assert!(!formed, "it was let in by one of three");
    // Had it been proposed to take it out, the one that is away would be needed now.
    cluster.kill(hurt);
    cluster
        .disks
        .insert(hurt, former.expect("it has run before"));
    cluster.start(hurt);
    cluster.join(hurt, false);
    cluster.wait(hurt, "the topic", |i| i.partition(topic, 0).is_some());
    cluster.create(hurt, "u", &[hurt]);
}

#[test]
fn voters_that_lost_their_directories_never_outvote_the_one_that_remembers() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    cluster.create(1, "t", &[1, 2, 3]);
    for id in [1, 2, 3] {
        cluster.kill(id);
    }
    for id in [1, 2] {
        cluster.disks.insert(id, Arc::new(MemoryDisk::new()));
        cluster.start(id);
    }
    cluster.start(3);
    // Two empty voters are a majority by number, but not of the quorum that exists: nothing is elected.
    let formed = cluster.formed_within(1, Duration::from_secs(3));
    assert!(!formed, "a second quorum has been initialised");
    assert!(!cluster.live[&3].quorum.is_active_controller());
}

#[test]
fn a_broker_whose_disk_hangs_gives_up_its_leaderships_but_is_not_fenced() {
    let cluster = Cluster::up(
        &[1, 2, 3],
        &[
            ("broker.stall.timeout.ms", "300"),
            ("broker.heartbeat.interval.ms", "50"),
        ],
    );
    let controller = cluster.controller();
    let slow = others(&[1, 2, 3], controller)[0];
    let topic = cluster.create(1, "t", &[slow, controller]);
    *cluster.live[&slow].stall.lock() = Duration::from_millis(900);
    cluster.wait(controller, "the move", |i| {
        i.partition(topic, 0).is_some_and(|p| {
            p.leader == Some(BrokerId(controller)) && !p.is_in_sync(BrokerId(slow))
        })
    });
    let state = cluster
        .image(controller)
        .broker(BrokerId(slow))
        .expect("registered")
        .clone();
    assert!(state.stalled && !state.fenced);
    *cluster.live[&slow].stall.lock() = Duration::ZERO;
    cluster.wait(controller, "the recovery", |i| {
        i.broker(BrokerId(slow)).is_some_and(|b| !b.stalled)
    });
}

#[test]
fn a_silent_broker_is_fenced_by_its_session() {
    let timeouts = [
        ("broker.session.timeout.ms", "1000"),
        ("broker.heartbeat.interval.ms", "100"),
    ];
    let cluster = Cluster::up(&[1, 2, 3], &timeouts);
    let controller = cluster.controller();
    let silent = others(&[1, 2, 3], controller)[0];
    cluster.freeze(silent, || {
        cluster.wait(controller, "the fence", |i| {
            i.broker(BrokerId(silent)).is_some_and(|b| b.fenced)
        });
    });
    // Its process goes on, in the same incarnation: its next heartbeat lets it in again.
    cluster.wait(controller, "the return", |i| {
        i.broker(BrokerId(silent)).is_some_and(|b| !b.fenced)
    });
}

#[test]
fn a_frozen_controller_is_replaced_and_finds_that_out() {
    let mut timeouts = vec![
        ("broker.session.timeout.ms", "1500"),
        ("broker.heartbeat.interval.ms", "100"),
    ];
    timeouts.push(("controller.quorum.election.timeout.ms", "500"));
    let cluster = Cluster::up(&[1, 2, 3], &timeouts);
    let frozen = cluster.controller();
    let rest = others(&[1, 2, 3], frozen);
    cluster.freeze(frozen, || {
        cluster.wait(rest[0], "another controller", |i| {
            i.controller().is_some_and(|c| c != BrokerId(frozen))
        });
        cluster.wait(rest[0], "the fence", |i| {
            i.broker(BrokerId(frozen)).is_some_and(|b| b.fenced)
        });
    });
    cluster.wait(frozen, "its successor", |i| {
        i.controller().is_some_and(|c| c != BrokerId(frozen))
    });
    cluster.wait(rest[0], "the return", |i| {
        i.broker(BrokerId(frozen)).is_some_and(|b| !b.fenced)
    });
}

#[test]
fn a_controller_that_no_majority_hears_does_not_say_that_it_is_one() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    let alone = cluster.controller();
    assert!(cluster.live[&alone].quorum.is_heard_as_controller());
    let rest = others(&[1, 2, 3], alone);
    for id in [1, 2, 3] {
        let described = cluster.describe(id).expect("an answer");
        assert_eq!((described.leader, described.voters.len()), (alone, 3));
    }
    for id in &rest {
        cluster.kill(*id);
    }
    cluster.wait_until("it has noticed", |c| {
        !c.live[&alone].quorum.is_heard_as_controller()
    });
    assert!(
        cluster.describe(alone).is_err(),
        "it does not know any more"
    );
    cluster.start(rest[0]);
    cluster.wait_until("somebody is heard", |c| {
        let mut live = c.live.values();
        live.any(|node| node.quorum.is_heard_as_controller())
    });
}

#[test]
fn a_stale_broker_epoch_is_refused() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    let stale = cluster.live[&2].quorum.broker_epoch().expect("registered");
    cluster.kill(2);
    cluster.start(2);
    cluster.join(2, false);
    for via in [1, 2, 3] {
        let refused = cluster.propose(
            via,
            Command::AllocateProducerIds {
                broker: BrokerId(2),
                epoch: stale,
            },
        );
        assert!(
            matches!(
                refused,
                Err(broker::quorum::Error::Rejected(Rejection::StaleBrokerEpoch))
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn an_observer_follows_the_metadata_and_serves() {
    let mut cluster = Cluster::up(&[1, 2, 3], &[]);
    cluster.start(9);
    cluster.join(9, false);
    let topic = cluster.create(9, "t", &[9, 1]);
    cluster.wait(9, "the topic", |i| {
        i.partition(topic, 0)
            .is_some_and(|p| p.leader == Some(BrokerId(9)))
    });
    // It outlives the controller that it follows.
    let controller = cluster.controller();
    cluster.kill(controller);
    let rest = others(&[1, 2, 3], controller);
    cluster.create(9, "u", &[9]);
    cluster.wait(rest[0], "the second topic", |i| i.topic("u").is_some());
    cluster.wait(9, "the new controller", |i| {
        i.controller().is_some_and(|c| c != BrokerId(controller))
    });
}

#[test]
fn a_node_far_behind_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::up(
        &[1, 2, 3],
        &[("metadata.log.max.record.bytes.between.snapshots", "20000")],
    );
    let controller = cluster.controller();
    let behind = others(&[1, 2, 3], controller)[0];
    cluster.kill(behind);
    let before = cluster.disks[&controller].used_bytes();
    for _ in 0..2500 {
        let epoch = cluster.live[&controller]
            .quorum
            .broker_epoch()
            .expect("registered");
        let command = Command::AllocateProducerIds {
            broker: BrokerId(controller),
            epoch,
        };
        cluster.propose(controller, command).expect("allocated");
    }
    cluster.wait_until("old entries are gone", |c| {
        c.disks[&controller].used_bytes() < before + 90_000
    });
    cluster.start(behind);
    cluster.join(behind, false);
    let index = cluster.image(controller).index();
    cluster.wait(behind, "all of it", |i| i.index() >= index);
}

#[test]
fn who_is_silent_when_the_office_passes_on_is_fenced_by_a_session_of_the_new_controllers() {
    let timeouts = [
        ("broker.session.timeout.ms", "1000"),
        ("broker.heartbeat.interval.ms", "100"),
    ];
    let mut cluster = Cluster::up(&[1, 2, 3, 4, 5], &timeouts);
    let dead = cluster.controller();
    let rest = others(&[1, 2, 3, 4, 5], dead);
    // The office has long been another's: whatever the new controller counts, it must count from now on.
    let begun = std::time::Instant::now();
    cluster.wait_until("some time passes", |_| {
        begun.elapsed() > Duration::from_secs(3)
    });
    cluster.kill(dead);
    let silent = BrokerId(rest[0]);
    cluster.freeze(rest[0], || {
        let took = cluster.wait(rest[1], "the fence", |i| {
            i.broker(silent).is_some_and(|b| b.fenced)
        });
        assert!(took < Duration::from_secs(4), "{took:?}");
    });
}

#[test]
fn nonsense_on_the_controller_listener_harms_nobody() {
    use std::io::{Read, Write};
    let cluster = Cluster::up(&[1], &[]);
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    for length in [0usize, 1, 4, 5, 13, 14, 40, 300, 5000] {
        for announced in [
            None,
            Some(length as u32),
            Some(u32::MAX),
            Some(0),
            Some(64 << 20),
        ] {
            let mut bytes = Vec::new();
            bytes.extend(announced.unwrap_or(9).to_be_bytes());
            // A request, a correlation id, the layout's version and its writer's, then noise.
            bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 7, 2, 0, 1, 0]);
            for _ in 0..length {
                dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                bytes.push((dice >> 56) as u8);
            }
            let mut stream =
                std::net::TcpStream::connect(("127.0.0.1", cluster.port(1))).expect("it listens");
            // The node may close the connection before it has read all.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    cluster.create(1, "alive", &[1]);
}

/// The partitions' logs may be on the same disk: what is doubtful of them must be told all the same.
#[test]
fn a_node_whose_own_consensus_has_ended_still_reaches_the_next_controller() {
    let cluster = Cluster::up(&[1, 2, 3], &[]);
    let victim = cluster.controller();
    let log = "__cluster_metadata";
    cluster.disks[&victim].inject(Fault::always(Operation::Write, log));
    let quorum = &cluster.live[&victim].quorum;
    cluster.run(victim, async {
        let command = Command::SetUncleanDefault { enabled: true };
        let _ = quorum.propose(command, Duration::from_secs(1)).await;
        timeout(LIMIT, quorum.failed()).await.expect("it ends");
        let told = timeout(LIMIT, quorum.forget_memory()).await;
        told.expect("somebody else is the active controller by now");
    });
}
