//! The fetcher of one source broker: all partitions that follow it, in one request at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::epochs::EpochEnd;
use engine::ids::{BrokerId, LeaderEpoch, Offset};
use engine::metadata::PartitionId;
use engine::replica::FetchPosition;
use futures::future::{Either, join_all, select};
use parking_lot::Mutex;
use storage::DeletedSegments;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use wire::messages::FetchResponse;
use wire::messages::fetch_response::PartitionData;
use wire::{ErrorCode, Str};

use super::connection::{Connection, Error};
use super::session::{Positions, Session, Terms};
use crate::config::Config;
use crate::env::{Env, Pool};
use crate::partition::{Answer, Followed, Partition, is_about_leadership};
use crate::quorum::Quorum;

/// Topic ids, and the diverging epoch without a request of its own.
const VERSION: i16 = 17;
/// Beyond what was asked for: the first batch of a partition may be larger than any limit.
const ANSWER_MAX_BYTES: usize = 128 << 20;
/// Rest of a partition whose own log has failed.
const LOG_BACKOFF: Duration = Duration::from_secs(2);
/// Between two looks for something to fetch, should a wake-up ever be missed.
const IDLE: Duration = Duration::from_secs(1);

/// What a fetcher has to fetch, changed by others.
#[derive(Default)]
pub(super) struct Assigned {
    partitions: Mutex<Arc<BTreeMap<PartitionId, Arc<Partition>>>>,
    /// Another set of partitions, or another leader epoch of one.
    changed: Notify,
    /// A partition that had nothing to ask has now.
    ready: Arc<Notify>,
}

impl Assigned {
    pub fn assign(&self, partitions: Vec<Arc<Partition>>) {
        for partition in &partitions {
            partition.set_fetcher(Some(self.ready.clone()));
        }
        *self.partitions.lock() = Arc::new(partitions.into_iter().map(|p| (p.id(), p)).collect());
        self.changed.notify_one();
    }
}

pub(super) struct Fetcher {
    env: Env,
    config: Arc<Config>,
    quorum: Arc<Quorum>,
    leader: BrokerId,
    assigned: Arc<Assigned>,
    connection: Option<Connection>,
    session: Session,
    /// Partitions that rest after an error.
    resting: BTreeMap<PartitionId, Instant>,
    /// What was asked last, so that a change can be told from a repetition.
    asked: Positions,
    /// Segments that are out of their logs, since the leader's begin later; their files are still there.
    deleted: Vec<DeletedSegments>,
}

impl Fetcher {
    pub fn new(
        env: &Env,
        config: &Arc<Config>,
        quorum: &Arc<Quorum>,
        leader: BrokerId,
        assigned: Arc<Assigned>,
    ) -> Fetcher {
        Fetcher {
            env: env.clone(),
            config: config.clone(),
            quorum: quorum.clone(),
            leader,
            assigned,
            connection: None,
            session: Session::default(),
            resting: BTreeMap::new(),
            asked: Positions::new(),
            deleted: Vec::new(),
        }
    }

