//! Produce, versions 3 to 13 (0 to 2 are advertised for librdkafka's sake and refused when used).
//!
//! Every batch is checked by header and CRC, decoded only where a compacted topic needs keys, and appended before the
//! handler's future exists, so that a connection's batches are appended in the order of its requests while their waits
//! overlap. acks=all waits for the high watermark until `timeout.ms`; acks=0 gets no answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::metadata::Image;
use engine::replica::Acks;
use storage::compression;
use tokio::time::Instant;
use wire::batch::{self, Batch, BatchError};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use wire::messages::{ProduceRequest, ProduceResponse};
use wire::record;
use wire::{ErrorCode, Records, Str};

use super::RequestContext;
use super::partition_lookup::{LeaderHint, LeaderHints, TopicKey, find};
use super::topics;
use crate::metrics::TopicMetrics;
use crate::metrics::waits::waiting;
use crate::partition::{Appended, CommitWait, Partition};
use crate::server::Broker;
use crate::spans;

/// Topics are named by their ids from this version on.
const BY_ID_FROM: i16 = 13;
/// Most bytes that the records of a batch may have when they are decoded.
const DECODED_MAX: usize = 128 << 20;

/// Why a partition's records were refused: Kafka's error, and words where they help.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal {
            code,
            message: None,
        }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Refusal {
        Refusal {
            code: error.code(),
            message: Some(error.to_string()),
        }
    }
}

/// One partition's part: what is appended, and the wait for its commit.
type Outcome = Result<Appended, Refusal>;

/// Appends; the future it returns only waits.
pub fn handle(
    broker: &Arc<Broker>,
    request: ProduceRequest,
    context: &RequestContext,
) -> impl Future<Output = ProduceResponse> + Send + 'static {
    let image = broker.quorum.image();
    let acks = acks(&request);
    let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = broker.env.now() + wait;
    let by_id = context.version >= BY_ID_FROM;
    let topics: Vec<_> = request
        .topic_data
        .into_iter()
        .map(|topic| {
            let key = TopicKey::new(by_id, topic.topic_id, &topic.name);
            append_topic(broker, &image, topic, key, (acks, context))
        })
        .collect();
    let hints = Hints {
        broker: broker.clone(),
        listener: context.peer.listener.clone(),
    };
    async move { answer(topics, deadline, hints).await }
}

fn acks(request: &ProduceRequest) -> Result<Acks, ErrorCode> {
    match request.acks {
        // Transactions are not offered: without a coordinator nobody could end them.
        _ if request.transactional_id.is_some() => Err(ErrorCode::InvalidTxnState),
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err(ErrorCode::InvalidRequiredAcks),
    }
}

/// What a request wants for all of its batches, and who sent it.
type Asked<'a> = (Result<Acks, ErrorCode>, &'a RequestContext);

struct AppendedTopic {
    topic: TopicProduceData,
    key: TopicKey,
    outcomes: Vec<AppendedPartition>,
}

struct AppendedPartition {
    index: i32,
    /// Where the topic is known here.
    metrics: Option<Arc<TopicMetrics>>,
    outcome: Outcome,
}

fn append_topic(
    broker: &Broker,
    image: &Image,
    mut topic: TopicProduceData,
    key: TopicKey,
    asked: Asked<'_>,
) -> AppendedTopic {
    // What waits for the commit does not keep the request's frame in memory.
    topic.name = Str::copy_from(&topic.name);
    let outcomes = std::mem::take(&mut topic.partition_data)
        .into_iter()
        .map(|data| append_counted(broker, image, &key, data, asked))
        .collect();
    AppendedTopic {
        topic,
        key,
        outcomes,
    }
}

