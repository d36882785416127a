//! Fetches from another replica what the disk has changed here. All that is below the high watermark is the same in
//! every replica that is in sync, so any of them will do.

use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionId};
use storage::Repair;
use wire::batch::{Batch, split};
use wire::messages::FetchRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use wire::{ErrorCode, Str};

use super::connection::{self, Connection};
use crate::config::Config;
use crate::env::{Env, Pool};

/// As fetchers.
const VERSION: i16 = 17;
/// Says that not only the leader may answer.
const ANY_REPLICA: i32 = -2;
/// For a connection, and for each answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond what was asked for: the first batch may be larger than any limit.
const ANSWER_MAX_BYTES: usize = 128 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Connection(#[from] connection::Error),
    #[error("the broker has no inter-broker listener")]
    Unknown,
    #[error("it answers {}", .0.name())]
    Refused(ErrorCode),
    #[error("it has nothing at offset {0}")]
    Nothing(i64),
    #[error(transparent)]
    Unfit(storage::Error),
    /// The log here cannot be repaired, whoever is asked.
    #[error(transparent)]
    Log(storage::Error),
}

/// The other replicas that surely have everything committed, the leader first. Nothing while this one may lack some of it
/// itself, or nobody leads.
pub fn peers(image: &Image, id: PartitionId, me: i32) -> Option<Vec<BrokerId>> {
    let me = BrokerId(me);
    let state = image.partition(id.topic, id.index)?;
    if state.leader.is_none() || !state.isr.contains(&me) {
        return None;
    }
    let mut peers: Vec<BrokerId> = state.isr.iter().copied().filter(|p| *p != me).collect();
    peers.sort_by_key(|peer| Some(*peer) != state.leader);
    Some(peers)
}

/// A replica to ask.
pub struct Source<'a> {
    pub env: &'a Env,
    pub config: &'a Config,
    /// In which it is in sync.
    pub image: &'a Image,
    pub id: PartitionId,
    pub peer: BrokerId,
}

impl Source<'_> {
    /// Takes what this replica has of what is wanted, as far as it fits.
    pub async fn fetch(&self, mut repair: Repair) -> (Repair, Result<(), Error>) {
        let mut connection = None;
        while let Some((from, _)) = repair.wanted() {
            let batches = match self.batches(&mut connection, from).await {
                Ok(batches) => batches,
                Err(error) => return (repair, Err(error)),
            };
            let take = move || {
                let taken = repair.take(&batches);
                (repair, taken)
            };
            let (back, taken) = self.env.blocking(Pool::Read, take).await;
            repair = back;
            match taken {
                Ok(()) if repair.wanted().is_some_and(|(now, _)| now == from) => {
                    return (repair, Err(Error::Nothing(from)));
                }
                Ok(()) => {}
                Err(error @ storage::Error::Unfit { .. }) => {
                    return (repair, Err(Error::Unfit(error)));
                }
                Err(error) => return (repair, Err(Error::Log(error))),
            }
        }
        (repair, Ok(()))
    }

    /// The whole batches that it has from `from` on, up to what fits into an answer.
    async fn batches(
        &self,
        connection: &mut Option<Connection>,
        from: i64,
    ) -> Result<Vec<Batch>, Error> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connect().await?),
        };
        let response = connection
            .call(&self.request(from), VERSION, PATIENCE)
            .await?;
        let mut partitions = response.responses.into_iter().flat_map(|t| t.partitions);
        let data = partitions.next().ok_or(Error::Nothing(from))?;
        match ErrorCode::from_code(data.error_code) {
            Some(ErrorCode::None) => {}
            code => {
                return Err(Error::Refused(
                    code.unwrap_or(ErrorCode::UnknownServerError),
                ));
            }
        }
        let records = data.records.map(|r| r.to_bytes()).unwrap_or_default();
        // The answer's limit may have cut the last one short. Whether they fit, the log decides.
        Ok(split(records).map_while(Result::ok).collect())
    }

    fn request(&self, from: i64) -> FetchRequest {
        let replication = &self.config.replication;
        let state = self.image.partition(self.id.topic, self.id.index);
        FetchRequest {
            replica_state: ReplicaState {
                replica_id: ANY_REPLICA,
                ..ReplicaState::default()
            },
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: replication.response_max_bytes,
            session_id: 0,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic_id: self.id.topic,
                partitions: vec![FetchPartition {
                    partition: self.id.index,
                    current_leader_epoch: state.map_or(-1, |state| state.leader_epoch.0),
                    fetch_offset: from,
                    partition_max_bytes: replication.fetch_max_bytes,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let listener = &self.config.listeners.inter_broker;
        let broker = self.image.broker(self.peer);
        let endpoint = broker.and_then(|b| b.endpoint(listener));
        let endpoint = endpoint.ok_or(Error::Unknown)?;
        let client_id = Str::from(format!("broker-{}-repair", self.config.node_id));
        let (host, port) = (&endpoint.host, endpoint.port);
        let opened = Connection::open(self.env, host, port, client_id, ANSWER_MAX_BYTES, PATIENCE);
        Ok(opened.await?)
    }
}
