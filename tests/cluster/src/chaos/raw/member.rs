//! A member of a group that tells its generation, and that keeps to no manners: now and then it leaves, dies, or falls silent for
//! longer than its session and commits then as if nothing had been.

use std::collections::BTreeMap;
use std::time::Duration;

use checker::history::Place as At;
use checker::{Recorder, What};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};
use wire_client::{Identity, Trouble, patient, shares};

use super::{GROUP, Group, MAX_WAIT_MS, Machines, all_places, now_us};
use crate::chaos::field::TOPICS;
use crate::chaos::pace::Pace;

/// The shortest that the brokers allow.
const SESSION: Duration = Duration::from_secs(6);
const HEARTBEAT: Duration = Duration::from_millis(1000);
/// Rest between two tries.
const REST: Duration = Duration::from_millis(200);
/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often something comes over a member: once in so many steps, of which there are about five a second.
const WHIM: f64 = 0.015;

/// What a member means to do until it has to join again.
type Outcome = Result<Whim, Trouble>;

/// What comes over a member.
#[derive(Clone, Copy, Debug)]
enum Whim {
    /// It goes in order, and comes back after a rest.
    Leave,
    /// It stops, for longer than its session perhaps, and goes on as if nothing had been.
    Sleep,
    /// It is gone without a word; another comes in its place.
    Die,
    /// The run is over.
    End,
}

pub struct Member {
    name: String,
    group: Group,
    who: Identity,
    machines: Machines,
    recorder: Recorder,
    dice: StdRng,
    /// What it was given, and where it is in each.
    positions: BTreeMap<At, i64>,
}

impl Member {
    /// Member `number` of the group; the first is a static one (KIP-345).
    pub fn new(number: u32, machines: Machines, recorder: Recorder, seed: u64) -> Member {
        let name = format!("raw-{number}");
        let instance = (number == 1).then(|| name.clone());
        Member {
            name,
            group: group(&machines),
            who: Identity {
                instance,
                ..Identity::default()
            },
            machines,
            recorder,
            dice: StdRng::seed_from_u64(seed ^ (u64::from(number) << 32)),
            positions: BTreeMap::new(),
        }
    }

    /// A member's life, until it is stopped.
    pub async fn run(mut self, pace: Pace) {
        while !pace.is_stopped() {
            let outcome = self.generation(&pace).await;
            self.record(What::Revoked {
                group: GROUP.into(),
                member: self.name.clone(),
            });
            let held = std::mem::take(&mut self.positions);
            match outcome {
                Ok(whim) => self.follow(whim, held).await,
                Err(Trouble::Expelled(_)) => {
                    self.insist(held).await;
                    self.who.member_id.clear();
                }
                Err(_) => {}
            }
            sleep(REST).await;
        }
    }

    /// Joins, and works as a member until that ends.
    async fn generation(&mut self, pace: &Pace) -> Outcome {
        let topics = TOPICS.each_ref().map(|topic| topic.name);
        let joined = self.group.join(&mut self.who, &topics).await?;
        let leads = *joined.leader == *self.who.member_id;
        // A leader that returns under its name goes on with what was shared out before.
        let parts = match leads && !joined.skip_assignment {
            true => {
                let members: Vec<String> = joined
                    .members
                    .iter()
                    .map(|m| m.member_id.to_string())
                    .collect();
                shares(&members, &all_places())
            }
            false => BTreeMap::new(),
        };
        let places = self.group.sync(&self.who, parts).await?;
        self.record(What::Assigned {
            group: GROUP.into(),
            member: self.name.clone(),
            generation: self.who.generation,
            places: places.clone(),
        });
        for at in places {
            self.begin(at).await?;
        }
        self.work(pace).await
    }

    async fn begin(&mut self, at: At) -> Result<(), Trouble> {
        let sent_us = now_us();
        let committed = self.group.committed(&at).await?;
        let from = committed.unwrap_or(0);
        self.record(What::Began {
            group: GROUP.into(),
            member: self.name.clone(),
            at: at.clone(),
            committed,
            sent_us,
            from,
        });
        self.positions.insert(at, from);
        Ok(())
    }

    async fn work(&mut self, pace: &Pace) -> Outcome {
        let mut next_beat = Instant::now();
        while !pace.is_stopped() {
            if Instant::now() >= next_beat {
                next_beat = Instant::now() + HEARTBEAT;
                patient(self.group.heartbeat(&self.who).await)?;
            }
            if let Some(at) = self.any() {
                self.poll(&at).await;
                if self.dice.random_bool(0.3) {
                    let offset = self.positions[&at];
                    patient(self.commit(&at, offset).await)?;
                }
            }
            if self.dice.random_bool(WHIM) {
                let whims = [Whim::Leave, Whim::Sleep, Whim::Die];
                return Ok(whims[self.dice.random_range(0..whims.len())]);
            }
            sleep(Duration::from_millis(self.dice.random_range(50..250))).await;
        }
        Ok(Whim::End)
    }

    fn any(&mut self) -> Option<At> {
        let count = self.positions.len();
        let chosen = self.dice.random_range(0..count.max(1));
        self.positions.keys().nth(chosen).cloned()
    }

    /// Reads on. Where that fails it reads on later.
    async fn poll(&mut self, at: &At) {
        let from = self.positions[at];
        let session = &mut self.group.session;
        let asked = session.fetch(at, None, from, MAX_WAIT_MS, now_us);
        let read = match timeout(PATIENCE, asked).await {
            Ok(Ok(read)) if read.error.is_none() => read,
            _ => {
                let _ = timeout(PATIENCE, session.partitions(&at.topic)).await;
                return;
            }
        };
        if read.next == from {
            return;
        }
        self.record(What::Polled {
            group: GROUP.into(),
            member: self.name.clone(),
            at: at.clone(),
            from,
            next: read.next,
            records: read.records,
        });
        self.positions.insert(at.clone(), read.next);
    }

    async fn commit(&mut self, at: &At, offset: i64) -> Result<(), Trouble> {
        let (group, member) = (GROUP.to_string(), self.name.clone());
        let generation = self.who.generation;
        let sent_us = now_us();
        let asked = What::Committing {
            group: group.clone(),
            member: member.clone(),
            generation,
            at: at.clone(),
            offset,
        };
        self.recorder.record(sent_us, &self.name, asked);
        self.group.commit(&self.who, at, offset).await?;
        self.record(What::Committed {
            group,
            member,
            generation,
            at: at.clone(),
            offset,
            sent_us,
        });
        Ok(())
    }

    /// Who does not know, or does not believe, that its partitions are others' by now must not be heard.
    async fn insist(&mut self, held: BTreeMap<At, i64>) {
        for (at, offset) in held {
            let _ = self.commit(&at, offset).await;
        }
    }

    async fn follow(&mut self, whim: Whim, held: BTreeMap<At, i64>) {
        let rest = SESSION.mul_f64(self.dice.random_range(0.2..1.5));
        match whim {
            Whim::Leave => {
                let _ = self.group.leave(&self.who).await;
                self.who.member_id.clear();
                sleep(rest).await;
            }
            Whim::Sleep => {
                sleep(rest).await;
                self.insist(held).await;
            }
            Whim::Die => {
                self.group = group(&self.machines);
                self.who.member_id.clear();
                sleep(rest).await;
            }
            Whim::End => {}
        }
    }

    fn record(&self, what: What) {
        self.recorder.record(now_us(), &self.name, what);
    }
}

fn group(machines: &Machines) -> Group {
    let mut group = Group::over(GROUP, machines.session());
    group.session_ms = SESSION.as_millis() as i32;
    group
}
