//! The one owner of the Kafka consumer: polls without end, routes records, answers rebalances.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use telemetry::Readiness;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::context::{Context, Rebalance};
use super::metrics::Metrics;
use super::shared::{Command, LEAST_SHARE_BYTES, Level, Shared};
use super::{Partition, Settings, Sink, monitor, worker};
use crate::Record;

/// How long a revoked partition may finish the write under way. Well within the group's rebalance timeout.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long leaving the group may take when the process ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a seek that came too early is tried again.
const SEEK_RETRY: Duration = Duration::from_millis(50);
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);
/// After so many seeks in vain (a second) the partition is assigned anew.
const SEEKS_IN_VAIN: u32 = 20;
const COMMANDS: usize = 256;

/// An assigned partition.
struct Lane {
    stop: CancellationToken,
    worker: JoinHandle<()>,
    feed: Option<Feed>,
}

struct Feed {
    buffer: mpsc::Sender<Record>,
    level: Arc<Level>,
    /// The offset to go on from after a pause; what lies before has been routed.
    next_offset: i64,
}

/// Why a router has ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stopped,
    /// Another member has the group.instance.id, as the coordinator sees it: this consumer is of no more use.
    Fenced,
}

pub(super) struct Router<S> {
    shared: Arc<Shared<S>>,
    rebalances: mpsc::Receiver<Rebalance>,
    commands: mpsc::Receiver<Command>,
    lanes: BTreeMap<Partition, Lane>,
    /// Partitions whose seek came before librdkafka was ready for it, and how often it was tried.
    seeking: BTreeMap<Partition, u32>,
    handing_over: JoinSet<Vec<Partition>>,
    /// Cancelled when a worker panics: its partition would never move again, and nobody would know.
    broken: CancellationToken,
}

/// Cancels its token when a panic passes by.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

