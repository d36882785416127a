//! Looking at the cluster: whether all replicas are in sync, and at the end all that there is to read.

use std::time::Duration;

use anyhow::ensure;
use checker::What;
use checker::history::Place;
use tokio::time::{Instant, sleep};

use super::consume::{earliest, fetch_of, latest};
use super::elect::revive;
use super::{ALONE, LIVENESS, topics};
use wire::Uuid;

use crate::clients::{Group, Session};
use crate::scene::now_us;
use crate::{Scene, Stage, marks};

const NAME: &str = "auditor";
/// Who waits in vain tells by itself what it waits for: the auditor comes a little later.
const SLACK: Duration = Duration::from_secs(1);
/// Rest between two looks.
const REST: Duration = Duration::from_millis(200);

/// Makes the topics, waits while things go wrong, and reads everything when they have ended.
pub async fn run(scene: Scene) -> anyhow::Result<()> {
    topics::create_all(&scene).await?;
    let mut session = Session::new(&scene.brokers);
    wait_whole(&scene, &mut session, Instant::now()).await?;
    scene.enter(Stage::Harm);
    while scene.stage() < Stage::Settling {
        note_isrs(&scene, &mut session).await;
        if check_whole(&scene, &mut session).await.is_ok() {
            scene.saw_whole();
        }
        sleep(REST).await;
    }
    let healed = Instant::now();
    let since = Duration::from_micros(now_us());
    while scene.is_busy() {
        if healed.elapsed() > ALONE {
            revive_young(&scene, &mut session).await;
        }
        sleep(REST).await;
        ensure!(healed.elapsed() < LIVENESS + SLACK, "a client does not end");
    }
    // All of it within the same minute.
    wait_whole(&scene, &mut session, healed).await?;
    for group in scene.groups.iter() {
        while let Some(why) = scene.unrest(group, since) {
            let waited = healed.elapsed();
            ensure!(
                waited < LIVENESS,
                "{} is not stable after {waited:?}: {why}",
                group.name
            );
            sleep(REST).await;
        }
    }
    for at in scene.places() {
        read_all(&scene, &mut session, &at, &at, None).await?;
    }
    scene.enter(Stage::Over);
    for group in scene.groups.iter() {
        look_at_commits(&scene, &group.name).await?;
    }
    Ok(())
}

/// What a group has committed is told at the end, too.
async fn look_at_commits(scene: &Scene, name: &str) -> anyhow::Result<()> {
    let mut group = Group::new(name, &scene.brokers);
    let begun = Instant::now();
    for at in scene.places() {
        loop {
            let sent_us = now_us();
            match group.committed(&at).await {
                Ok(offset) => {
                    let group = name.to_string();
                    let what = What::CommittedSeen {
                        group,
                        at,
                        offset,
                        sent_us,
                    };
                    scene.record(NAME, what);
                    break;
                }
                Err(why) => ensure!(begun.elapsed() < LIVENESS, "{name}, {at}: {why}"),
            }
            sleep(REST).await;
        }
    }
    Ok(())
}

/// For a minute from `begun` on.
async fn wait_whole(scene: &Scene, session: &mut Session, begun: Instant) -> anyhow::Result<()> {
    while let Err(why) = check_whole(scene, session).await {
        let since = begun.elapsed();
        ensure!(since < LIVENESS, "not whole after {since:?}: {why:#}");
        if since > ALONE {
            revive_young(scene, session).await;
        }
        sleep(REST).await;
    }
    Ok(())
}

/// Of the partitions that were added.
async fn revive_young(scene: &Scene, session: &mut Session) {
    for topic in scene.topics.iter() {
        for partition in topic.partitions..scene.partitions(&topic.name) {
            let at = Place::new(&topic.name, partition);
            revive(scene, session, &at, &at).await;
        }
    }
}

async fn note_isrs(scene: &Scene, session: &mut Session) {
    for topic in scene.topics.iter().filter(|topic| topic.replicas > 1) {
        let known = session.partitions(&topic.name).await.unwrap_or_default();
        if known.iter().any(|partition| partition.isr_nodes.len() == 1) {
            marks::note(marks::ISR_OF_ONE);
        }
    }
}

/// Whether each partition has a leader and every replica in its ISR.
async fn check_whole(scene: &Scene, session: &mut Session) -> anyhow::Result<()> {
    for topic in scene.topics.iter() {
        let partitions = session.partitions(&topic.name).await?;
        let (wanted, found) = (scene.partitions(&topic.name), partitions.len());
        ensure!(
            found == wanted as usize,
            "{}: {found} of {wanted} partitions",
            topic.name
        );
        for p in partitions {
            let (isr, replicas) = (p.isr_nodes.len(), p.replica_nodes.len());
            let name = format!("{}-{}", topic.name, p.partition_index);
            ensure!(p.leader_id >= 0, "nobody leads {name}");
            ensure!(
                isr == replicas,
                "{name}: {:?} in sync of {:?}",
                p.isr_nodes,
                p.replica_nodes
            );
            ensure!(replicas == topic.replicas as usize, "{name} is moving");
        }
    }
    Ok(())
}

/// Reads `at` to its end, from the topic of this id if there is one, and writes it down as `known_as`.
pub async fn read_all(
    scene: &Scene,
    session: &mut Session,
    at: &Place,
    known_as: &Place,
    id: Option<Uuid>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    // Not from the fetched high watermark: that of a new leader may lag for a moment, and only here it says so (KIP-207).
    let end = loop {
        match latest(scene, NAME, session, at, known_as).await {
            Ok(end) => break end,
            Err(error) => ensure!(
                begun.elapsed() < LIVENESS,
                "nobody tells the end of {at}: {error:#}"
            ),
        }
        let _ = session.partitions(&at.topic).await;
        sleep(REST).await;
    };
    let (mut position, mut log_start, mut all) = (0, 0, Vec::new());
    while position < end {
        let since = begun.elapsed();
        ensure!(
            since < LIVENESS,
            "{at} cannot be read beyond {position} of {end} within {since:?}"
        );
        let read = match fetch_of(session, at, id, position).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                // Retention was faster.
                let start = earliest(scene, NAME, session, at).await.unwrap_or(0);
                ensure!(
                    begun.elapsed() < LIVENESS,
                    "{at} has nothing at {position}, its start is {start}"
                );
                (position, log_start) = (start.max(position), start.max(log_start));
                sleep(REST).await;
                continue;
            }
            Err(error) => {
                let since = begun.elapsed();
                ensure!(
                    since < LIVENESS,
                    "{at} cannot be read at {position}: {error:#}"
                );
                let _ = session.partitions(&at.topic).await;
                sleep(REST).await;
                continue;
            }
        };
        all.extend(read.records);
        (position, log_start) = (read.next, read.log_start.max(log_start));
    }
    let what = What::FinalRead {
        at: known_as.clone(),
        log_start,
        end: position,
        records: all,
    };
    scene.record(NAME, what);
    Ok(())
}
