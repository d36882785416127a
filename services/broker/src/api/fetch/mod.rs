//! Fetch, versions 4 to 18, of consumers and followers alike; sessions as of KIP-227.
//!
//! Records are answered by reference, as the producer sent them. A fetch that finds less than `min.bytes` waits until
//! a partition that it asks for advances, or `max.wait.ms` is over; an error or a diverging epoch ends the wait. The
//! rack is ignored: consumers read from leaders only. Replica id -2 reads what is committed from just this replica, as
//! Kafka's tool to compare replicas did: so a broker gets what its own disk has changed.

mod response;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};
use engine::metadata::Image;
use engine::replica::{FetchQuery, Reader};
use futures::future::{Either, select};
use storage::ReadPlan;
use tokio::time::{Instant, sleep_until};
use wire::messages::{FetchRequest, FetchResponse};
use wire::{ErrorCode, Records, batch};

use super::RequestContext;
use super::partition_lookup::find;
use crate::env::Pool;
use crate::metrics::waits::waiting;
use crate::partition::{FetchWait, Partition, PartitionRead, ReadAnswer, ReadLimit, WaitFor};
use crate::server::Broker;
use session::{Item, Session};

pub use session::{PARTITIONS_MAX, Sessions};

/// Says that not only the leader may answer.
const ANY_REPLICA: i32 = -2;
/// Topics are named by their ids from this version on.
const BY_ID_FROM: i16 = 13;

/// What is the same for all partitions of a request.
struct Terms {
    reader: Reader,
    max_bytes: usize,
    min_bytes: usize,
    deadline: Instant,
}

/// One partition's answer.
struct Found {
    item: Item,
    partition: Option<Arc<Partition>>,
    read: Result<Answered, ErrorCode>,
}

/// A partition that has answered.
struct Answered {
    /// Nothing where the answer is an error or a diverging epoch.
    records: Records,
    read: PartitionRead,
}

impl Found {
    fn bytes(&self) -> usize {
        self.read.as_ref().map_or(0, |a| a.records.len())
    }

    /// Whether there is something to say that must not wait.
    fn is_urgent(&self) -> bool {
        match &self.read {
            Ok(answered) => !matches!(answered.read.answer, Ok(ReadAnswer::Records(_))),
            Err(_) => true,
        }
    }
}

pub async fn handle(
    broker: &Arc<Broker>,
    request: FetchRequest,
    context: &RequestContext,
) -> FetchResponse {
    let by_id = context.version >= BY_ID_FROM;
    let terms = terms(broker, &request);
    let owner = match terms.reader {
        Reader::Follower { id, .. } => Some(id),
        Reader::Consumer { .. } | Reader::AnyReplica => None,
    };
    let mut session =
        match broker
            .fetch_sessions
            .enter(&request, by_id, owner, broker.env.elapsed_ms())
        {
            Ok(session) => session,
            Err(error) => return response::refused(error),
        };
    let found = gather(broker, &session, &terms).await;
    count(&found, &terms);
    let listener = context.peer.listener.clone();
    let image = broker.quorum.image();
    response::build(&image, &listener, &mut session, found, by_id)
}

/// Bytes of records in an answer.
pub fn records_bytes(response: &FetchResponse) -> usize {
    let topics = response.responses.iter();
    let records =
        topics.flat_map(|topic| topic.partitions.iter().filter_map(|p| p.records.as_ref()));
    records.map(Records::len).sum()
}

/// Whether another broker asks.
pub fn is_of_follower(request: &FetchRequest) -> bool {
    replica(request).0 >= 0
}

/// The id and the epoch of the broker that asks; negative for a consumer.
fn replica(request: &FetchRequest) -> (i32, i64) {
    // Version 15 moved the follower's id into a tagged field, and added its epoch (KIP-903).
    match request.replica_state.replica_id {
        id if id >= 0 || id == ANY_REPLICA => (id, request.replica_state.replica_epoch),
        _ => (request.replica_id, -1),
    }
}

fn terms(broker: &Broker, request: &FetchRequest) -> Terms {
    let (id, epoch) = replica(request);
    let reader = if id >= 0 {
        let broker_epoch = Some(BrokerEpoch(epoch)).filter(|epoch| epoch.0 >= 0);
        Reader::Follower {
            id: BrokerId(id),
            broker_epoch,
        }
    } else if id == ANY_REPLICA {
        Reader::AnyReplica
    } else {
        Reader::Consumer {
            read_committed: request.isolation_level == 1,
        }
    };
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    Terms {
        reader,
        max_bytes: bytes(request.max_bytes.min(broker.config.fetch.max_bytes)),
        min_bytes: bytes(request.min_bytes.min(request.max_bytes)),
        // A client that is gone is noticed when its answer is written, so nobody waits for longer than an idle client may.
        deadline: broker.env.now() + wait.min(broker.config.net.idle),
    }
}