impl<S: Sink> Router<S> {
    pub(super) fn new(
        settings: Settings,
        sink: Arc<S>,
        metrics: Metrics,
        readiness: Readiness,
    ) -> anyhow::Result<Router<S>> {
        let part = format!("{} group", sink.name());
        let (context, rebalances) = Context::new(part, readiness.clone(), metrics.clone());
        let mut config = settings
            .kafka
            .consumer(&settings.group_id, &settings.group_id);
        // How the membership is: librdkafka tells it with its statistics only.
        config.set("statistics.interval.ms", "1000");
        if let Some(instance_id) = &settings.instance_id {
            config.set("group.instance.id", instance_id);
        }
        let consumer: StreamConsumer<Context> = config
            .create_with_context(context)
            .context("cannot create a Kafka consumer")?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let shared = Shared {
            budget: Budget::new(settings.batch_bytes),
            settings,
            sink,
            metrics,
            readiness,
            consumer: Arc::new(consumer),
            commands,
            restart: watch::Sender::new(0),
            positions: Mutex::default(),
        };
        Ok(Router {
            shared: Arc::new(shared),
            rebalances,
            commands: received,
            lanes: BTreeMap::new(),
            seeking: BTreeMap::new(),
            handing_over: JoinSet::new(),
            broken: CancellationToken::new(),
        })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<End> {
        let consumer = self.shared.consumer.clone();
        let topics: Vec<&str> = self
            .shared
            .settings
            .topics
            .iter()
            .map(String::as_str)
            .collect();
        consumer.subscribe(&topics).context("cannot subscribe")?;
        let monitor = tokio::spawn(monitor::run(self.shared.clone(), stop.clone()));
        let mut seek_again = tokio::time::interval(SEEK_RETRY);
        seek_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let broken = self.broken.clone();
        let outcome = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(End::Stopped),
                () = broken.cancelled() => break Err(anyhow::anyhow!("a worker panicked, which is a bug: see above")),
                Some(event) = self.rebalances.recv() => self.on_rebalance(event),
                Some(handed_over) = self.handing_over.join_next() => self.on_handed_over(handed_over),
                Some(command) = self.commands.recv() => self.on_command(command),
                _ = seek_again.tick(), if !self.seeking.is_empty() => self.seek_again(),
                received = consumer.recv() => match received {
                    Ok(message) => self.on_message(&message),
                    Err(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)) => break Ok(End::Fenced),
                    Err(error) => if let Err(fatal) = self.on_error(error) { break Err(fatal) },
                },
            }
        };
        drop(consumer);
        monitor.abort();
        self.close().await;
        outcome
    }

    fn on_rebalance(&mut self, event: Rebalance) {
        let sink = self.shared.sink.name();
        match event {
            Rebalance::Assigned(partitions) => {
                tracing::info!(sink, partitions = %names(&partitions), "assigned");
                self.assign(&partitions);
            }
            Rebalance::Revoked(partitions) => {
                tracing::info!(sink, partitions = %names(&partitions), "revoked");
                let workers = partitions
                    .iter()
                    .filter_map(|partition| self.end_lane(partition))
                    .collect();
                self.handing_over.spawn(async move {
                    wait_for(workers, HAND_OVER_TIMEOUT).await;
                    partitions
                });
            }
        }
    }

    /// Takes the partitions over, paused. The start offset does not matter: every worker seeks first. The log start is
    /// safe: should a seek ever be lost, records come twice (and are dropped) rather than not at all.
    fn assign(&mut self, partitions: &[Partition]) {
        let list = list(partitions, Offset::Beginning);
        let consumer = &self.shared.consumer;
        if let Err(error) = consumer
            .incremental_assign(&list)
            .and_then(|()| consumer.pause(&list))
        {
            tracing::warn!(%error, "cannot take partitions over");
        }
        for partition in partitions {
            let stop = CancellationToken::new();
            let alarm = Alarm(self.broken.clone());
            let work = worker::run(self.shared.clone(), partition.clone(), stop.clone());
            let worker = tokio::spawn(async move {
                let _alarm = alarm;
                work.await;
            });
            self.lanes.insert(
                partition.clone(),
                Lane {
                    stop,
                    worker,
                    feed: None,
                },
            );
        }
    }

    fn end_lane(&mut self, partition: &Partition) -> Option<JoinHandle<()>> {
        self.seeking.remove(partition);
        let lane = self.lanes.remove(partition)?;
        lane.stop.cancel();
        Some(lane.worker)
    }

    fn on_handed_over(&mut self, handed_over: Result<Vec<Partition>, tokio::task::JoinError>) {
        let Ok(partitions) = handed_over else { return };
        for partition in &partitions {
            self.shared.metrics.forget(partition);
            self.shared
                .readiness
                .forget(&worker::part(self.shared.sink.name(), partition));
            self.shared.positions().remove(partition);
        }
        if let Err(error) = self
            .shared
            .consumer
            .incremental_unassign(&list(&partitions, Offset::Invalid))
        {
            tracing::warn!(%error, "cannot give partitions back");
        }
    }

    fn on_command(&mut self, command: Command) {
        let partition = match command {
            Command::Start {
                partition,
                position,
                buffer,
                level,
            } => {
                let Some(lane) = self.lanes.get_mut(&partition) else {
                    return;
                };
                lane.feed = Some(Feed {
                    buffer,
                    level,
                    next_offset: position,
                });
                partition
            }
            Command::Resume(partition) => partition,
        };
        self.seek(partition);
    }

    fn seek_again(&mut self) {
        for (partition, tries) in std::mem::take(&mut self.seeking) {
            if tries % SEEKS_IN_VAIN == 0 {
                self.assign_anew(&partition);
            }
            self.try_seek(partition, tries + 1);
        }
    }

    /// librdkafka does not seek in a partition that it has stopped fetching because its position was out of range: taking
    /// it out of the assignment and in again starts it. Not during a rebalance, for which this would be the answer.
    fn assign_anew(&self, partition: &Partition) {
        let feed = self
            .lanes
            .get(partition)
            .and_then(|lane| lane.feed.as_ref());
        let Some(feed) =
            feed.filter(|_| self.handing_over.is_empty() && self.rebalances.is_empty())
        else {
            return;
        };
        let one = std::slice::from_ref(partition);
        let consumer = &self.shared.consumer;
        if let Err(error) = consumer
            .incremental_unassign(&list(one, Offset::Invalid))
            .and_then(|()| {
                consumer.incremental_assign(&list(one, Offset::Offset(feed.next_offset)))
            })
        {
            tracing::warn!(%partition, %error, "cannot start fetching again");
        }
    }

    /// Fetching goes on from the feed's offset; what librdkafka has fetched ahead is dropped.
    fn seek(&mut self, partition: Partition) {
        self.seeking.remove(&partition);
        self.try_seek(partition, 1);
    }

    fn try_seek(&mut self, partition: Partition, tries: u32) {
        let Some(feed) = self
            .lanes
            .get(&partition)
            .and_then(|lane| lane.feed.as_ref())
        else {
            return;
        };
        let consumer = &self.shared.consumer;
        let to = Offset::Offset(feed.next_offset);
        let sought = consumer.seek(&partition.topic, partition.index, to, SEEK_TIMEOUT);
        if let Err(error) = sought.and_then(|()| {
            consumer.resume(&list(std::slice::from_ref(&partition), Offset::Invalid))
        }) {
            tracing::debug!(%partition, %error, "cannot seek yet");
            self.seeking.insert(partition, tries);
        }
    }

    fn on_message(&mut self, message: &BorrowedMessage<'_>) {
        let partition = Partition {
            topic: message.topic().into(),
            index: message.partition(),
        };
        let share =
            (self.shared.settings.buffer_bytes / self.lanes.len().max(1)).max(LEAST_SHARE_BYTES);
        let Some(lane) = self.lanes.get_mut(&partition) else {
            return;
        };
        let Some(feed) = lane.feed.as_mut() else {
            return;
        };
        let record = Record::from_message(message);
        if record.offset < feed.next_offset {
            return;
        }
        let (offset, bytes) = (record.offset, record.size_bytes());
        let held = feed.level.on_routed(bytes);
        let full = match feed.buffer.try_send(record) {
            Ok(()) => {
                self.shared.metrics.on_received(&partition);
                feed.next_offset = offset + 1;
                held >= share || feed.buffer.capacity() == 0
            }
            Err(refused) => {
                feed.level.on_refused(bytes);
                if matches!(refused, mpsc::error::TrySendError::Closed(_)) {
                    // The worker has stopped, or starts anew and will say where.
                    lane.feed = None;
                }
                true
            }
        };
        if full {
            self.pause(partition);
        }
    }

    fn pause(&mut self, partition: Partition) {
        if let Err(error) = self
            .shared
            .consumer
            .pause(&list(std::slice::from_ref(&partition), Offset::Invalid))
        {
            tracing::warn!(%partition, %error, "cannot pause");
        }
        let Some(feed) = self
            .lanes
            .get(&partition)
            .and_then(|lane| lane.feed.as_ref())
        else {
            return;
        };
        self.shared.metrics.on_pause(&partition);
        if feed.level.on_paused() {
            self.seek(partition);
        }
    }

    /// # Errors
    /// What the client cannot recover from.
    fn on_error(&mut self, error: KafkaError) -> anyhow::Result<()> {
        match error {
            KafkaError::MessageConsumptionFatal(code) => {
                anyhow::bail!("the Kafka consumer failed for good: {code}")
            }
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ) => {
                tracing::warn!(
                    sink = self.shared.sink.name(),
                    "a position lies outside its log: checking all of them"
                );
                self.shared
                    .restart
                    .send_modify(|generation| *generation += 1);
            }
            other => tracing::debug!(error = %other, "Kafka consumer"),
        }
        Ok(())
    }

    async fn close(mut self) {
        let partitions: Vec<Partition> = self.lanes.keys().cloned().collect();
        let workers = partitions
            .iter()
            .filter_map(|partition| self.end_lane(partition))
            .collect();
        wait_for(workers, HAND_OVER_TIMEOUT).await;
        while self.handing_over.join_next().await.is_some() {}
        self.shared.consumer.context().close();
        let sink = self.shared.sink.name();
        // Dropping the consumer leaves the group, which blocks.
        let left = tokio::task::spawn_blocking(move || drop(self));
        if tokio::time::timeout(CLOSE_TIMEOUT, left).await.is_err() {
            tracing::warn!(
                sink,
                "the group could not be left in time; its session will expire"
            );
        }
    }
}

/// Waits for the workers to end by themselves, and ends those that do not.
async fn wait_for(workers: Vec<JoinHandle<()>>, timeout: Duration) {
    let aborts: Vec<_> = workers.iter().map(JoinHandle::abort_handle).collect();
    let mut all = std::pin::pin!(join_all(workers));
    if tokio::time::timeout(timeout, &mut all).await.is_err() {
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
        all.await;
    }
}

fn names(partitions: &[Partition]) -> String {
    partitions
        .iter()
        .map(Partition::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

fn list(partitions: &[Partition], offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let added: KafkaResult<()> =
            list.add_partition_offset(&partition.topic, partition.index, offset);
        added.expect("a logical offset or one of a record is always valid");
    }
    list
}
