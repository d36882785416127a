//! Consumer groups of the classic protocol: members join, read, commit, leave, fall silent and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use checker::What;
use checker::history::Place;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::Patience;
use super::consume::{earliest, fetch};
use crate::clients::{Group, Identity, SESSION_MS, Trouble};
use crate::plan;
use crate::scene::now_us;
use crate::{Scene, Stage, marks};

/// Rest between two tries.
const REST: Duration = Duration::from_millis(100);
const HEARTBEAT: Duration = Duration::from_millis(500);

/// What a member means to do until it has to join again.
type Outcome = Result<Whim, Trouble>;

/// What comes over a member.
#[derive(Clone, Copy, Debug)]
enum Whim {
    /// It goes in order, and comes back after a rest.
    Leave,
    /// It stops for longer than its session, and goes on as if nothing had been.
    Sleep,
    /// It dies; another comes in its place, under its name if it has one.
    Die,
    /// The life is over.
    End,
}

/// One member of a group.
pub struct Member {
    /// Among the members of all groups, and of every history.
    name: String,
    group: Group,
    who: Identity,
    scene: Scene,
    dice: StdRng,
    /// What it was given, and where it is in each.
    positions: BTreeMap<Place, i64>,
    /// When it has committed last in this generation.
    committed: Option<Stage>,
}

impl Member {
    /// Member `number` of a group, from 0 on.
    pub fn new(scene: &Scene, of: &plan::Group, number: u32, dice: StdRng) -> Member {
        let name = of.member(number);
        let instance = (number < of.statics).then(|| name.clone());
        Member {
            name,
            group: Group::new(&of.name, &scene.brokers),
            who: Identity {
                instance,
                ..Identity::default()
            },
            scene: scene.clone(),
            dice,
            positions: BTreeMap::new(),
            committed: None,
        }
    }

