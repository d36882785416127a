//! A small producer and consumer of this broker's own: how long a client waits, from end to end.
//!
//! Once in an interval each broker sends one record with acks=all to a partition of the probe's topic, over the network
//! as any client would, and reads it back with a fetch that waits already. The topic has a partition for each broker and
//! is created, and made larger, by the active controller. It keeps its records for minutes.

use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Assignment, Command, Image, NewPartitions, NewTopic};
use futures::future::join;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{FetchRequest, ProduceRequest};
use wire::record::BatchBuilder;
use wire::{ErrorCode, Records, Str};

use crate::env::Plane;
use crate::metrics::ProbeMetrics;
use crate::replication::Connection;
use crate::server::Broker;

/// The newest versions that name topics by their names.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;
/// How long a record may take to be acknowledged and read; then it is counted as failed, or as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one fetch waits for the record.
const FETCH_WAIT_MS: i32 = 5_000;
/// An answer holds a few small records.
const ANSWER_MAX_BYTES: usize = 1 << 20;
const REPLICAS: usize = 3;
const CONFIGS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("retention.ms", "600000"),
    ("segment.bytes", "1048576"),
];

/// Why a probe did not come through.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the probe's topic is not there")]
    NotThere,
    #[error("the partition has no leader, or that has no address")]
    NoLeader,
    #[error(transparent)]
    Connection(#[from] crate::replication::ConnectionError),
    #[error("refused: {}", .0.name())]
    Refused(ErrorCode),
    #[error("no answer in time")]
    Timeout,
}

/// Starts the probe, where the configuration wants one; it ends with the handle's abort.
pub fn start(broker: &Arc<Broker>) -> Option<JoinHandle<()>> {
    let every = broker.config.metrics.probe_interval;
    if every.is_zero() || !broker.config.roles.broker {
        return None;
    }
    let probe = Probe {
        broker: broker.clone(),
        metrics: ProbeMetrics::new(broker.metrics.registry()),
        connected: None,
        next_offset: None,
        has_worked: false,
    };
    Some(broker.env.spawn(Plane::Control, "probe", probe.run(every)))
}

struct Probe {
    broker: Arc<Broker>,
    metrics: ProbeMetrics,
    connected: Option<Connected>,
    /// Where the next record should lie; none before the first, or after a failure.
    next_offset: Option<i64>,
    /// A record has come through since this broker began: from then on a partition without a leader is a failure.
    has_worked: bool,
}

/// Connections to the leader, one to send and one to wait on.
struct Connected {
    leader: BrokerId,
    producer: Connection,
    consumer: Connection,
}

impl Probe {
    async fn run(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.broker.quorum.is_active_controller() {
                keep_topic(&self.broker).await;
            }
            let probed = timeout(PATIENCE, self.probe()).await;
            match probed.unwrap_or(Err(Failure::Timeout)) {
                Ok(()) => {
                    self.has_worked = true;
                    let now_s = self.broker.env.wall_ms() as f64 / 1e3;
                    self.metrics.last_success.set(now_s);
                }
                // Nothing to speak of: a cluster that has just been started.
                Err(Failure::NotThere) => {}
                Err(Failure::NoLeader) if !self.has_worked => {}
                Err(error) => {
                    tracing::debug!(%error, "the probe's record did not come through");
                    self.metrics.failed.inc();
                    (self.connected, self.next_offset) = (None, None);
                }
            }
        }
    }

    /// One record there and back.
    async fn probe(&mut self) -> Result<(), Failure> {
        let image = self.broker.quorum.image();
        let config = &self.broker.config;
        let (index, leader) = target(&image, &config.metrics.probe_topic, config.node_id)?;
        let mut connected = match self.connected.take() {
            Some(connected) if connected.leader == leader => connected,
            _ => connect(&self.broker, leader).await?,
        };
        let topic = topic(&self.broker);
        let began = self.broker.env.now();
        let Some(expected) = self.next_offset else {
            // Where it lies is known only afterwards, so nobody can wait for it.
            let producer = &mut connected.producer;
            let sent = send(&self.broker, &self.metrics, producer, &topic, index, began);
            let offset = sent.await?;
            self.next_offset = Some(offset + 1);
            self.connected = Some(connected);
            return Ok(());
        };
        let Connected {
            producer, consumer, ..
        } = &mut connected;
        let (sent, read) = join(
            send(&self.broker, &self.metrics, producer, &topic, index, began),
            read(consumer, &topic, index, expected),
        )
        .await;
        let offset = sent?;
        match read {
            // Others may write there too, where there are more brokers than partitions.
            Ok(()) if offset == expected => {
                let took = self.broker.env.now().duration_since(began);
                self.metrics.end_to_end.observe(took);
            }
            Ok(()) => {}
            Err(error) => {
                self.metrics.lost.inc();
                return Err(error);
            }
        }
        self.next_offset = Some(offset + 1);
        self.connected = Some(connected);
        Ok(())
    }
}

