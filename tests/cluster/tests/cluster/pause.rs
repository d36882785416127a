//! A leader that stops without dying (SIGSTOP) and comes back believing that it leads.

use cluster::Settings;
use cluster::read::finish_and_check;

use crate::{TOPIC, loaded_with, scenario};

#[test]
fn a_paused_leader_acknowledges_nothing_that_is_lost() {
    let settings = Settings::default()
        .property("broker.session.timeout.ms", "2000")
        .property("replica.lag.time.max.ms", "2000");
    let (cluster, load) =
        loaded_with(settings, 500, &[("socket.timeout.ms", "3000")]).expect("a loaded cluster");
    scenario(cluster, |cluster| {
        let leader = cluster.leader(TOPIC, 0)?;
        cluster.node(leader).pause()?;
        // The others fence it and go on; its partitions are acknowledged by new leaders.
        cluster.until("another broker leads", |cluster| {
            let asked = (1..=3).find(|id| *id != leader);
            let topic = cluster.topic_at(asked, TOPIC)?;
            Ok(topic
                .partitions
                .iter()
                .all(|p| p.leader.is_some_and(|id| id != leader)))
        })?;
        load.wait_more(500)?;
        cluster.node(leader).resume()?;
        load.wait_more(500)?;
        finish_and_check(cluster, TOPIC, load)
    });
}
