//! What a group without members has committed is forgotten, again and again: by its positions, or with the whole group. Each
//! time between is a group of its own to the checker: nothing of one may show in the next.

use std::time::Duration;

use checker::What;
use checker::history::Place;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;

use super::Patience;
use crate::clients::{Group, Identity, Trouble};
use crate::scene::now_us;
use crate::{Scene, Stage, marks};

const NAME: &str = "forgetter";
/// Rest between two tries.
const REST: Duration = Duration::from_millis(100);

/// One time between.
struct Life {
    group: Group,
    who: Identity,
    scene: Scene,
    /// As the checker knows it.
    known_as: String,
    /// A request has not been answered, and may take effect later: what comes next has another name.
    is_open: bool,
}

/// Commits and forgets until everything is healed; then looks once more.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut names = 0;
    for number in 0.. {
        let name = format!("{NAME}-{names}");
        let mut life = Life {
            group: Group::new(&name, &scene.brokers),
            who: Identity::none(),
            scene: scene.clone(),
            known_as: format!("{NAME}#{number}"),
            is_open: false,
        };
        life.look().await?;
        let commits = dice.random_range(1..6);
        for _ in 0..commits {
            if let Some(at) = scene.places().choose(&mut dice) {
                life.commit(at, dice.random_range(0..1000)).await?;
            }
            sleep(Duration::from_millis(dice.random_range(1..300))).await;
        }
        life.look().await?;
        if scene.stage() >= Stage::Settling {
            break;
        }
        life.forget(dice.random_bool(0.5)).await?;
        names += u32::from(life.is_open);
    }
    scene.end_work();
    Ok(())
}

impl Life {
    /// What is committed is told.
    async fn look(&mut self) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        for at in self.scene.places() {
            loop {
                let sent_us = now_us();
                match self.group.committed(&at).await {
                    Ok(offset) => {
                        self.scene.record(
                            NAME,
                            What::CommittedSeen {
                                group: self.known_as.clone(),
                                at,
                                offset,
                                sent_us,
                            },
                        );
                        break;
                    }
                    Err(why) => patience.check(&self.scene, || format!("not told: {why}"))?,
                }
                sleep(REST).await;
            }
        }
        Ok(())
    }

    async fn commit(&mut self, at: &Place, offset: i64) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        loop {
            let sent_us = now_us();
            let (group, member) = (self.known_as.clone(), NAME.to_string());
            let generation = self.who.generation;
            self.scene.record(
                NAME,
                What::Committing {
                    group: group.clone(),
                    member: member.clone(),
                    generation,
                    at: at.clone(),
                    offset,
                },
            );
            let why = match self.group.commit(&self.who, at, offset).await {
                Ok(()) => {
                    let at = at.clone();
                    self.scene.record(
                        NAME,
                        What::Committed {
                            group,
                            member,
                            generation,
                            at,
                            offset,
                            sent_us,
                        },
                    );
                    return Ok(());
                }
                Err(why) => why,
            };
            self.is_open |= matches!(why, Trouble::Other(_));
            patience.check(&self.scene, || format!("not committed: {why}"))?;
            sleep(REST).await;
        }
    }

    /// Forgets all of it, and waits until that is certain.
    async fn forget(&mut self, with_the_group: bool) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        loop {
            let forgotten = match with_the_group {
                true => self.group.delete().await,
                false => self.group.forget(&self.scene.places()).await,
            };
            let why = match forgotten {
                Ok(()) => {
                    marks::note(marks::FORGOTTEN);
                    return Ok(());
                }
                Err(why) => why,
            };
            self.is_open |= matches!(why, Trouble::Other(_));
            patience.check(&self.scene, || format!("not forgotten: {why}"))?;
            sleep(REST).await;
        }
    }
}
