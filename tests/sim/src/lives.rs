//! One life: a client produces and reads while brokers are harmed and healed, one at a time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::ensure;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::moves::Mover;
use crate::workload::{Producer, create_topic, partition, read_all};
use crate::{Cluster, Trace, broker_name};

/// Replicas of the partition, and brokers where they stay.
const REPLICAS: i32 = 3;
/// Brokers where replicas move.
const BROKERS: i32 = 5;
/// Records before a harm, while it lasts, and after it is healed.
const STRETCH: usize = 15;
/// Records between two wishes to move replicas.
const MOVE_EVERY: usize = 5;

/// What is done to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The machine stops; what was not synced is lost or torn.
    PowerLoss,
    /// The process dies; what it had written stays.
    Kill,
    /// The other brokers cannot reach it, nor it them. The client can.
    CutOff,
    /// It is told to stop, and hands over what others can take.
    Stop,
}

/// Whom it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Whoever leads the partition then.
    Leader,
    /// This broker.
    Broker(i32),
}

/// What happens in a life.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One after the other; the ISR is whole again in between.
    pub harms: Vec<(Victim, Harm)>,
    /// Whether replicas move meanwhile, among more brokers.
    pub moves: bool,
}

impl Plan {
    /// One harm, and nothing moves.
    pub fn one(victim: Victim, harm: Harm) -> Plan {
        Plan {
            harms: vec![(victim, harm)],
            moves: false,
        }
    }

    /// Three harms.
    pub fn random(seed: u64, moves: bool) -> Plan {
        let mut dice = StdRng::seed_from_u64(seed);
        let brokers = if moves { BROKERS } else { REPLICAS };
        let mut one = || {
            let victim = match dice.random_range(0..=brokers) {
                0 => Victim::Leader,
                id => Victim::Broker(id),
            };
            let harm = match dice.random_range(0..4) {
                0 => Harm::PowerLoss,
                1 => Harm::Kill,
                2 => Harm::CutOff,
                _ => Harm::Stop,
            };
            (victim, harm)
        };
        let harms = (0..3).map(|_| one()).collect();
        Plan { harms, moves }
    }

    fn brokers(&self) -> Vec<i32> {
        (1..=if self.moves { BROKERS } else { REPLICAS }).collect()
    }
}

/// A life that did not end well.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the client asks the world to do; 0 is nothing.
#[derive(Clone, Default)]
struct Wish {
    harm: Arc<AtomicI32>,
    heal: Arc<AtomicI32>,
}

/// Lives `plan` and checks that every acknowledged record is read once, in order.
pub fn live(seed: u64, plan: &Plan, trace: &Trace) -> Result<(), Failure> {
    let all = plan.brokers();
    let mut cluster = Cluster::new(seed, all.len() as i32);
    let wish = Wish::default();
    let outcome = Arc::new(Mutex::new(None));
    let (asked, story, todo, result) = (wish.clone(), trace.clone(), plan.clone(), outcome.clone());
    cluster.sim.client("client", async move {
        *result.lock() = Some(client(seed, asked, story, todo).await);
        Ok(())
    });
    let mut round = 0;
    loop {
        let failed = |why: String| Failure(format!("seed {seed}: {why}\n{}", trace.tail(40)));
        match cluster.sim.step() {
            Ok(false) => {}
            Ok(true) => break,
            Err(error) => return Err(failed(error.to_string())),
        }
        let harm = plan.harms.get(round).map(|(_, harm)| *harm);
        if let Some((id, harm)) = asked_for(&wish.harm).zip(harm) {
            trace.note(format!("{harm:?} of broker {id}"));
            inflict(&mut cluster, &all, id, harm);
        }
        if let Some((id, harm)) = asked_for(&wish.heal).zip(harm) {
            trace.note(format!("broker {id} is healed"));
            undo(&mut cluster, &all, id, harm);
            round += 1;
        }
    }
    let ended = outcome.lock().take();
    match ended {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Failure(format!(
            "seed {seed}: {error:#}\n{}",
            trace.tail(40)
        ))),
        None => Err(Failure(format!("seed {seed}: the client did not end"))),
    }
}

fn asked_for(wish: &AtomicI32) -> Option<i32> {
    Some(wish.swap(0, Ordering::Relaxed)).filter(|id| *id != 0)
}

fn inflict(cluster: &mut Cluster<'_>, all: &[i32], id: i32, harm: Harm) {
    match harm {
        Harm::PowerLoss => cluster.crash(id),
        Harm::Kill => cluster.kill(id),
        Harm::CutOff => all.iter().filter(|o| **o != id).for_each(|o| {
            cluster.sim.partition(broker_name(id), broker_name(*o));
        }),
        Harm::Stop => cluster.stop(id),
    }
}

fn undo(cluster: &mut Cluster<'_>, all: &[i32], id: i32, harm: Harm) {
    match harm {
        Harm::PowerLoss | Harm::Kill | Harm::Stop => cluster.restart(id),
        Harm::CutOff => all.iter().filter(|o| **o != id).for_each(|o| {
            cluster.sim.repair(broker_name(id), broker_name(*o));
        }),
    }
}

/// Produces through every harm, then reads all of it.
async fn client(seed: u64, wish: Wish, trace: Trace, plan: Plan) -> anyhow::Result<()> {
    let all = plan.brokers();
    create_topic(&all).await?;
    let mut producer = Producer::new(&all).await?;
    let mut mover = Mover::new(seed, &all);
    let mut sent = Vec::new();
    let mut stretch = async |sent: &mut Vec<String>| {
        for n in 0..STRETCH {
            if plan.moves && n % MOVE_EVERY == 0 {
                trace.note(mover.ask().await);
            }
            let value = format!("value {}", sent.len());
            let offset = producer.send(&value).await?;
            trace.note(format!("{value} acknowledged at {offset}"));
            sent.push(value);
        }
        anyhow::Ok(())
    };
    stretch(&mut sent).await?;
    for (victim, _) in &plan.harms {
        let id = match victim {
            Victim::Leader => partition(&all).await?.leader_id,
            Victim::Broker(id) => *id,
        };
        wish.harm.store(id, Ordering::Relaxed);
        stretch(&mut sent).await?;
        wish.heal.store(id, Ordering::Relaxed);
        stretch(&mut sent).await?;
        loop {
            let now = partition(&all).await?;
            let is_whole = now.replica_nodes.len() == REPLICAS as usize;
            if is_whole && now.isr_nodes.len() == now.replica_nodes.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let read = read_all(&all, sent.len()).await?;
    ensure!(read == sent, "read {read:?}, acknowledged {sent:?}");
    Ok(())
}