/// A broker's partition and its leader.
fn target(image: &Image, topic: &str, node_id: i32) -> Result<(i32, BrokerId), Failure> {
    let mine = || {
        let topic = image.topic(topic)?;
        let partitions = topic.partitions.len().max(1);
        let index = (place(image, node_id)? % partitions) as i32;
        Some((index, topic.partition(index)?.leader))
    };
    let (index, leader) = mine().ok_or(Failure::NotThere)?;
    Ok((index, leader.ok_or(Failure::NoLeader)?))
}

/// Creates the topic, and gives it a partition for each broker.
async fn keep_topic(broker: &Broker) {
    let image = broker.quorum.image();
    let brokers = image.unfenced_brokers().count();
    let wanted = i32::try_from(brokers).unwrap_or(i32::MAX);
    // A topic that is created while the cluster comes up would have too few replicas for ever, and would be offline
    // whenever one broker is.
    let enough = broker.config.quorum.voters.len().clamp(1, REPLICAS);
    let name = topic(broker);
    let command = match image.topic(&name) {
        None if brokers >= enough => Command::CreateTopics {
            topics: vec![new_topic(broker, name, wanted, brokers)],
        },
        Some(topic) if (topic.partitions.len() as i32) < wanted => Command::CreatePartitions {
            topics: vec![NewPartitions {
                topic: name,
                count: wanted,
                assignment: None,
            }],
        },
        _ => return,
    };
    if let Err(error) = broker.quorum.propose(command, PATIENCE).await {
        tracing::debug!(%error, "the probe has no topic yet");
    }
}

fn topic(broker: &Broker) -> Str {
    Str::copy_from(&broker.config.metrics.probe_topic)
}

fn new_topic(broker: &Broker, name: Str, partitions: i32, brokers: usize) -> NewTopic {
    let replicas = brokers.min(REPLICAS);
    let majority = (replicas / 2 + 1).min(replicas).to_string();
    let mut configs: Vec<(String, String)> = CONFIGS
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect();
    configs.push(("min.insync.replicas".into(), majority));
    NewTopic {
        name,
        id: broker.env.random_uuid(),
        assignment: Assignment::Spread {
            partitions,
            replication_factor: replicas as i16,
        },
        configs,
    }
}

async fn connect(broker: &Broker, leader: BrokerId) -> Result<Connected, Failure> {
    let image = broker.quorum.image();
    let listener = &broker.config.listeners.inter_broker;
    let endpoint = image.broker(leader).and_then(|b| b.endpoint(listener));
    let endpoint = endpoint.ok_or(Failure::NoLeader)?;
    let open = || {
        Connection::open(
            &broker.env,
            &endpoint.host,
            endpoint.port,
            Str::from(format!("broker-{}-probe", broker.config.node_id)),
            ANSWER_MAX_BYTES,
            PATIENCE,
        )
    };
    Ok(Connected {
        leader,
        producer: open().await?,
        consumer: open().await?,
    })
}

