//! Producing: with acks=all, idempotent or not, sending again until it is acknowledged; or with acks=1 or none, once only.

use std::time::Duration;

use checker::What;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::Patience;
use super::lane::{Author, Batch, Lane, outcome};
use crate::clients::Session;
use crate::{Scene, Stage};

/// Rest between two tries.
const REST: Duration = Duration::from_millis(50);

/// A producer of a life.
pub struct Producer {
    author: Author,
    scene: Scene,
    session: Session,
    dice: StdRng,
    lanes: Vec<Lane>,
}

impl Producer {
    /// Begins; without acks of its own as an idempotent one, with a producer id.
    pub async fn new(
        scene: &Scene,
        number: u32,
        acks: Option<i16>,
        dice: StdRng,
    ) -> anyhow::Result<Producer> {
        let name = format!("producer-{number}");
        let author = match acks {
            Some(acks) => Author::careless(name, number, acks),
            None => Author::idempotent(scene, name, number).await?,
        };
        Ok(Producer {
            author,
            scene: scene.clone(),
            session: Session::new(&scene.brokers),
            dice,
            lanes: Vec::new(),
        })
    }

    /// Produces until everything is healed, and ends what is under way.
    pub async fn run(mut self) -> anyhow::Result<()> {
        while self.scene.stage() < Stage::Settling {
            Lane::add_missing(&mut self.lanes, &self.scene, &self.author);
            let lane = self.dice.random_range(0..self.lanes.len());
            let count = self.dice.random_range(1..=3);
            let batch = self.lanes[lane].batch(&self.scene, &self.author, count)?;
            match self.author.acks {
                0 => self.send_unheard(lane, &batch).await,
                1 => self.send_once(lane, &batch).await,
                _ => self.send_until_acknowledged(lane, &batch).await?,
            }
            sleep(Duration::from_millis(self.dice.random_range(1..60))).await;
        }
        self.scene.end_work();
        Ok(())
    }

    async fn send_until_acknowledged(&mut self, lane: usize, batch: &Batch) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        loop {
            let error = match self.try_send(lane, batch).await {
                Ok(offset) => {
                    let at = &self.lanes[lane].at;
                    batch.acknowledged(&self.scene, &self.author, at, offset);
                    return Ok(());
                }
                Err(error) => error,
            };
            patience.check(&self.scene, || {
                format!("{}: not acknowledged: {error:#}", self.lanes[lane].at)
            })?;
            sleep(REST).await;
        }
    }

    async fn send_once(&mut self, lane: usize, batch: &Batch) {
        match self.try_send(lane, batch).await {
            Ok(offset) => {
                let at = &self.lanes[lane].at;
                batch.acknowledged(&self.scene, &self.author, at, offset);
            }
            Err(error) => {
                for record in &batch.records {
                    let what = What::Refused {
                        at: self.lanes[lane].at.clone(),
                        record: *record,
                        error: format!("{error:#}"),
                        definite: false,
                    };
                    self.scene.record(&self.author.name, what);
                }
            }
        }
    }

    /// Nobody says what becomes of it.
    async fn send_unheard(&mut self, lane: usize, batch: &Batch) {
        let at = self.lanes[lane].at.clone();
        let anew = self.dice.random_bool(0.3);
        let Ok((leader, _)) = self.session.leader(&at.topic, at.partition, anew).await else {
            return;
        };
        let request = batch.request(&at, None, 0);
        if self.session.tell(leader, request, 9).await.is_err() {
            let _ = self.session.partitions(&at.topic).await;
        }
    }

    /// The base offset, if the answer tells it.
    async fn try_send(&mut self, lane: usize, batch: &Batch) -> anyhow::Result<Option<i64>> {
        let at = self.lanes[lane].at.clone();
        let anew = self.dice.random_bool(0.3);
        let (leader, _) = self.session.leader(&at.topic, at.partition, anew).await?;
        let request = batch.request(&at, None, self.author.acks);
        let answer = self.session.call(leader, request, 9).await;
        let sent = answer.and_then(|answer| outcome(&answer));
        if sent.is_err() {
            // Whoever leads now is asked for before the next try.
            let _ = self.session.partitions(&at.topic).await;
        }
        sent
    }
}
