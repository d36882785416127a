//! What a test does to a cluster: one topic, an idempotent producer, a reader.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use tokio::time::sleep;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::metadata_response::MetadataResponsePartition;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{
    CreateTopicsRequest, FetchRequest, InitProducerIdRequest, MetadataRequest, ProduceRequest,
};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Records};

use crate::cluster::PORT;
use crate::{Client, broker_name};

/// Rest between two tries.
const REST: Duration = Duration::from_millis(50);
/// Tries before a step has failed: with the rest, minutes of simulated time.
const TRIES: usize = 600;
/// The topic of the test.
pub const TOPIC: &str = "lives";

/// Tries every broker in turn until `step` succeeds with one.
pub async fn until_some<T>(
    brokers: &[i32],
    what: &str,
    mut step: impl AsyncFnMut(&mut Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut last = None;
    for _ in 0..TRIES {
        for id in brokers {
            let tried = match Client::connect(&broker_name(*id), PORT).await {
                Ok(mut client) => step(&mut client).await,
                Err(error) => Err(error.into()),
            };
            match tried {
                Ok(value) => return Ok(value),
                Err(error) => last = Some(error),
            }
        }
        sleep(REST).await;
    }
    Err(last
        .context("no broker was named")?
        .context(format!("gave up on: {what}")))
}

/// Waits for `brokers` members and makes the topic: one partition on all of them.
pub async fn create_topic(all: &[i32]) -> anyhow::Result<()> {
    until_some(all, "create the topic", async |client| {
        let metadata = client.call(MetadataRequest::default(), 12).await?;
        ensure!(
            metadata.brokers.len() == all.len(),
            "{} brokers",
            metadata.brokers.len()
        );
        let topic = CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 1,
            replication_factor: 3,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 5000,
            ..CreateTopicsRequest::default()
        };
        let answer = client.call(request, 7).await?;
        match ErrorCode::from_code(answer.topics[0].error_code) {
            Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
            other => bail!("{other:?}"),
        }
    })
    .await
}

/// The partition as the cluster sees it: of all that the brokers say, what is of the newest leader epoch, as Kafka's
/// clients choose. A broker that is cut off goes on telling what it knew.
pub async fn partition(all: &[i32]) -> anyhow::Result<MetadataResponsePartition> {
    for _ in 0..TRIES {
        let mut newest: Option<MetadataResponsePartition> = None;
        for id in all {
            let Ok(seen) = partition_at(*id).await else {
                continue;
            };
            if newest
                .as_ref()
                .is_none_or(|n| n.leader_epoch < seen.leader_epoch)
            {
                newest = Some(seen);
            }
        }
        match newest.filter(|p| p.leader_id >= 0) {
            Some(partition) => return Ok(partition),
            None => sleep(REST).await,
        }
    }
    bail!("no leader was found")
}

async fn partition_at(id: i32) -> anyhow::Result<MetadataResponsePartition> {
    let mut client = Client::connect(&broker_name(id), PORT).await?;
    let topic = MetadataRequestTopic {
        name: Some(TOPIC.into()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let answer = client.call(request, 12).await?;
    let partition = answer
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    Ok(partition.context("the topic is not there yet")?.clone())
}

/// An idempotent producer that never gives a record up.
pub struct Producer {
    all: Vec<i32>,
    id: i64,
    epoch: i16,
    sequence: i32,
    connection: Option<Client>,
}

impl Producer {
    /// Gets a producer id.
    pub async fn new(all: &[i32]) -> anyhow::Result<Producer> {
        let (id, epoch) = until_some(all, "get a producer id", async |client| {
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
        .await?;
        Ok(Producer {
            all: all.to_vec(),
            id,
            epoch,
            sequence: 0,
            connection: None,
        })
    }

    /// Produces one value with acks=all and returns its offset.
    pub async fn send(&mut self, value: &str) -> anyhow::Result<i64> {
        let mut batch =
            BatchBuilder::new(1_800_000_000_000).producer(self.id, self.epoch, self.sequence);
        batch.append(None, Some(value.as_bytes()));
        let bytes = batch.build().bytes;
        for _ in 0..TRIES {
            match self.try_send(&bytes).await {
                Ok(offset) => {
                    self.sequence += 1;
                    return Ok(offset);
                }
                Err(error) => {
                    tracing::debug!(value, "produce again: {error:#}");
                    self.connection = None;
                    sleep(REST).await;
                }
            }
        }
        bail!("{value} was never acknowledged")
    }

    async fn try_send(&mut self, batch: &Bytes) -> anyhow::Result<i64> {
        if self.connection.is_none() {
            let leader = partition(&self.all).await?.leader_id;
            self.connection = Some(Client::connect(&broker_name(leader), PORT).await?);
        }
        let connection = self.connection.as_mut().expect("it was made above");
        let data = PartitionProduceData {
            index: 0,
            records: Some(Records::from(batch.clone())),
        };
        let topic = TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 3000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let answer = connection.call(request, 9).await?;
        let result = &answer.responses[0].partition_responses[0];
        let error = ErrorCode::from_code(result.error_code);
        ensure!(error == Some(ErrorCode::None), "{error:?}");
        Ok(result.base_offset)
    }
}

/// Reads the values from offset 0 until `count` have come.
pub async fn read_all(all: &[i32], count: usize) -> anyhow::Result<Vec<String>> {
    let mut values = Vec::new();
    let mut offset = 0;
    while values.len() < count {
        let leader = [partition(all).await?.leader_id];
        let read = until_some(&leader, "fetch", async |client| fetch(client, offset).await);
        let read = read.await?;
        for batch in wire::batch::split(read.to_bytes()) {
            let batch = batch?;
            for record in wire::record::iter(batch.payload(), batch.header.record_count) {
                let value = record?.value.context("every record has a value")?;
                values.push(String::from_utf8(value.to_vec())?);
            }
            offset = batch.header.next_offset();
        }
    }
    Ok(values)
}

async fn fetch(client: &mut Client, offset: i64) -> anyhow::Result<Records> {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: TOPIC.into(),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    let request = FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let mut answer = client.call(request, 12).await?;
    let mut result = answer
        .responses
        .pop()
        .and_then(|mut topic| topic.partitions.pop());
    let result = result.take().context("the answer has no partition")?;
    let error = ErrorCode::from_code(result.error_code);
    ensure!(error == Some(ErrorCode::None), "{error:?}");
    Ok(result.records.unwrap_or_default())
}
