//! One life: clients work while harms come and go; then everything is healed, all of it is read, and the history judged.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use checker::{Counts, Report, What};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::faults::{Kind, Rolling};
use crate::laws::Laws;
use crate::memory::Losses;
use crate::operations::{audit, consume, groups, pipeline, produce};
use crate::plan::HARM_MS;
use crate::world::noticed;
use crate::{Cluster, Harm, Plan, Scene, Settings, Stage, Trace};

/// Anomalies and log lines that a failure is told with.
const TOLD: usize = 5;
const TAIL: usize = 30;

/// A life that did not end well.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts the steps of time of this process's lives, for who watches whether they pass.
static STEPS: AtomicU64 = AtomicU64::new(0);

/// How many steps of time were taken in this process.
pub fn steps() -> u64 {
    STEPS.load(Ordering::Relaxed)
}

/// What the clients' ends were.
type Ends = Arc<Mutex<Vec<String>>>;

/// Lives `plan`. What it was about is told by its counts.
pub fn live(plan: &Plan, trace: &Trace) -> Result<Counts, Failure> {
    let mut cluster = Cluster::new(&Settings {
        seed: plan.seed,
        brokers: plan.brokers,
        properties: plan.properties.clone(),
        tick: Duration::from_millis(plan.tick_ms),
        disk: Duration::from_millis(plan.disk_ms),
    });
    let scene = Scene::new(plan);
    let ends = Ends::default();
    people(plan, &mut cluster, &scene, &ends);
    let (ran, panics) = noticed(|| {
        catch_unwind(AssertUnwindSafe(|| {
            run(plan, &mut cluster, &scene, &ends, trace)
        }))
    });
    let failed = |why: String| {
        Failure(format!(
            "seed {}: {why}\n{plan}\n{}",
            plan.seed,
            trace.tail(TAIL)
        ))
    };
    let events = scene.recorder().events();
    let ended = match panics.first() {
        Some(panic) => Err(panic.clone()),
        None => ran.unwrap_or_else(|_| Err("a panic without a word".into())),
    };
    // The harms that there were, without anything that a client saw.
    let ended = ended.and_then(|()| kept_metadata(trace));
    ended.map_err(|why| failed(format!("{why}\n{}", Report::default().in_order(&events, 0))))?;
    let report = checker::check(&events);
    match report.anomalies.is_empty() {
        true => Ok(report.counts),
        false => Err(failed(format!(
            "{report}\n{}",
            report.in_order(&events, TOLD)
        ))),
    }
}

/// A voter that finds its metadata damaged gets it from the others, and heals by that what a skipped fsync has done. But no
/// fault here touches these files.
fn kept_metadata(trace: &Trace) -> Result<(), String> {
    let lines = trace.lines();
    let given_up = lines
        .iter()
        .find(|line| line.contains("the metadata on this node's disk was damaged"));
    given_up.map_or(Ok(()), |line| {
        Err(format!("what was durable is not: {line}"))
    })
}

/// Starts everybody on a host of their own.
fn people(plan: &Plan, cluster: &mut Cluster<'_>, scene: &Scene, ends: &Ends) {
    let mut seeds = StdRng::seed_from_u64(plan.seed ^ 0x7065_6f70_6c65);
    let mut dice = || StdRng::seed_from_u64(seeds.next_u64());
    let producers = plan.producers + plan.careless.len() as u32;
    scene.begin_work(producers + plan.pipelined);
    start(cluster, ends, "auditor", audit::run(scene.clone()));
    for number in 1..=producers {
        let (of, dice) = (scene.clone(), dice());
        let careless = number.checked_sub(plan.producers + 1);
        let acks = careless
            .and_then(|at| plan.careless.get(at as usize))
            .copied();
        start(cluster, ends, &format!("producer-{number}"), async move {
            begun(&of).await;
            let producer = produce::Producer::new(&of, number, acks, dice).await?;
            producer.run().await
        });
    }
    for number in producers + 1..=producers + plan.pipelined {
        let (of, dice) = (scene.clone(), dice());
        start(cluster, ends, &format!("producer-{number}"), async move {
            begun(&of).await;
            let producer = pipeline::Pipeline::new(&of, number, dice).await?;
            producer.run().await
        });
    }
    for number in 1..=plan.consumers {
        let (of, dice) = (scene.clone(), dice());
        let name = format!("consumer-{number}");
        start(cluster, ends, &name.clone(), async move {
            begun(&of).await;
            consume::run(of, name, dice).await
        });
    }
    for group in &plan.groups {
        for number in 0..group.members {
            let (of, dice) = (scene.clone(), dice());
            let member = groups::Member::new(scene, group, number, dice);
            start(cluster, ends, &group.member(number), async move {
                begun(&of).await;
                member.run().await
            });
        }
    }
    for kind in plan.operations.iter().copied() {
        let (of, dice) = (scene.clone(), dice());
        scene.begin_work(u32::from(kind.has_work_to_end()));
        start(
            cluster,
            ends,
            &format!("{kind:?}").to_lowercase(),
            async move {
                begun(&of).await;
                kind.run(of, dice).await
            },
        );
    }
}