/// Which one this broker is of all that are registered.
fn place(image: &Image, node_id: i32) -> Option<usize> {
    let mut ids: Vec<i32> = image.brokers().map(|broker| broker.id.0).collect();
    ids.sort_unstable();
    ids.iter().position(|id| *id == node_id)
}

/// Sends one record and gives its offset.
async fn send(
    broker: &Broker,
    metrics: &ProbeMetrics,
    producer: &mut Connection,
    topic: &Str,
    index: i32,
    began: Instant,
) -> Result<i64, Failure> {
    let mut batch = BatchBuilder::new(broker.env.wall_ms());
    let id = broker.config.node_id.to_string();
    batch.append(Some(id.as_bytes()), Some(b"probe"));
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX),
        topic_data: vec![TopicProduceData {
            name: topic.clone(),
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(Records::from(batch.build().bytes)),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let response = producer.call(&request, PRODUCE_VERSION, PATIENCE).await?;
    let mut topics = response.responses.into_iter();
    let answer = topics
        .next()
        .and_then(|topic| topic.partition_responses.into_iter().next());
    let answer = answer.ok_or(Failure::Refused(ErrorCode::UnknownServerError))?;
    check(answer.error_code)?;
    metrics.acked.inc();
    metrics.ack.observe(broker.env.now().duration_since(began));
    Ok(answer.base_offset)
}

/// Waits until there is something at `offset`.
async fn read(
    consumer: &mut Connection,
    topic: &Str,
    index: i32,
    offset: i64,
) -> Result<(), Failure> {
    let request = FetchRequest {
        max_wait_ms: FETCH_WAIT_MS,
        min_bytes: 1,
        max_bytes: 64 << 10,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.clone(),
            partitions: vec![FetchPartition {
                partition: index,
                fetch_offset: offset,
                partition_max_bytes: 64 << 10,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let response = consumer.call(&request, FETCH_VERSION, PATIENCE).await?;
    check(response.error_code)?;
    let mut topics = response.responses.into_iter();
    let found = topics
        .next()
        .and_then(|topic| topic.partitions.into_iter().next());
    let found = found.ok_or(Failure::Refused(ErrorCode::UnknownServerError))?;
    check(found.error_code)?;
    match found.records.is_some_and(|records| !records.is_empty()) {
        true => Ok(()),
        false => Err(Failure::Timeout),
    }
}

fn check(code: i16) -> Result<(), Failure> {
    match ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Ok(()),
        error => Err(Failure::Refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use engine::metadata::{Endpoint, Outcome, Registration};
    use wire::Uuid;

    use super::*;

    #[test]
    fn a_partition_without_a_leader_is_another_thing_than_a_topic_that_is_not_there_yet() {
        let mut image = Image::default();
        let mut apply = |command| {
            let (next, outcome) = image.apply(&command, image.index() + 1);
            image = next;
            (image.clone(), outcome.expect("it is accepted"))
        };
        let registered = apply(Command::RegisterBroker(Registration {
            broker: BrokerId(1),
            incarnation: Uuid([1; 16]),
            directory: Uuid([2; 16]),
            cluster_id: None,
            clean_epoch: None,
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: "localhost".into(),
                port: 9092,
            }],
            rack: None,
        }));
        let (_, Outcome::Registered { epoch, .. }) = registered else {
            panic!("{registered:?}");
        };
        let broker = BrokerId(1);
        let (image, _) = apply(Command::UnfenceBroker { broker, epoch });
        assert!(matches!(target(&image, "p", 1), Err(Failure::NotThere)));
        let topic = NewTopic {
            name: "p".into(),
            id: Uuid([3; 16]),
            assignment: Assignment::Given(vec![vec![broker]]),
            configs: vec![],
        };
        let topics = vec![topic];
        let (image, _) = apply(Command::CreateTopics { topics });
        assert!(matches!(target(&image, "p", 1), Ok((0, leader)) if leader == broker));
        let (image, _) = apply(Command::FenceBroker { broker, epoch });
        assert!(matches!(target(&image, "p", 1), Err(Failure::NoLeader)));
    }
}
