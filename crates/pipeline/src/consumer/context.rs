//! librdkafka's callbacks, turned into events for the router.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;

use super::Partition;

/// librdkafka waits for the answer to one rebalance before it announces the next.
const EVENTS: usize = 16;

#[derive(Debug)]
pub(crate) enum Rebalance {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

pub(crate) struct Context {
    events: mpsc::Sender<Rebalance>,
    closing: AtomicBool,
}

impl Context {
    pub(crate) fn new() -> (Context, mpsc::Receiver<Rebalance>) {
        let (events, received) = mpsc::channel(EVENTS);
        (
            Context {
                events,
                closing: AtomicBool::new(false),
            },
            received,
        )
    }

    /// From now on rebalances are answered at once: no worker is left to wait for.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        // Lost connections are everyday; the monitor reports an outage once.
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for Context {
    // Only announces: the router calls incremental_assign or incremental_unassign when it is ready, and until then
    // librdkafka keeps the rebalance open while heartbeats go on.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assigned = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let partitions = partitions(list);
        let event = if assigned {
            Rebalance::Assigned(partitions)
        } else {
            Rebalance::Revoked(partitions)
        };
        if !self.closing.load(Ordering::SeqCst) && self.events.try_send(event).is_ok() {
            return;
        }
        let answered = if assigned {
            consumer.incremental_assign(list)
        } else {
            consumer.incremental_unassign(list)
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "cannot answer a rebalance");
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _offsets: &TopicPartitionList) {
        // The group's offsets only show lag to Kafka's tools; the sinks' own positions count.
        if let Err(error) = result {
            tracing::debug!(%error, "cannot commit the group's offsets");
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let all = list.elements();
    all.iter()
        .map(|one| Partition {
            topic: one.topic().into(),
            index: one.partition(),
        })
        .collect()
}
