//! Records on their way to the cluster.

use std::time::Duration;

use anyhow::Context;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// Between two tries, where the client's queue is full.
const PAUSE: Duration = Duration::from_millis(5);

/// Hands a record to the client, once it has room; the future tells what became of it.
pub async fn put(
    producer: &FutureProducer,
    mut record: FutureRecord<'_, [u8], [u8]>,
) -> anyhow::Result<DeliveryFuture> {
    loop {
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                tokio::time::sleep(PAUSE).await;
            }
            Err((error, _)) => return Err(error).context("cannot write"),
        }
    }
}
