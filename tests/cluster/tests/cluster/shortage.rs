//! Too few replicas: what is produced with acks=all is refused, nothing is acknowledged, and it goes on by itself.

use anyhow::{Context, Result, ensure};
use cluster::read::finish_and_check;
use cluster::{Cluster, Load, Settings, produce};
use wire::ErrorCode;

use crate::{TOPIC, scenario};

/// Where single records are tried, apart from the load.
const PROBE: &str = "probe";
/// Of both topics. The quorum has five voters, so that it outlives two of them.
const REPLICAS: &[i32] = &[1, 2, 3];

fn isr(cluster: &mut Cluster) -> Result<Vec<i32>> {
    let topic = cluster.topic_at(Some(1), PROBE)?;
    Ok(topic
        .partitions
        .first()
        .context("no partition")?
        .isr
        .clone())
}

fn acknowledged(cluster: &mut Cluster) -> Result<()> {
    cluster.until("a record is acknowledged", |cluster| {
        let leader = cluster.leader(PROBE, 0)?;
        let code = produce(cluster.node(leader).address, PROBE, 0, -1)?;
        Ok(code == Some(ErrorCode::None))
    })
}

fn is_refusal(code: Option<ErrorCode>) -> bool {
    let too_few = [
        Some(ErrorCode::NotEnoughReplicas),
        Some(ErrorCode::NotEnoughReplicasAfterAppend),
    ];
    too_few.contains(&code)
}

#[test]
fn with_two_of_three_replicas_down_nothing_is_acknowledged() {
    let settings = Settings::default().brokers(5);
    let mut cluster = Cluster::with(settings).expect("a cluster");
    cluster
        .create_topic_on(TOPIC, &[REPLICAS])
        .expect("a topic");
    cluster
        .create_topic_on(PROBE, &[REPLICAS])
        .expect("a topic");
    let load = Load::start(&mut cluster, TOPIC, 100, 200, &[]).expect("a load");
    load.wait_more(100).expect("acknowledgements");
    scenario(cluster, |cluster| {
        acknowledged(cluster)?;
        let leader = cluster.node(1).address;
        cluster.node(2).kill()?;
        cluster.node(3).kill()?;
        // Until the ISR has shrunk a record waits for replicas that are gone; then it is refused. It is never acknowledged.
        let mut answers = Vec::new();
        cluster.until("records are refused", |cluster| {
            let code = produce(leader, PROBE, 0, -1)?;
            answers.push(code);
            Ok(is_refusal(code) && isr(cluster)? == [1])
        })?;
        let acknowledged = answers.contains(&Some(ErrorCode::None));
        ensure!(!acknowledged, "acknowledged by one replica: {answers:?}");
        let acked = load.acked();
        for _ in 0..20 {
            let code = produce(leader, PROBE, 0, -1)?;
            ensure!(code == Some(ErrorCode::NotEnoughReplicas), "{code:?}");
        }
        // acks=1 asks for no other replica, as in Kafka.
        ensure!(
            produce(leader, PROBE, 0, 1)? == Some(ErrorCode::None),
            "acks=1"
        );
        ensure!(
            load.acked() == acked,
            "the load was acknowledged by one replica"
        );
        println!("two of three replicas down: {answers:?}, then NotEnoughReplicas");

        cluster.restart(2)?;
        load.wait_more(100)?;
        cluster.restart(3)?;
        load.wait_more(100)?;
        finish_and_check(cluster, TOPIC, load)
    });
}

#[test]
fn without_a_majority_of_brokers_nothing_is_acknowledged() {
    let mut cluster = Cluster::start().expect("a cluster");
    cluster
        .create_topic_on(PROBE, &[REPLICAS])
        .expect("a topic");
    scenario(cluster, |cluster| {
        acknowledged(cluster)?;
        cluster.node(2).kill()?;
        cluster.node(3).kill()?;
        // Nobody can change the ISR now: the leader waits for replicas that do not come.
        for _ in 0..2 {
            let code = produce(cluster.node(1).address, PROBE, 0, -1)?;
            let waited = code == Some(ErrorCode::RequestTimedOut);
            ensure!(waited || is_refusal(code), "{code:?}");
        }
        cluster.node(2).start()?;
        cluster.node(3).start()?;
        cluster.wait_ready()?;
        acknowledged(cluster)?;
        cluster.wait_in_sync(PROBE)?;
        cluster::replicas::check_identical(cluster, PROBE)
    });
}
