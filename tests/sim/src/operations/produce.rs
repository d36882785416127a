//! Producing: idempotent with acks=all, sending again until it is acknowledged; or careless, with acks=1 and once only.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use checker::history::Place;
use checker::{RecordId, What};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{InitProducerIdRequest, ProduceRequest};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Records, Str};

use super::LIVENESS;
use crate::clients::{Session, until_some};
use crate::{Scene, Stage};

/// Rest between two tries.
const REST: Duration = Duration::from_millis(50);

/// One partition as a producer sees it.
struct Lane {
    at: Place,
    next: u64,
}

/// A producer of a life.
pub struct Producer {
    name: String,
    number: u32,
    scene: Scene,
    session: Session,
    dice: StdRng,
    lanes: Vec<Lane>,
    /// None where it is careless.
    id: Option<(i64, i16)>,
}

impl Producer {
    /// Begins; an idempotent one with a producer id.
    pub async fn new(
        scene: &Scene,
        number: u32,
        idempotent: bool,
        dice: StdRng,
    ) -> anyhow::Result<Producer> {
        let id = match idempotent {
            true => Some(producer_id(&scene.brokers).await?),
            false => None,
        };
        let all = scene.topics.iter().flat_map(|topic| {
            let place = |partition| Place::new(&topic.name, partition);
            (0..topic.partitions).map(place)
        });
        Ok(Producer {
            name: format!("producer-{number}"),
            number,
            scene: scene.clone(),
            session: Session::new(&scene.brokers),
            dice,
            lanes: all.map(|at| Lane { at, next: 0 }).collect(),
            id,
        })
    }

    /// Produces until everything is healed, and ends what is under way.
    pub async fn run(mut self) -> anyhow::Result<()> {
        while self.scene.stage() < Stage::Settling {
            let lane = self.dice.random_range(0..self.lanes.len());
            let count = self.dice.random_range(1..=3);
            match self.id {
                Some(id) => self.send_until_acknowledged(lane, count, id).await?,
                None => self.send_once(lane, count).await,
            }
            sleep(Duration::from_millis(self.dice.random_range(1..60))).await;
        }
        self.scene.busy.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    fn records(&mut self, lane: usize, count: u64) -> Vec<RecordId> {
        let lane = &mut self.lanes[lane];
        let from = lane.next;
        lane.next += count;
        let producer = self.number;
        let records = (from..from + count).map(|n| RecordId { producer, n });
        let records: Vec<RecordId> = records.collect();
        for record in &records {
            let what = What::Sent {
                at: lane.at.clone(),
                record: *record,
                acks: if self.id.is_some() { -1 } else { 1 },
                idempotent: self.id.is_some(),
            };
            self.scene.record(&self.name, what);
        }
        records
    }

    async fn send_until_acknowledged(
        &mut self,
        lane: usize,
        count: u64,
        (id, epoch): (i64, i16),
    ) -> anyhow::Result<()> {
        let sequence = i32::try_from(self.lanes[lane].next)?;
        let records = self.records(lane, count);
        let batch = batch(&records, Some((id, epoch, sequence)));
        let mut healed = None;
        loop {
            let error = match self.try_send(lane, &batch, -1).await {
                Ok(offset) => {
                    self.acknowledged(lane, &records, offset);
                    return Ok(());
                }
                Err(error) => error,
            };
            if self.scene.stage() == Stage::Settling {
                let since = healed.get_or_insert_with(Instant::now).elapsed();
                let at = &self.lanes[lane].at;
                ensure!(
                    since < LIVENESS,
                    "{at}: not acknowledged {since:?} after everything was healed: {error:#}"
                );
            }
            sleep(REST).await;
        }
    }

    async fn send_once(&mut self, lane: usize, count: u64) {
        let records = self.records(lane, count);
        match self.try_send(lane, &batch(&records, None), 1).await {
            Ok(offset) => self.acknowledged(lane, &records, offset),
            Err(error) => {
                for record in records {
                    let what = What::Refused {
                        at: self.lanes[lane].at.clone(),
                        record,
                        error: format!("{error:#}"),
                        definite: false,
                    };
                    self.scene.record(&self.name, what);
                }
            }
        }
    }

    fn acknowledged(&self, lane: usize, records: &[RecordId], first: Option<i64>) {
        for (number, record) in (0i64..).zip(records) {
            let what = What::Acked {
                at: self.lanes[lane].at.clone(),
                record: *record,
                offset: first.map(|first| first + number),
            };
            self.scene.record(&self.name, what);
        }
    }

    /// The base offset, if the answer tells it.
    async fn try_send(
        &mut self,
        lane: usize,
        batch: &Bytes,
        acks: i16,
    ) -> anyhow::Result<Option<i64>> {
        let at = self.lanes[lane].at.clone();
        let anew = self.dice.random_bool(0.3);
        let (leader, _) = self.session.leader(&at.topic, at.partition, anew).await?;
        let sent = self.exchange(leader, &at, batch, acks).await;
        if sent.is_err() {
            // Whoever leads now is asked for before the next try.
            let _ = self.session.partitions(&at.topic).await;
        }
        sent
    }

    async fn exchange(
        &mut self,
        leader: i32,
        at: &Place,
        batch: &Bytes,
        acks: i16,
    ) -> anyhow::Result<Option<i64>> {
        let data = PartitionProduceData {
            index: at.partition,
            records: Some(Records::from(batch.clone())),
        };
        let topic = TopicProduceData {
            name: Str::copy_from(&at.topic),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks,
            timeout_ms: 3000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let answer = self.session.call(leader, request, 9).await?;
        let result = answer
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .context("an answer without the partition")?;
        match ErrorCode::from_code(result.error_code) {
            Some(ErrorCode::None) if result.base_offset < 0 => Ok(None),
            Some(ErrorCode::None) => Ok(Some(result.base_offset)),
            Some(ErrorCode::DuplicateSequenceNumber) => Ok(None),
            other => bail!("{other:?}"),
        }
    }
}

fn batch(records: &[RecordId], producer: Option<(i64, i16, i32)>) -> Bytes {
    let mut batch = BatchBuilder::new(1_800_000_000_000);
    if let Some((id, epoch, sequence)) = producer {
        batch = batch.producer(id, epoch, sequence);
    }
    for record in records {
        batch.append(None, Some(record.to_string().as_bytes()));
    }
    batch.build().bytes
}

async fn producer_id(brokers: &[i32]) -> anyhow::Result<(i64, i16)> {
    until_some(brokers, "get a producer id", async |client| {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        let answer = client.call(request, 4).await?;
        let error = ErrorCode::from_code(answer.error_code);
        ensure!(error == Some(ErrorCode::None), "{error:?}");
        Ok((answer.producer_id, answer.producer_epoch))
    })
    .await
}