fn append_counted(
    broker: &Broker,
    image: &Image,
    topic: &TopicKey,
    data: PartitionProduceData,
    (acks, context): Asked<'_>,
) -> AppendedPartition {
    let index = data.index;
    let partition = match find(broker, image, topic, index) {
        Ok(partition) => partition,
        Err(error) => {
            return AppendedPartition {
                index,
                metrics: None,
                outcome: Err(error.into()),
            };
        }
    };
    let metrics = partition.metrics().clone();
    metrics.produce_requests.inc();
    let size = data.records.as_ref().map_or(0, Records::len);
    let outcome = acks
        .map_err(Refusal::from)
        .and_then(|acks| append(broker, &partition, data, (acks, context)));
    if outcome.is_err() {
        metrics.bytes_rejected.inc_by(size as u64);
    }
    AppendedPartition {
        index,
        metrics: Some(metrics),
        outcome,
    }
}

fn append(
    broker: &Broker,
    partition: &Arc<Partition>,
    data: PartitionProduceData,
    (acks, context): (Acks, &RequestContext),
) -> Outcome {
    if topics::is_internal(partition.topic()) {
        // The coordinators hold in memory what stands there: nobody else may write it.
        return Err(ErrorCode::InvalidTopicException.into());
    }
    let batch = the_batch(data.records)?;
    if partition.config().compact {
        check_keys(&batch)?;
    }
    let (size, records) = (batch.bytes.len() as u64, batch.header.record_count);
    let began = broker.spans.begin(&broker.env);
    let appended = partition.append(batch, acks).map_err(|failure| {
        let code = failure.code();
        if code == ErrorCode::KafkaStorageError {
            report(partition, &failure);
        }
        Refusal {
            code,
            message: Some(failure.to_string()),
        }
    })?;
    if let Some(began) = began {
        let request = spans::Request {
            records,
            size_bytes: size as usize,
            client_id: context.client_id.as_ref(),
        };
        let (spans, env) = (&broker.spans, &broker.env);
        spans.follow(env, began, partition, &appended, &request);
    }
    let metrics = partition.metrics();
    metrics.bytes_in.inc_by(size);
    metrics
        .messages_in
        .inc_by(u64::try_from(records).unwrap_or(0));
    Ok(appended)
}

fn report(partition: &Partition, failure: &crate::partition::Failure) {
    tracing::error!(
        topic = %partition.topic(), partition = partition.id().index, error = %failure, "cannot append"
    );
}

/// The one batch that a partition's records must be, checked by CRC and header.
fn the_batch(records: Option<Records>) -> Result<Batch, Refusal> {
    let bytes: Bytes = records.map(|r| r.to_bytes()).unwrap_or_default();
    let mut batches = batch::split(bytes);
    let batch = match batches.next() {
        Some(first) => first?,
        None => return Err(BatchError::Several.into()),
    };
    if batches.next().is_some() {
        return Err(BatchError::Several.into());
    }
    batch.verify_crc()?;
    batch.header.validate_from_client()?;
    if batch.header.is_transactional() {
        return Err(ErrorCode::InvalidTxnState.into());
    }
    if batch.header.base_offset != 0 {
        return Err(Refusal {
            code: ErrorCode::InvalidRecord,
            message: Some("the base offset of a client's batch must be 0".into()),
        });
    }
    Ok(batch)
}

/// Compaction would drop a record without a key: it is refused before it is acknowledged, as in Kafka.
fn check_keys(batch: &Batch) -> Result<(), Refusal> {
    let header = &batch.header;
    let payload = compression::decompress(header.compression(), &batch.payload(), DECODED_MAX)
        .map_err(|error| Refusal {
            code: ErrorCode::CorruptMessage,
            message: Some(error.to_string()),
        })?;
    for record in record::iter(payload, header.record_count) {
        if record?.key.is_none() {
            return Err(Refusal {
                code: ErrorCode::InvalidRecord,
                message: Some("a compacted topic cannot accept a record without a key".into()),
            });
        }
    }
    Ok(())
}

/// Names leaders to those who have asked the wrong broker.
struct Hints {
    broker: Arc<Broker>,
    listener: Arc<str>,
}

