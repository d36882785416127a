//! What every producer of a life needs: records with an identity of their own, in batches, and what came of them.

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use checker::history::Place;
use checker::{RecordId, What};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Records, Str, Uuid};

use crate::clients::until_some;
use crate::{Scene, Topic, marks};

/// The first version of Produce that names topics by their id.
pub const PRODUCE_BY_ID: i16 = 13;

/// So many keys the records of all authors share.
const KEYS: u64 = 7;

/// Who produces.
#[derive(Clone, Debug)]
pub struct Author {
    pub name: String,
    pub number: u32,
    pub acks: i16,
    /// Its producer id and epoch, where it is idempotent.
    pub id: Option<(i64, i16)>,
}

impl Author {
    /// An idempotent one has a producer id and acks=all.
    pub async fn idempotent(scene: &Scene, name: String, number: u32) -> anyhow::Result<Author> {
        Ok(Author {
            name,
            number,
            acks: -1,
            id: Some(producer_id(&scene.brokers, number).await?),
        })
    }

    /// One without, whose records may be there twice.
    pub fn careless(name: String, number: u32, acks: i16) -> Author {
        Author {
            name,
            number,
            acks,
            id: None,
        }
    }
}

/// One partition as a producer sees it.
pub struct Lane {
    pub at: Place,
    next: u64,
    /// Its records have keys, since of each only the newest is to stay.
    is_keyed: bool,
}

/// Records on their way.
#[derive(Clone)]
pub struct Batch {
    pub records: Vec<RecordId>,
    pub bytes: Bytes,
}

impl Lane {
    pub fn new(at: Place) -> Lane {
        Lane {
            at,
            next: 0,
            is_keyed: false,
        }
    }

    /// Adds a lane for each partition that has none yet. Where records may be lost, a sequence would have gaps that its
    /// author does not know of.
    pub fn add_missing(lanes: &mut Vec<Lane>, scene: &Scene, author: &Author) {
        for at in scene.places() {
            let topic = scene.topic(&at.topic);
            let is_his = author.id.is_none() || topic.is_none_or(|topic| !topic.may_lose);
            if is_his && !lanes.iter().any(|lane| lane.at == at) {
                let is_keyed = topic.is_some_and(Topic::is_compacted);
                lanes.push(Lane {
                    is_keyed,
                    ..Lane::new(at)
                });
            }
        }
    }

    /// The next records, which count as sent from now on.
    pub fn batch(&mut self, scene: &Scene, author: &Author, count: u64) -> anyhow::Result<Batch> {
        let from = self.next;
        self.next += count;
        let producer = author.number;
        let mut builder = BatchBuilder::new(wall_ms());
        if let Some((id, epoch)) = author.id {
            builder = builder.producer(id, epoch, i32::try_from(from)?);
        }
        let records: Vec<RecordId> = (from..self.next)
            .map(|n| RecordId { producer, n })
            .collect();
        for record in &records {
            let key = self.is_keyed.then_some(record.n % KEYS);
            let name = key.map(|key| format!("key-{key}"));
            let name = name.as_ref().map(String::as_bytes);
            builder.append(name, Some(record.to_string().as_bytes()));
            let what = What::Sent {
                at: self.at.clone(),
                record: *record,
                acks: author.acks,
                idempotent: author.id.is_some(),
            };
            scene.record(&author.name, what);
            if let Some(key) = key {
                let (at, record) = (self.at.clone(), *record);
                scene.record(&author.name, What::Keyed { at, record, key });
            }
        }
        let bytes = builder.build().bytes;
        Ok(Batch { records, bytes })
    }
}

/// The world's wall clock, which no fault touches.
fn wall_ms() -> i64 {
    turmoil::since_epoch().map_or(0, |since| since.as_millis() as i64)
}

impl Batch {
    /// The request that brings it to `at`; by the topic's id where there is one.
    pub fn request(&self, at: &Place, id: Option<Uuid>, acks: i16) -> ProduceRequest {
        let data = PartitionProduceData {
            index: at.partition,
            records: Some(Records::from(self.bytes.clone())),
        };
        let topic = TopicProduceData {
            name: Str::copy_from(&at.topic),
            topic_id: id.unwrap_or(Uuid::ZERO),
            partition_data: vec![data],
        };
        ProduceRequest {
            acks,
            timeout_ms: 3000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        }
    }

    /// It is acknowledged, at `first` if the answer has told it.
    pub fn acknowledged(&self, scene: &Scene, author: &Author, at: &Place, first: Option<i64>) {
        for (number, record) in (0i64..).zip(&self.records) {
            let what = What::Acked {
                at: at.clone(),
                record: *record,
                offset: first.map(|first| first + number),
            };
            scene.record(&author.name, what);
        }
    }
}

/// What the answer to one batch says: its base offset, if it tells it.
pub fn outcome(answer: &ProduceResponse) -> anyhow::Result<Option<i64>> {
    let result = answer
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first())
        .context("an answer without the partition")?;
    match ErrorCode::from_code(result.error_code) {
        Some(ErrorCode::None) if result.base_offset >= 0 => Ok(Some(result.base_offset)),
        Some(ErrorCode::None | ErrorCode::DuplicateSequenceNumber) => Ok(None),
        Some(error @ (ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend)) => {
            marks::note(marks::TOO_FEW);
            bail!("{error:?}")
        }
        other => bail!("{other:?}"),
    }
}

/// A producer id of its own. Each producer asks another broker first, as those have ids from blocks of their own.
async fn producer_id(brokers: &[i32], number: u32) -> anyhow::Result<(i64, i16)> {
    let mut brokers = brokers.to_vec();
    let count = brokers.len().max(1);
    brokers.rotate_left(number as usize % count);
    until_some(&brokers, "get a producer id", async |client| {
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