    /// A member's life: it fails only where it cannot become one although everything is healed.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        while self.scene.stage() < Stage::Over {
            let outcome = self.generation().await;
            let held = self.lose();
            let trouble = match outcome {
                Ok(whim) => {
                    self.follow(whim, held).await;
                    continue;
                }
                Err(trouble) => trouble,
            };
            if let Trouble::Expelled(_) = trouble {
                self.insist(held).await;
                self.who.member_id.clear();
            }
            patience.check(&self.scene, || format!("no member: {trouble}"))?;
            sleep(REST).await;
        }
        Ok(())
    }

    /// Joins, and works as a member until that ends.
    async fn generation(&mut self) -> Outcome {
        let scene = self.scene.clone();
        let topics: Vec<&str> = scene.topics.iter().map(|t| t.name.as_str()).collect();
        let joined = self.group.join(&mut self.who, &topics).await?;
        let leads = *joined.leader == *self.who.member_id;
        let members: Vec<String> = joined
            .members
            .iter()
            .map(|m| m.member_id.to_string())
            .collect();
        let mut parts = BTreeMap::new();
        // A leader that returns under its name goes on with what it has shared out before.
        if leads && !joined.skip_assignment {
            let all = self.scene.places();
            parts = wire_client::shares(&members, &all);
            self.scene.share(&self.group.name, all);
        }
        let planned = leads.then(|| self.scene.shared(&self.group.name));
        let places = self.group.sync(&self.who, parts).await?;
        self.record(What::Assigned {
            group: self.group.name.clone(),
            member: self.name.clone(),
            generation: self.who.generation,
            places: places.clone(),
        });
        for at in places {
            self.begin(at).await?;
        }
        self.work(planned).await
    }

    async fn begin(&mut self, at: Place) -> Result<(), Trouble> {
        let sent_us = now_us();
        let committed = self.group.committed(&at).await?;
        let from = committed.unwrap_or(0);
        self.record(What::Began {
            group: self.group.name.clone(),
            member: self.name.clone(),
            at: at.clone(),
            committed,
            sent_us,
            from,
        });
        self.positions.insert(at, from);
        Ok(())
    }

    /// Works on. Who leads the group has it form a new generation when there are other partitions than `planned`.
    async fn work(&mut self, planned: Option<Vec<Place>>) -> Outcome {
        let mut next_beat = Instant::now();
        while self.scene.stage() < Stage::Over {
            if Instant::now() >= next_beat {
                next_beat = Instant::now() + HEARTBEAT;
                let beat = self.group.heartbeat(&self.who).await;
                // One that cannot commit is a member in name only.
                let works = self.positions.is_empty() || self.committed == Some(self.scene.stage());
                if wire_client::patient(beat)? && works {
                    let held = self.positions.keys().cloned().collect();
                    let (group, generation) = (&self.group.name, self.who.generation);
                    self.scene.saw_member(group, &self.name, generation, held);
                }
            }
            if planned
                .as_ref()
                .is_some_and(|all| *all != self.scene.places())
            {
                return Err(Trouble::Rebalance);
            }
            self.poll().await;
            if self.dice.random_bool(0.3)
                && let Some(at) = self.any()
            {
                let offset = self.positions[&at];
                let committed = self.commit(&at, offset).await;
                wire_client::patient(committed)?;
            }
            if self.scene.stage() == Stage::Harm && self.dice.random_bool(0.02) {
                let whims = [Whim::Leave, Whim::Sleep, Whim::Die];
                return Ok(whims[self.dice.random_range(0..whims.len())]);
            }
            sleep(Duration::from_millis(self.dice.random_range(20..200))).await;
        }
        Ok(Whim::End)
    }

    fn any(&mut self) -> Option<Place> {
        let count = self.positions.len();
        let chosen = self.dice.random_range(0..count.max(1));
        self.positions.keys().nth(chosen).cloned()
    }

    /// Reads on in one partition. Where that fails it reads on later.
    async fn poll(&mut self) {
        let Some(at) = self.any() else { return };
        let from = self.positions[&at];
        let session = &mut self.group.session;
        let read = match fetch(session, &at, from).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                // Retention has taken what came next: the member goes on where the log starts.
                let start = earliest(&self.scene, &self.name, session, &at).await;
                if let Ok(start) = start.map(|start| start.max(from)) {
                    self.positions.insert(at, start);
                }
                return;
            }
            Err(_) => {
                let _ = session.partitions(&at.topic).await;
                return;
            }
        };
        if read.next == from {
            return;
        }
        self.record(What::Polled {
            group: self.group.name.clone(),
            member: self.name.clone(),
            at: at.clone(),
            from,
            next: read.next,
            records: read.records,
        });
        self.positions.insert(at, read.next);
    }

    async fn commit(&mut self, at: &Place, offset: i64) -> Result<(), Trouble> {
        let (group, member) = (self.group.name.clone(), self.name.clone());
        let generation = self.who.generation;
        let sent_us = now_us();
        self.record(What::Committing {
            group: group.clone(),
            member: member.clone(),
            generation,
            at: at.clone(),
            offset,
        });
        let answer = self.group.commit(&self.who, at, offset).await;
        match &answer {
            Err(Trouble::Expelled(_)) => marks::note(marks::EXPELLED),
            Err(Trouble::Loading) => marks::note(marks::LOADING),
            _ => {}
        }
        answer?;
        self.committed = Some(self.scene.stage());
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
    async fn insist(&mut self, held: BTreeMap<Place, i64>) {
        for (at, offset) in held {
            let _ = self.commit(&at, offset).await;
        }
    }

    /// It has none of its partitions any more; tells where it was.
    fn lose(&mut self) -> BTreeMap<Place, i64> {
        self.scene.lost_member(&self.group.name, &self.name);
        self.record(What::Revoked {
            group: self.group.name.clone(),
            member: self.name.clone(),
        });
        self.committed = None;
        std::mem::take(&mut self.positions)
    }

    async fn follow(&mut self, whim: Whim, held: BTreeMap<Place, i64>) {
        let session = Duration::from_millis(SESSION_MS as u64);
        let rest = session.mul_f64(self.dice.random_range(0.0..1.5));
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
                self.group = Group::new(&self.group.name, &self.scene.brokers);
                self.who.member_id.clear();
                sleep(rest).await;
            }
            Whim::End => {}
        }
    }

    fn record(&self, what: What) {
        self.scene.record(&self.name, what);
    }
}