/// Looks, and looks again whenever a partition has advanced, until there is enough to answer.
async fn gather(broker: &Arc<Broker>, session: &Session, terms: &Terms) -> Vec<Found> {
    let image = broker.quorum.image();
    let found = look(broker, &image, session, terms, true).await;
    if is_enough(&found, terms) || broker.env.now() >= terms.deadline {
        return found;
    }
    // Watching begins before the next look, so that nothing is missed between the two.
    let mut wait = FetchWait::new(&broker.partitions.fetch_ids);
    let what = match terms.reader {
        Reader::Follower { .. } => WaitFor::LogEnd,
        Reader::Consumer { .. } | Reader::AnyReplica => WaitFor::HighWatermark,
    };
    for partition in found.iter().filter_map(|f| f.partition.as_ref()) {
        wait.add(partition, what);
    }
    drop(found);
    loop {
        let found = look(broker, &image, session, terms, false).await;
        if is_enough(&found, terms) {
            return found;
        }
        drop(found);
        let changed = std::pin::pin!(wait.changed());
        let over = std::pin::pin!(sleep_until(terms.deadline));
        if let Either::Right(_) = waiting(select(changed, over)).await {
            return look(broker, &image, session, terms, false).await;
        }
    }
}

fn is_enough(found: &[Found], terms: &Terms) -> bool {
    let bytes: usize = found.iter().map(Found::bytes).sum();
    found.is_empty() || bytes >= terms.min_bytes || found.iter().any(Found::is_urgent)
}

async fn look(
    broker: &Broker,
    image: &Image,
    session: &Session,
    terms: &Terms,
    first: bool,
) -> Vec<Found> {
    let mut left = terms.max_bytes;
    let mut bytes = 0;
    let mut all = Vec::with_capacity(session.items().len());
    for item in session.items() {
        let limit = ReadLimit {
            max_bytes: item.max_bytes.min(left),
            at_least_one: bytes == 0,
        };
        let found = look_at(broker, image, item, terms, limit, (first, bytes)).await;
        left = left.saturating_sub(found.bytes());
        bytes += found.bytes();
        all.push(found);
    }
    all
}

async fn look_at(
    broker: &Broker,
    image: &Image,
    item: &Item,
    terms: &Terms,
    limit: ReadLimit,
    (first, before): (bool, usize),
) -> Found {
    let partition = match find(broker, image, &item.topic, item.index) {
        Ok(partition) => partition,
        Err(error) => {
            return Found {
                item: item.clone(),
                partition: None,
                read: Err(error),
            };
        }
    };
    let query = FetchQuery {
        reader: terms.reader,
        offset: Offset(item.offset),
        leader_epoch: epoch(item.leader_epoch),
        last_fetched_epoch: epoch(item.last_fetched_epoch),
    };
    let mut read = partition.read(&query, limit, first);
    let records = match std::mem::replace(&mut read.answer, Err(ErrorCode::None)) {
        Ok(ReadAnswer::Records(plan)) => {
            let records = run(broker, &partition, plan).await;
            let records = match terms.reader {
                Reader::Consumer { .. } | Reader::AnyReplica => {
                    records.map(|all| broker.answers.hold(all, before))
                }
                Reader::Follower { .. } => records.map(|all| broker.answers.hold_anyway(all)),
            };
            read.answer = records
                .as_ref()
                .map(|_| ReadAnswer::nothing())
                .map_err(|error| *error);
            records.unwrap_or_default()
        }
        other => {
            read.answer = other;
            Records::default()
        }
    };
    Found {
        item: item.clone(),
        partition: Some(partition),
        read: Ok(Answered { records, read }),
    }
}

fn epoch(value: i32) -> Option<LeaderEpoch> {
    Some(LeaderEpoch(value)).filter(|epoch| epoch.0 >= 0)
}

/// What is not in memory is read on the pool.
async fn run(broker: &Broker, partition: &Partition, plan: ReadPlan) -> Result<Records, ErrorCode> {
    match plan {
        ReadPlan::Ready(records) => Ok(records),
        ReadPlan::Cold(cold) => {
            let records = broker.env.blocking(Pool::Read, move || cold.run()).await;
            records.map_err(|error| partition.on_failed_read(&error))
        }
    }
}

fn count(found: &[Found], terms: &Terms) {
    for found in found {
        let Some(partition) = &found.partition else {
            continue;
        };
        let metrics = partition.metrics();
        metrics.fetch_requests.inc();
        let answered = match &found.read {
            Ok(answered) if answered.read.answer.is_ok() => answered,
            _ => {
                metrics.failed_fetch.inc();
                continue;
            }
        };
        let bytes = answered.records.len() as u64;
        if !matches!(terms.reader, Reader::Consumer { .. }) {
            metrics.broker.replication_out.inc_by(bytes);
            continue;
        }
        metrics.bytes_out.inc_by(bytes);
        let records = batch::count_records(&answered.records);
        metrics.messages_out.inc_by(records);
    }
}
