//! Producing with several batches under way on one connection, as clients do with max.in.flight.requests.per.connection=5
//! and idempotence: after a refusal, what was behind is sent again in its order.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::Patience;
use super::lane::{Author, Batch, Lane, outcome};
use crate::clients::Session;
use crate::{Scene, Stage, marks};

/// Requests under way on one connection.
const IN_FLIGHT: usize = 5;
/// Rest between two tries.
const REST: Duration = Duration::from_millis(50);

/// A batch, and which of those that are sent together it is.
type Numbered = (usize, Batch);

/// A producer in a hurry.
pub struct Pipeline {
    author: Author,
    scene: Scene,
    session: Session,
    dice: StdRng,
    lanes: Vec<Lane>,
}

impl Pipeline {
    pub async fn new(scene: &Scene, number: u32, dice: StdRng) -> anyhow::Result<Pipeline> {
        Ok(Pipeline {
            author: Author::idempotent(scene, format!("producer-{number}"), number).await?,
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
            let mut waiting = VecDeque::new();
            for number in 0..self.dice.random_range(2..=2 * IN_FLIGHT) {
                let count = self.dice.random_range(1..=3);
                let batch = self.lanes[lane].batch(&self.scene, &self.author, count)?;
                waiting.push_back((number, batch));
            }
            self.drain(lane, waiting).await?;
            sleep(Duration::from_millis(self.dice.random_range(1..200))).await;
        }
        self.scene.end_work();
        Ok(())
    }

    /// Sends until all is acknowledged.
    async fn drain(&mut self, lane: usize, mut waiting: VecDeque<Numbered>) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        while !waiting.is_empty() {
            let Err(error) = self.burst(lane, &mut waiting).await else {
                continue;
            };
            let at = &self.lanes[lane].at;
            patience.check(&self.scene, || {
                format!(
                    "{at}: {} batches not acknowledged: {error:#}",
                    waiting.len()
                )
            })?;
            let _ = self.session.partitions(&at.topic).await;
            sleep(REST).await;
        }
        Ok(())
    }

    /// Sends the first few at once. Those that are not acknowledged stay, in their order.
    async fn burst(&mut self, lane: usize, waiting: &mut VecDeque<Numbered>) -> anyhow::Result<()> {
        let at = self.lanes[lane].at.clone();
        let (leader, _) = self.session.leader(&at.topic, at.partition, false).await?;
        // None is sent that is so far ahead of the oldest that a broker would have forgotten that one (it remembers five).
        let oldest = waiting.front().map_or(0, |(number, _)| *number);
        let first = waiting
            .iter()
            .take_while(|(number, _)| *number < oldest + IN_FLIGHT);
        let requests: Vec<_> = first
            .map(|(_, batch)| batch.request(&at, None, self.author.acks))
            .collect();
        let sent = requests.len();
        let answers = self.session.burst(leader, requests, 9).await?;
        let mut trouble = None;
        let mut refused = VecDeque::new();
        let mut answers = answers.into_iter();
        for _ in 0..sent {
            let (number, batch) = waiting.pop_front().context("what was sent was waiting")?;
            let answer = answers.next().context("no answer").flatten();
            let answered = answer.is_ok();
            match answer.and_then(|answer| outcome(&answer)) {
                Ok(offset) => batch.acknowledged(&self.scene, &self.author, &at, offset),
                Err(error) => {
                    if answered && trouble.is_some() {
                        marks::note(marks::BEHIND);
                    }
                    trouble.get_or_insert(error);
                    refused.push_back((number, batch));
                }
            }
        }
        refused.append(waiting);
        *waiting = refused;
        trouble.map_or(Ok(()), Err)
    }
}