async fn begun(scene: &Scene) {
    while scene.stage() < Stage::Harm {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn start(
    cluster: &mut Cluster<'_>,
    ends: &Ends,
    name: &str,
    work: impl Future<Output = anyhow::Result<()>> + 'static,
) {
    let (ends, who) = (ends.clone(), name.to_string());
    cluster.client(name, async move {
        if let Err(error) = work.await {
            // Not with Debug: a backtrace may be in it, and that is another each time.
            ends.lock().push(format!("{who}: {error:#}"));
        }
        Ok(())
    });
}

/// Time passes until all clients have ended, or the first of them badly.
fn run(
    plan: &Plan,
    cluster: &mut Cluster<'_>,
    scene: &Scene,
    ends: &Ends,
    trace: &Trace,
) -> Result<(), String> {
    let mut harms = Harms::new(plan, scene, trace);
    let mut laws = Laws::default();
    loop {
        STEPS.fetch_add(1, Ordering::Relaxed);
        let is_over = cluster.sim.step().map_err(|error| error.to_string())?;
        laws.pass(cluster, scene)?;
        // The others would wait for who has failed, and the life would be told to have been too long.
        if let Some(why) = ends.lock().first() {
            return Err(why.clone());
        }
        if is_over {
            return laws.end(cluster, scene);
        }
        match scene.stage() {
            Stage::Harm => harms.pass(cluster),
            Stage::Settling => harms.supervise(cluster),
            _ => {}
        }
    }
}

/// The harms of a life as time passes.
struct Harms<'a> {
    plan: &'a Plan,
    scene: &'a Scene,
    trace: &'a Trace,
    dice: StdRng,
    begun: Option<Duration>,
    next: usize,
    active: Vec<&'a Harm>,
    losses: Losses,
    rolling: Rolling,
}

impl<'a> Harms<'a> {
    fn new(plan: &'a Plan, scene: &'a Scene, trace: &'a Trace) -> Harms<'a> {
        Harms {
            plan,
            scene,
            trace,
            dice: StdRng::seed_from_u64(plan.seed ^ 0x6861_726d_7300),
            begun: None,
            next: 0,
            active: Vec::new(),
            losses: Losses::default(),
            rolling: Rolling::default(),
        }
    }

    /// Begins and ends what is due.
    fn pass(&mut self, cluster: &mut Cluster<'_>) {
        let now = cluster.sim.elapsed();
        let begun = *self.begun.get_or_insert(now);
        let at_ms = (now - begun).as_millis() as u64;
        let over = |harm: &&Harm| harm.at_ms + harm.lasts_ms <= at_ms || at_ms >= HARM_MS;
        let (ended, active) = self.active.drain(..).partition(over);
        self.active = active;
        for harm in ended {
            self.end(cluster, harm);
        }
        while let Some(harm) = self.plan.harms.get(self.next) {
            if harm.at_ms > at_ms || at_ms >= HARM_MS {
                break;
            }
            self.next += 1;
            if self.is_fair(cluster, harm) && harm.kind.begin(cluster, harm.victim, &mut self.dice)
            {
                self.note(
                    cluster,
                    format!("{:?} of broker {}", harm.kind, harm.victim),
                );
                self.active.push(harm);
            }
        }
        if self.plan.rolling
            && let Some(text) = self.rolling.pass(cluster, self.scene, now)
        {
            self.note(cluster, text);
        }
        if at_ms >= HARM_MS {
            self.heal(cluster);
        }
    }

    /// What takes a machine's memory may only happen where what is promised holds without it.
    fn is_fair(&mut self, cluster: &mut Cluster<'_>, harm: &Harm) -> bool {
        match harm.kind {
            Kind::PowerLoss => self.losses.allow(cluster, self.scene, harm.victim, false),
            // What the disk has then nobody knows: it is found at the next start. And where a log is cut and its new end
            // cannot be read, its directory is out of service until then.
            kind if kind.may_end_memory() => {
                self.losses.allow(cluster, self.scene, harm.victim, true)
            }
            _ => true,
        }
    }

    fn end(&mut self, cluster: &mut Cluster<'_>, harm: &Harm) {
        self.note(
            cluster,
            format!("{:?} of broker {} ends", harm.kind, harm.victim),
        );
        if harm.kind.may_end_memory() {
            self.losses.over(cluster, harm.victim);
        }
        harm.kind.end(cluster, harm.victim);
    }

    /// A broker may end later by itself of what went wrong before: whoever runs it starts it again.
    fn supervise(&self, cluster: &mut Cluster<'_>) {
        for id in cluster.brokers() {
            if !cluster.is_up(id) {
                self.note(cluster, format!("broker {id} has ended and starts again"));
                cluster.restart(id);
            }
        }
    }

    /// Everything is well again, and every broker runs.
    fn heal(&mut self, cluster: &mut Cluster<'_>) {
        for id in cluster.brokers() {
            if !cluster.is_up(id) || cluster.down().contains(&id) {
                self.note(cluster, format!("broker {id} starts again"));
                cluster.restart(id);
            }
        }
        self.note(cluster, "everything is healed".into());
        self.scene.enter(Stage::Settling);
    }

    fn note(&self, cluster: &Cluster<'_>, text: String) {
        self.trace.note(text.clone());
        self.scene.record_of(cluster, What::Note { text });
    }
}