async fn answer(topics: Vec<AppendedTopic>, deadline: Instant, names: Hints) -> ProduceResponse {
    let mut hints = LeaderHints::default();
    let mut response = ProduceResponse::default();
    for AppendedTopic {
        topic,
        key,
        outcomes,
    } in topics
    {
        let mut partitions = Vec::with_capacity(outcomes.len());
        for appended in outcomes {
            let index = appended.index;
            let outcome = committed(appended.outcome, deadline).await;
            if let (Err(_), Some(metrics)) = (&outcome, &appended.metrics) {
                metrics.failed_produce.inc();
            }
            let hint = outcome.as_ref().err().and_then(|refusal| {
                let image = names.broker.quorum.image();
                hints.after(refusal.code, &image, &key, index, &names.listener)
            });
            partitions.push(partition_response(index, outcome, hint));
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: partitions,
        });
    }
    response.node_endpoints = hints
        .nodes
        .into_iter()
        .map(|(node_id, node)| NodeEndpoint {
            node_id,
            host: node.host,
            port: node.port,
            rack: node.rack,
        })
        .collect();
    response
}

async fn committed(outcome: Outcome, deadline: Instant) -> Outcome {
    let mut appended = outcome?;
    if let Some(wait) = appended.commit.take() {
        waiting(CommitWait::wait(wait, deadline)).await?;
    }
    Ok(appended)
}

fn partition_response(
    index: i32,
    outcome: Outcome,
    hint: Option<LeaderHint>,
) -> PartitionProduceResponse {
    match outcome {
        // A client takes this error for what it is: success, only that the offset is not known.
        Ok(appended) => PartitionProduceResponse {
            index,
            error_code: match appended.base_offset {
                Some(_) => ErrorCode::None as i16,
                None => ErrorCode::DuplicateSequenceNumber as i16,
            },
            base_offset: appended.base_offset.map_or(-1, |offset| offset.0),
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start.0,
            ..PartitionProduceResponse::default()
        },
        Err(Refusal { code, message }) => PartitionProduceResponse {
            index,
            error_code: code as i16,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: record_errors(code, message.as_deref()),
            error_message: message.map(Str::from),
            current_leader: hint.map_or_else(LeaderIdAndEpoch::default, |hint| LeaderIdAndEpoch {
                leader_id: hint.id,
                leader_epoch: hint.epoch,
            }),
        },
    }
}

/// KIP-467: which record is to blame. Batches are not decoded, so it is the batch as a whole: its first record.
fn record_errors(code: ErrorCode, message: Option<&str>) -> Vec<BatchIndexAndErrorMessage> {
    if !matches!(code, ErrorCode::InvalidRecord | ErrorCode::InvalidTimestamp) {
        return Vec::new();
    }
    let batch_index_error_message = message.map(Str::copy_from);
    vec![BatchIndexAndErrorMessage {
        batch_index: 0,
        batch_index_error_message,
    }]
}

#[cfg(test)]
mod tests {
    use engine::ids::Offset;
    use wire::batch::Compression;
    use wire::record::BatchBuilder;

    use super::*;

    fn batch(keys: &[Option<&[u8]>]) -> Batch {
        let mut builder = BatchBuilder::new(0);
        for key in keys {
            builder.append(*key, Some(b"value"));
        }
        let codec = Compression::Zstd;
        let pack = |plain: &[u8]| compression::compress(codec, plain).expect("zstd packs all");
        builder.build_compressed(codec, pack)
    }

    #[test]
    fn what_was_there_before_and_nobody_remembers_where_is_a_duplicate() {
        let appended = Appended {
            base_offset: None,
            next_offset: Offset(7),
            written_in: None,
            log_append_time_ms: -1,
            log_start: Offset(0),
            commit: None,
        };
        let answer = partition_response(3, Ok(appended), None);
        let duplicate = ErrorCode::DuplicateSequenceNumber as i16;
        assert_eq!((answer.error_code, answer.base_offset), (duplicate, -1));
    }

    #[test]
    fn every_record_of_a_compacted_topic_has_a_key() {
        assert!(check_keys(&batch(&[Some(b"a"), Some(b"")])).is_ok());
        let refused = check_keys(&batch(&[Some(b"a"), None])).err();
        assert_eq!(refused.map(|r| r.code), Some(ErrorCode::InvalidRecord));
        let mut garbage = batch(&[Some(b"a")]);
        garbage.header.record_count = 2;
        assert!(check_keys(&garbage).is_err());
    }
}