    pub async fn run(mut self) {
        loop {
            let partitions = self.assigned.partitions.lock().clone();
            let wanted = self.wanted(&partitions);
            if wanted.is_empty() {
                self.idle().await;
                continue;
            }
            match self.fetch(&wanted).await {
                Ok(Some(response)) => self.take(&partitions, response).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(leader = self.leader.0, %error, "cannot fetch from the leader");
                    self.hang_up();
                    self.rest().await;
                }
            }
        }
    }

    /// What to ask for now: everything that follows this broker and does not rest.
    fn wanted(&mut self, partitions: &BTreeMap<PartitionId, Arc<Partition>>) -> Positions {
        let now = self.env.now();
        self.resting.retain(|_, until| *until > now);
        let ready = partitions
            .iter()
            .filter(|(id, _)| !self.resting.contains_key(id));
        let position = |p: &Partition| p.fetch_position().filter(|at| at.leader == self.leader);
        ready
            .filter_map(|(id, p)| Some((*id, position(p)?)))
            .collect()
    }

    /// Waits until there may be something to ask for.
    async fn idle(&mut self) {
        let rested = self
            .resting
            .values()
            .min()
            .map(|until| until.duration_since(self.env.now()));
        let wait = rested.unwrap_or(IDLE).min(IDLE);
        let changed = std::pin::pin!(self.assigned.changed.notified());
        let ready = std::pin::pin!(self.assigned.ready.notified());
        // Whatever ends the wait, the partitions are looked at again.
        let _ = timeout(wait, select(changed, ready)).await;
    }

    async fn rest(&mut self) {
        let _ = timeout(
            self.config.replication.backoff,
            self.assigned.changed.notified(),
        )
        .await;
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.session = Session::default();
    }

    /// One request and its answer; none if other partitions are to be fetched meanwhile.
    async fn fetch(&mut self, wanted: &Positions) -> Result<Option<FetchResponse>, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let patience = self.config.replication.fetch_wait + self.config.replication.socket_timeout;
        let request = self.session.request(wanted, &self.terms());
        self.asked.clone_from(wanted);
        let answered = {
            let mut call = std::pin::pin!(connection.call(&request, VERSION, patience));
            loop {
                let changed = std::pin::pin!(self.assigned.changed.notified());
                match select(call.as_mut(), changed).await {
                    Either::Left((response, _)) => break Some(response?),
                    // The leader would let the new partitions wait until it has something of the old ones.
                    Either::Right(_) if self.is_other() => break None,
                    Either::Right(_) => {}
                }
            }
        };
        match &answered {
            Some(_) => self.connection = Some(connection),
            None => self.hang_up(),
        }
        Ok(answered)
    }

    /// Whether something has to be asked that the request on the way does not ask.
    fn is_other(&self) -> bool {
        let partitions = self.assigned.partitions.lock().clone();
        partitions.iter().any(|(id, partition)| {
            !self.resting.contains_key(id)
                && partition
                    .fetch_position()
                    .is_some_and(|at| at.leader == self.leader && self.asked.get(id) != Some(&at))
        })
    }

    async fn connect(&mut self) -> Result<Connection, Error> {
        self.session = Session::default();
        let image = self.quorum.image();
        let listener = &self.config.listeners.inter_broker;
        let endpoint = image.broker(self.leader).and_then(|b| b.endpoint(listener));
        let endpoint = endpoint.ok_or_else(|| {
            std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "the leader has no inter-broker listener",
            )
        })?;
        let client_id = Str::from(format!("broker-{}-fetcher", self.config.node_id));
        let patience = self.config.replication.socket_timeout;
        Connection::open(
            &self.env,
            &endpoint.host,
            endpoint.port,
            client_id,
            ANSWER_MAX_BYTES,
            patience,
        )
        .await
    }

    fn terms(&self) -> Terms {
        let replication = &self.config.replication;
        Terms {
            replica: self.config.node_id,
            broker_epoch: self.quorum.broker_epoch(),
            max_wait_ms: i32::try_from(replication.fetch_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: replication.fetch_min_bytes,
            max_bytes: replication.response_max_bytes,
            partition_max_bytes: replication.fetch_max_bytes,
        }
    }

    /// Carries out an answer, and makes durable what has to be before the next request says that it is there.
    async fn take(
        &mut self,
        partitions: &BTreeMap<PartitionId, Arc<Partition>>,
        response: FetchResponse,
    ) {
        if response.error_code != 0 {
            // The session is gone; the next request begins another.
            self.session = Session::default();
            return;
        }
        self.session.on_answer(response.session_id);
        let asked = std::mem::take(&mut self.asked);
        let mut appended = Vec::new();
        for topic in response.responses {
            for data in topic.partitions {
                let id = PartitionId {
                    topic: topic.topic_id,
                    index: data.partition_index,
                };
                if let (Some(partition), Some(asked)) = (partitions.get(&id), asked.get(&id))
                    && self.take_one(partition, asked, data)
                {
                    appended.push(partition);
                }
            }
        }
        let unsynced = appended
            .into_iter()
            .filter(|p| p.fetch_position().is_none());
        let env = &self.env;
        let synced = join_all(unsynced.map(|p| async move { (p, p.flush(env).await) })).await;
        for (partition, result) in synced {
            if let Err(error) = result {
                tracing::error!(
                    topic = %partition.topic(), partition = partition.id().index, %error, "cannot fsync"
                );
                self.let_rest_long(partition.id());
            }
        }
        self.remove_deleted().await;
    }

    async fn remove_deleted(&mut self) {
        if self.deleted.is_empty() {
            return;
        }
        let deleted = std::mem::take(&mut self.deleted);
        let remove = move || deleted.into_iter().try_for_each(DeletedSegments::remove);
        if let Err(error) = self.env.blocking(Pool::Sync, remove).await {
            tracing::warn!(%error, "cannot remove deleted segments; the next start tries again");
        }
    }

    /// Returns whether records were appended.
    fn take_one(
        &mut self,
        partition: &Partition,
        asked: &FetchPosition,
        data: PartitionData,
    ) -> bool {
        let code = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
        let answer = match code {
            ErrorCode::None => answer(data),
            ErrorCode::OffsetOutOfRange => Answer::OutOfRange {
                log_start: Offset(data.log_start_offset),
            },
            code => {
                if !is_about_leadership(code) {
                    tracing::warn!(
                        topic = %partition.topic(), partition = partition.id().index,
                        leader = self.leader.0, error = code.name(), "cannot replicate"
                    );
                }
                self.let_rest(partition.id());
                return false;
            }
        };
        match partition.follow(asked, answer) {
            Ok((followed, deleted)) => {
                if !deleted.is_empty() {
                    self.deleted.push(deleted);
                }
                matches!(followed, Followed::Appended { bytes } if bytes > 0)
            }
            Err(error) => {
                tracing::error!(
                    topic = %partition.topic(), partition = partition.id().index, leader = self.leader.0, %error,
                    "cannot take what the leader has sent"
                );
                self.let_rest_long(partition.id());
                false
            }
        }
    }

    /// The log itself refuses: a full disk, for example, does not get room within milliseconds.
    fn let_rest_long(&mut self, id: PartitionId) {
        self.resting.insert(id, self.env.now() + LOG_BACKOFF);
    }

    fn let_rest(&mut self, id: PartitionId) {
        self.resting
            .insert(id, self.env.now() + self.config.replication.backoff);
    }
}

fn answer(data: PartitionData) -> Answer {
    if data.diverging_epoch.end_offset >= 0 {
        return Answer::Diverging(EpochEnd {
            epoch: LeaderEpoch(data.diverging_epoch.epoch),
            end: Offset(data.diverging_epoch.end_offset),
        });
    }
    Answer::Records {
        records: data.records.map(|r| r.to_bytes()).unwrap_or_default(),
        high_watermark: Offset(data.high_watermark),
        log_start: Offset(data.log_start_offset),
    }
}
