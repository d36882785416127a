//! One life: a client produces and reads while brokers are harmed and healed, one at a time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::ensure;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::workload::{Producer, create_topic, partition, read_all};
use crate::{Cluster, Trace, broker_name};

const ALL: [i32; 3] = [1, 2, 3];
/// Records before a harm, while it lasts, and after it is healed.
const STRETCH: usize = 15;

/// What is done to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The machine stops; what was not synced is lost or torn.
    PowerLoss,
    /// The process dies; what it had written stays.
    Kill,
    /// The other brokers cannot reach it, nor it them. The client can.
    CutOff,
}

/// Whom it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Whoever leads the partition then.
    Leader,
    /// This broker.
    Broker(i32),
}

/// What happens in a life, one after the other; the ISR is whole again in between.
pub type Plan = Vec<(Victim, Harm)>;

/// A plan of three harms.
pub fn random_plan(seed: u64) -> Plan {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut one = || {
        let victim = match dice.random_range(0..4) {
            0 => Victim::Leader,
            id => Victim::Broker(id),
        };
        let harm = match dice.random_range(0..3) {
            0 => Harm::PowerLoss,
            1 => Harm::Kill,
            _ => Harm::CutOff,
        };
        (victim, harm)
    };
    (0..3).map(|_| one()).collect()
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
    let mut cluster = Cluster::new(seed);
    let wish = Wish::default();
    let outcome = Arc::new(Mutex::new(None));
    let (asked, story, todo, result) = (wish.clone(), trace.clone(), plan.clone(), outcome.clone());
    cluster.sim.client("client", async move {
        *result.lock() = Some(client(asked, story, todo).await);
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
        let harm = plan.get(round).map(|(_, harm)| *harm);
        if let Some((id, harm)) = asked_for(&wish.harm).zip(harm) {
            trace.note(format!("{harm:?} of broker {id}"));
            inflict(&mut cluster, id, harm);
        }
        if let Some((id, harm)) = asked_for(&wish.heal).zip(harm) {
            trace.note(format!("broker {id} is healed"));
            undo(&mut cluster, id, harm);
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

fn others(id: i32) -> impl Iterator<Item = i32> {
    ALL.into_iter().filter(move |other| *other != id)
}

fn inflict(cluster: &mut Cluster<'_>, id: i32, harm: Harm) {
    match harm {
        Harm::PowerLoss => cluster.crash(id),
        Harm::Kill => cluster.kill(id),
        Harm::CutOff => {
            others(id).for_each(|o| cluster.sim.partition(broker_name(id), broker_name(o)));
        }
    }
}

fn undo(cluster: &mut Cluster<'_>, id: i32, harm: Harm) {
    match harm {
        Harm::PowerLoss | Harm::Kill => cluster.restart(id),
        Harm::CutOff => {
            others(id).for_each(|o| cluster.sim.repair(broker_name(id), broker_name(o)))
        }
    }
}

/// Produces through every harm, then reads all of it.
async fn client(wish: Wish, trace: Trace, plan: Plan) -> anyhow::Result<()> {
    create_topic(&ALL).await?;
    let mut producer = Producer::new(&ALL).await?;
    let mut sent = Vec::new();
    let mut stretch = async |sent: &mut Vec<String>| {
        for _ in 0..STRETCH {
            let value = format!("value {}", sent.len());
            let offset = producer.send(&value).await?;
            trace.note(format!("{value} acknowledged at {offset}"));
            sent.push(value);
        }
        anyhow::Ok(())
    };
    stretch(&mut sent).await?;
    for (victim, _) in plan {
        let id = match victim {
            Victim::Leader => partition(&ALL).await?.leader_id,
            Victim::Broker(id) => id,
        };
        wish.harm.store(id, Ordering::Relaxed);
        stretch(&mut sent).await?;
        wish.heal.store(id, Ordering::Relaxed);
        stretch(&mut sent).await?;
        while partition(&ALL).await?.isr_nodes.len() < ALL.len() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let read = read_all(&ALL, sent.len()).await?;
    ensure!(read == sent, "read {read:?}, acknowledged {sent:?}");
    Ok(())
}
