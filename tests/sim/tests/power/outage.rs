//! All machines lose power at once, with default flushing: the partition stays offline until somebody asks for an unclean
//! election, then only what had not been flushed is lost, and all replicas agree on the rest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use checker::history::Place;
use checker::{RecordId, Seen, What};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sim::clients::Session;
use sim::operations::{consume, produce, topics};
use sim::{Cluster, Plan, Scene, Settings, Stage, Topic, Trace, seed_or};
use tokio::time::{Instant, sleep};
use wire::messages::ElectLeadersRequest;

const ALL: [i32; 3] = [1, 2, 3];
const REST: Duration = Duration::from_millis(100);
/// ElectLeaders' word for a leader that may lack records.
const UNCLEAN: i8 = 1;

/// What happens to the machines, as the client asks for it.
#[derive(Clone, Copy, Debug)]
enum Turn {
    AllDark,
    AllBack,
    Kill(i32),
    Restart(i32),
}

/// Turns that are asked for and not yet taken.
type Turns = Arc<Mutex<VecDeque<Turn>>>;

/// What was acknowledged where.
type Acked = Vec<(i64, RecordId)>;

struct Story {
    turns: Turns,
    place: Place,
    session: Session,
}

impl Story {
    async fn take(&self, turn: Turn) {
        self.turns.lock().push_back(turn);
        while !self.turns.lock().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The leader, once `wanted` replicas are in sync.
    async fn leader(&mut self, wanted: usize) -> anyhow::Result<i32> {
        let begun = Instant::now();
        loop {
            let known = self.session.partitions(&self.place.topic).await;
            let first = known.ok().and_then(|all| all.into_iter().next());
            if let Some(p) = first.filter(|p| p.leader_id >= 0 && p.isr_nodes.len() == wanted) {
                return Ok(p.leader_id);
            }
            ensure!(
                begun.elapsed() < Duration::from_secs(60),
                "no leader of {wanted}"
            );
            sleep(REST).await;
        }
    }

    async fn produce(
        &self,
        number: u32,
        idempotent: bool,
        lasts: Duration,
    ) -> anyhow::Result<Acked> {
        let topic = Topic {
            name: self.place.topic.clone(),
            partitions: 1,
            replicas: 3,
            ..Topic::default()
        };
        let plan = Plan {
            brokers: ALL.len() as i32,
            topics: vec![topic],
            ..Plan::of(1)
        };
        let scene = Scene::new(&plan);
        let dice = StdRng::seed_from_u64(number.into());
        let producer =
            produce::Producer::new(&scene, number, (!idempotent).then_some(1), dice).await?;
        let running = tokio::task::spawn_local(producer.run());
        sleep(lasts).await;
        match idempotent {
            true => {
                scene.enter(Stage::Settling);
                running.await??;
            }
            // It is in the middle of something when the light goes out.
            false => running.abort(),
        }
        let acked = scene
            .recorder()
            .events()
            .into_iter()
            .filter_map(|event| match event.what {
                What::Acked { record, offset, .. } => Some((offset?, record)),
                _ => None,
            });
        Ok(acked.collect())
    }

    async fn read(&mut self) -> anyhow::Result<Acked> {
        let (mut all, mut position) = (Vec::new(), 0);
        let begun = Instant::now();
        loop {
            match consume::fetch(&mut self.session, &self.place, position).await {
                Ok(None) => ensure!(false, "{} does not have what it had", self.place),
                Ok(Some(read)) => {
                    let known = |seen: &Seen| Some((seen.offset, seen.record?));
                    all.extend(read.records.iter().filter_map(known));
                    position = read.next;
                    if position >= read.high_watermark {
                        return Ok(all);
                    }
                }
                Err(error) => {
                    ensure!(
                        begun.elapsed() < Duration::from_secs(60),
                        "not read: {error:#}"
                    );
                    let _ = self.session.partitions(&self.place.topic).await;
                    sleep(REST).await;
                }
            }
        }
    }

    async fn check_offline(&mut self) -> anyhow::Result<()> {
        loop {
            // Connections of before the outage end first.
            if let Ok(known) = self.session.partitions(&self.place.topic).await {
                ensure!(known[0].leader_id < 0, "nobody may lead: {known:?}");
                return Ok(());
            }
        }
    }

    async fn elect_uncleanly(&mut self) {
        let request = ElectLeadersRequest {
            election_type: UNCLEAN,
            topic_partitions: None,
            timeout_ms: 5_000,
        };
        let mut answered = false;
        while !answered {
            let broker = self.session.next_broker();
            answered = self.session.call(broker, request.clone(), 2).await.is_ok();
        }
    }

    /// Gives how many acknowledged records are gone.
    async fn tell(mut self) -> anyhow::Result<usize> {
        let topic = Topic {
            name: self.place.topic.clone(),
            partitions: 1,
            replicas: 3,
            configs: vec![("flush.ms".into(), "1000".into())],
            ..Topic::default()
        };
        topics::create(&ALL, &topic).await?;
        self.leader(3).await?;
        let flushed = self.produce(1, true, Duration::from_secs(2)).await?;
        sleep(Duration::from_secs(4)).await;
        let tail = self.produce(2, false, Duration::from_millis(700)).await?;
        self.take(Turn::AllDark).await;
        self.take(Turn::AllBack).await;
        sleep(Duration::from_secs(15)).await;
        self.check_offline().await?;
        self.elect_uncleanly().await;
        let mut leader = self.leader(3).await?;
        let survived = self.read().await?;
        let is_there = |acked: &&(i64, RecordId)| survived.contains(acked);
        ensure!(
            !flushed.is_empty() && flushed.iter().all(|one| is_there(&one)),
            "a flushed record is lost"
        );
        let lost = tail.iter().filter(|one| !is_there(one)).count();
        let kept = tail.iter().take_while(is_there).count();
        ensure!(kept + lost == tail.len(), "it is the end that is lost");
        for _ in 0..2 {
            self.take(Turn::Kill(leader)).await;
            let next = self.leader(2).await?;
            ensure!(
                self.read().await? == survived,
                "{next} has other records than {leader}"
            );
            self.take(Turn::Restart(leader)).await;
            self.leader(3).await?;
            leader = next;
        }
        Ok(lost)
    }
}

fn lived(seed: u64, trace: &Trace) -> usize {
    let mut cluster = Cluster::new(&Settings {
        seed,
        brokers: 3,
        properties: vec![("auto.leader.rebalance.enable".into(), "false".into())],
        tick: Duration::from_millis(1),
        disk: Duration::ZERO,
    });
    let (turns, lost) = (Turns::default(), Arc::<Mutex<Option<usize>>>::default());
    let story = Story {
        turns: turns.clone(),
        place: Place::new("tails", 0),
        session: Session::new(&ALL),
    };
    let told = lost.clone();
    cluster.client("client", async move {
        let gone = story.tell().await.map_err(|e| format!("{e:#}"))?;
        *told.lock() = Some(gone);
        Ok(())
    });
    loop {
        let is_over = cluster.sim.step();
        if is_over.unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", trace.tail(60))) {
            return lost
                .lock()
                .unwrap_or_else(|| panic!("seed {seed} has no end"));
        }
        let turn = turns.lock().front().copied();
        if let Some(turn) = turn {
            trace.note(format!("{turn:?}"));
            match turn {
                Turn::AllDark => ALL.into_iter().for_each(|id| cluster.crash(id)),
                Turn::AllBack => ALL.into_iter().for_each(|id| cluster.restart(id)),
                Turn::Kill(id) => cluster.kill(id),
                Turn::Restart(id) => cluster.restart(id),
            }
            turns.lock().pop_front();
        }
    }
}

#[test]
fn when_all_lose_power_at_once_only_unflushed_ends_are_lost_and_the_survivors_agree() {
    let mut lost = 0;
    for seed in seed_or(500)..seed_or(500) + 3 {
        let trace = Trace::default();
        lost += trace.record(|| lived(seed, &trace));
    }
    assert!(lost > 0, "nothing was in memory only, so nothing is proven");
}
