//! Planned stops while the active controller is slow.

use std::time::{Duration, Instant};

use engine::ids::BrokerId;
use engine::metadata::Command;
use storage::memory::{Fault, Operation};

use crate::harness::{Cluster, others};

#[test]
fn who_is_needed_does_not_go_because_the_controller_is_slow_to_say_so() {
    let timeouts = [
        ("controlled.shutdown.timeout.ms", "60000"),
        ("broker.session.timeout.ms", "30000"),
    ];
    let mut cluster = Cluster::up(&[1, 2, 3], &timeouts);
    let controller = cluster.controller();
    let [leaver, dead] = others(&[1, 2, 3], controller)[..] else {
        panic!("three nodes");
    };
    let topic = cluster.create(controller, "t", &[leaver, controller, dead]);
    cluster.kill(dead);
    cluster.wait(leaver, "two in sync", |i| {
        i.partition(topic, 0).is_some_and(|p| p.isr.len() == 2)
    });
    let (hurry, stop) = cluster.freeze(controller, || {
        let stopping = cluster.begin_stop(leaver);
        // Longer than one proposal may take.
        let begun = Instant::now();
        cluster.wait_until("a first proposal has had no answer", |_| {
            begun.elapsed() > Duration::from_millis(5_400)
        });
        stopping
    });
    let leaver = BrokerId(leaver);
    cluster.wait(controller, "the wish to leave", |i| {
        i.broker(leaver)
            .is_some_and(|b| b.leaving || b.shutting_down)
    });
    let image = cluster.image(controller);
    let state = image.partition(topic, 0).expect("there");
    assert!(state.is_in_sync(leaver), "{state:?}");
    drop(hurry);
    assert!(cluster.finish(leaver.0, stop), "it has handed over");
    let image = cluster.image(controller);
    assert!(image.broker(leaver).is_some_and(|b| b.shutting_down));
}

#[test]
fn an_active_controller_that_nobody_hears_does_not_wait_for_an_answer() {
    let given = Duration::from_secs(60);
    let mut cluster = Cluster::up(&[1, 2, 3], &[("controlled.shutdown.timeout.ms", "60000")]);
    let controller = cluster.controller();
    for dead in others(&[1, 2, 3], controller) {
        cluster.kill(dead);
    }
    let begun = Instant::now();
    let (hurry, stop) = cluster.begin_stop(controller);
    assert!(!cluster.finish(controller, stop), "nobody took anything");
    assert!(begun.elapsed() < given / 2, "{:?}", begun.elapsed());
    drop(hurry);
}

#[test]
fn who_does_not_see_why_it_is_kept_goes_when_its_time_is_over() {
    // Given one whose view of the metadata stands still, and a partition that needs it and of which it has not heard
    let given = Duration::from_millis(500);
    let timeout = ("controlled.shutdown.timeout.ms", "500");
    let mut cluster = Cluster::up(&[1, 2, 3, 4, 5], &[timeout]);
    let controller = cluster.controller();
    let [leaver, dead, ..] = others(&[1, 2, 3, 4, 5], controller)[..] else {
        panic!("five nodes");
    };
    let log = "__cluster_metadata";
    cluster.disks[&leaver].inject(Fault::always(Operation::Write, log));
    let change = Command::SetUncleanDefault { enabled: true };
    cluster.propose(controller, change).expect("a change");
    cluster.run(leaver, cluster.live[&leaver].quorum.failed());
    let topic = cluster.create(controller, "t", &[leaver, controller, dead]);
    cluster.kill(dead);
    cluster.wait(controller, "two in sync", |i| {
        i.partition(topic, 0).is_some_and(|p| p.isr.len() == 2)
    });
    assert!(cluster.image(leaver).partition(topic, 0).is_none());
    // When it stops, then it is kept for so long, and ends
    let begun = Instant::now();
    let (hurry, stop) = cluster.begin_stop(leaver);
    assert!(cluster.finish(leaver, stop), "it has handed over");
    assert!(begun.elapsed() >= given, "{:?}", begun.elapsed());
    let image = cluster.image(controller);
    let gone = image.broker(BrokerId(leaver));
    assert!(gone.is_some_and(|b| b.shutting_down), "{gone:?}");
    drop(hurry);
}
