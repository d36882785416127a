//! Producing: idempotent with acks=all, sending again until it is acknowledged; or careless, with acks=1 and once only.

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
    /// Begins; an idempotent one with a producer id.
    pub async fn new(
        scene: &Scene,
        number: u32,
        idempotent: bool,
        dice: StdRng,
    ) -> anyhow::Result<Producer> {
        Ok(Producer {
            author: Author::new(scene, format!("producer-{number}"), number, idempotent).await?,
            scene: scene.clone(),
            session: Session::new(&scene.brokers),
            dice,
            lanes: Vec::new(),
        })
    }

    /// Produces until everything is healed, and ends what is under way.
    pub async fn run(mut self) -> anyhow::Result<()> {
        while self.scene.stage() < Stage::Settling {
            Lane::add_missing(&mut self.lanes, &self.scene);
            let lane = self.dice.random_range(0..self.lanes.len());
            let count = self.dice.random_range(1..=3);
            let batch = self.lanes[lane].batch(&self.scene, &self.author, count)?;
            match self.author.id {
                Some(_) => self.send_until_acknowledged(lane, &batch).await?,
                None => self.send_once(lane, &batch).await,
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
