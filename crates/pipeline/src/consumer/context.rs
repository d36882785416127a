//! librdkafka's callbacks, turned into events for the router.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use telemetry::Readiness;
use tokio::sync::mpsc;

use super::Partition;
use super::metrics::Metrics;

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
    /// None of the topics has been created yet; librdkafka joins a group only when there is one.
    nothing_to_join: AtomicBool,
    /// The rebalances of this consumer that have been counted.
    rebalances: AtomicI64,
    /// The part in the readiness report that stands for the membership.
    group_part: String,
    readiness: Readiness,
    metrics: Metrics,
}

impl Context {
    pub(crate) fn new(
        group_part: String,
        readiness: Readiness,
        metrics: Metrics,
    ) -> (Context, mpsc::Receiver<Rebalance>) {
        let (events, received) = mpsc::channel(EVENTS);
        readiness.not_ready(&group_part, "has not joined its group yet");
        let context = Context {
            events,
            closing: AtomicBool::new(false),
            nothing_to_join: AtomicBool::new(false),
            rebalances: AtomicI64::new(0),
            group_part,
            readiness,
            metrics,
        };
        (context, received)
    }

    /// Whether none of the topics has been created yet.
    pub(crate) fn set_nothing_to_join(&self, nothing: bool) {
        self.nothing_to_join.store(nothing, Ordering::SeqCst);
    }

    /// From now on rebalances are answered at once: no worker is left to wait for.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Context {
    // Comes every second, as the router asks for.
    fn stats(&self, statistics: Statistics) {
        let Some(group) = statistics.cgrp else { return };
        let counted = self.rebalances.swap(group.rebalance_cnt, Ordering::Relaxed);
        self.metrics
            .on_group(group.rebalance_cnt - counted, group.assignment_size);
        let nothing_to_join = self.nothing_to_join.load(Ordering::SeqCst);
        match waits_for(&group.state, &group.join_state, nothing_to_join) {
            None => self.readiness.ready(&self.group_part),
            Some(reason) => self.readiness.not_ready(&self.group_part, reason),
        }
    }

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

/// Why a member of a group cannot be sure of its partitions, from the names of librdkafka's states; `None` when it can.
fn waits_for(state: &str, join_state: &str, nothing_to_join: bool) -> Option<String> {
    match (state, join_state) {
        ("up", "steady") => None,
        ("up", "init") if nothing_to_join => None,
        ("up", join_state) => Some(format!("joining its group: {join_state}")),
        (state, _) => Some(format!("has no coordinator: {state}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_ready_only_between_rebalances_and_with_a_coordinator() {
        assert_eq!(waits_for("up", "steady", false), None);
        for (state, join_state, said) in [
            ("up", "wait-sync", "wait-sync"),
            ("up", "init", "init"),
            ("query-coord", "steady", "query-coord"),
        ] {
            let reason = waits_for(state, join_state, false).unwrap_or_default();
            assert!(reason.contains(said), "{state} {join_state}: {reason}");
        }
    }

    #[test]
    fn a_member_is_ready_while_there_is_no_topic_to_join_for() {
        assert_eq!(waits_for("up", "init", true), None);
        assert!(waits_for("query-coord", "init", true).is_some());
        assert!(waits_for("up", "wait-sync", true).is_some());
    }
}
