//! The metadata quorum in simulation: brokers lose power or are cut off, one after the other; what was acknowledged
//! stays, and the same seed gives the same run twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::clients::{Simulated, until_some};
use sim::operations::topics;
use sim::{Client, Cluster, Settings, Topic, Trace, broker_name, seed_or};
use tokio::time::sleep;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::{DeleteTopicsRequest, MetadataRequest, MetadataResponse};
use wire::{ErrorCode, Str};

const ALL: [i32; 3] = [1, 2, 3];
const ROUNDS: usize = 6;

/// What is done to one broker in a round.
#[derive(Clone, Copy, Debug)]
enum Harm {
    PowerLoss,
    CutOff,
}

/// What the client asks the test to do to the brokers; 0 is nothing.
#[derive(Clone, Default)]
struct Wish {
    harm: Arc<AtomicI32>,
    heal: Arc<AtomicI32>,
}

fn others(id: i32) -> Vec<i32> {
    ALL.into_iter().filter(|other| *other != id).collect()
}

fn inflict(cluster: &mut Cluster<'_>, id: i32, harm: Harm) {
    match harm {
        Harm::PowerLoss => cluster.crash(id),
        Harm::CutOff => others(id)
            .into_iter()
            .for_each(|o| cluster.sim.partition(broker_name(id), broker_name(o))),
    }
}

fn undo(cluster: &mut Cluster<'_>, id: i32, harm: Harm) {
    match harm {
        Harm::PowerLoss => cluster.restart(id),
        Harm::CutOff => others(id)
            .into_iter()
            .for_each(|o| cluster.sim.repair(broker_name(id), broker_name(o))),
    }
}

fn life(seed: u64, trace: &Trace) {
    let mut cluster = Cluster::new(&Settings {
        seed,
        brokers: 3,
        properties: Vec::new(),
        tick: Duration::from_millis(1),
        disk: Duration::ZERO,
    });
    let mut dice = StdRng::seed_from_u64(seed);
    let harms: Vec<(i32, Harm)> = (0..ROUNDS)
        .map(|_| {
            (
                dice.random_range(1..=3),
                if dice.random_bool(0.5) {
                    Harm::PowerLoss
                } else {
                    Harm::CutOff
                },
            )
        })
        .collect();
    let wish = Wish::default();
    let (asked, story, plan) = (wish.clone(), trace.clone(), harms.clone());
    cluster.sim.client("client", async move {
        Ok(client(asked, story, plan)
            .await
            .map_err(|e| format!("{e:#}"))?)
    });
    let mut round = 0;
    while !cluster
        .sim
        .step()
        .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", trace.tail(60)))
    {
        let id = wish.harm.swap(0, Ordering::Relaxed);
        if id != 0 {
            trace.note(format!("{:?} of broker {id}", harms[round].1));
            inflict(&mut cluster, id, harms[round].1);
        }
        let id = wish.heal.swap(0, Ordering::Relaxed);
        if id != 0 {
            trace.note(format!("broker {id} is healed"));
            undo(&mut cluster, id, harms[round].1);
            round += 1;
        }
    }
}

async fn client(wish: Wish, trace: Trace, plan: Vec<(i32, Harm)>) -> anyhow::Result<()> {
    whole(&ALL).await?;
    create(&ALL, "before").await?;
    for (round, (victim, harm)) in plan.into_iter().enumerate() {
        wish.harm.store(victim, Ordering::Relaxed);
        let rest = others(victim);
        let name = format!("round-{round}");
        create(&rest, &name).await?;
        trace.note(format!("{name} acknowledged"));
        if let Harm::CutOff = harm {
            delete_where_it_is_not_known(victim, &name).await?;
        }
        wish.heal.store(victim, Ordering::Relaxed);
        whole(&ALL).await?;
    }
    for id in ALL {
        let only = [id];
        let metadata = until_some(&only, "see every topic", async |client| {
            let metadata = ask(client).await?;
            ensure!(
                metadata.topics.len() == ROUNDS + 1,
                "{} topics",
                metadata.topics.len()
            );
            // A broker that was cut off learns last that it was fenced, and may have the only replica in sync.
            let partitions = metadata.topics.iter().flat_map(|t| &t.partitions);
            let without = partitions.filter(|p| p.leader_id < 0).count();
            ensure!(without == 0, "{without} partitions have no leader");
            Ok(())
        });
        metadata.await?;
    }
    Ok(())
}

async fn ask(client: &mut Client) -> anyhow::Result<MetadataResponse> {
    client
        .call(
            MetadataRequest {
                topics: None,
                ..MetadataRequest::default()
            },
            12,
        )
        .await
}

/// Waits until each broker sees all three.
async fn whole(all: &[i32]) -> anyhow::Result<()> {
    for id in all {
        until_some(&[*id], "see three brokers", async |client| {
            let metadata = ask(client).await?;
            ensure!(
                metadata.brokers.len() == ALL.len(),
                "{} brokers",
                metadata.brokers.len()
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A broker that is cut off has not heard of the topic. It must not say that there is none, once it knows that it is cut
/// off: if it was the active controller it takes itself for that a moment longer, as Kafka's does.
async fn delete_where_it_is_not_known(broker: i32, name: &str) -> anyhow::Result<()> {
    sleep(Duration::from_secs(3)).await;
    let topic = DeleteTopicState {
        name: Some(Str::copy_from(name)),
        ..DeleteTopicState::default()
    };
    let request = DeleteTopicsRequest {
        topics: vec![topic],
        timeout_ms: 500,
        ..DeleteTopicsRequest::default()
    };
    let mut client = Client::connect(&Simulated, broker).await?;
    let answer = client.call(request, 6).await?;
    let error = answer.responses.first().map(|r| r.error_code);
    ensure!(
        error == Some(ErrorCode::RequestTimedOut.code()),
        "broker {broker} cannot know whether {name} is there, and says {error:?}"
    );
    Ok(())
}

async fn create(via: &[i32], name: &str) -> anyhow::Result<()> {
    let topic = Topic {
        name: name.into(),
        partitions: 3,
        replicas: 3,
        ..Topic::default()
    };
    topics::create(via, &topic).await
}

fn traced(seed: u64) -> Vec<String> {
    let trace = Trace::default();
    trace.record(|| life(seed, &trace));
    trace.lines()
}

#[test]
fn acknowledged_metadata_survives_whatever_happens_to_one_broker_at_a_time() {
    for seed in seed_or(10)..seed_or(10) + 3 {
        traced(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_quorum_twice() {
    let seed = seed_or(20);
    let (first, second) = (traced(seed), traced(seed));
    if let Some(at) =
        (0..first.len().max(second.len())).find(|at| first.get(*at) != second.get(*at))
    {
        panic!(
            "seed {seed}, line {at}:\n  {:?}\n  {:?}",
            first.get(at),
            second.get(at)
        );
    }
}
