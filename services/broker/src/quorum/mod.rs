//! The metadata quorum: one Raft-replicated log among the controllers, applied to an image that every broker reads.
//!
//! Stages of a node's life: [`Quorum::start`] opens the log, listens and takes part in the consensus;
//! [`Quorum::cluster_id`] waits for the cluster to be named; [`Quorum::join`] registers the broker and begins its
//! heartbeats; [`Quorum::shutdown`] hands leaderships over and leaves.
//!
//! - [`types`]: openraft's types and runtime; [`log`], [`machine`]: its storage; [`network`]: its calls.
//! - [`frame`], [`message`], [`peer`], [`server`]: the protocol of the controller listener.
//! - [`controller`]: the active controller's watch over brokers; [`absence`]: who is gone; [`succession`]: how the
//!   office passes on.
//! - [`membership`]: who votes; [`observer`]: brokers that do not; [`liveness`]: a broker's registration and
//!   heartbeats.

mod absence;
mod codec;
mod controller;
mod frame;
mod liveness;
mod log;
mod machine;
mod membership;
mod message;
mod network;
mod node;
mod observer;
mod peer;
mod server;
#[cfg(test)]
mod storage_tests;
mod succession;
mod types;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{Command, Image, Outcome, Rejection};
use openraft::SnapshotPolicy;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::{ErrorCode, Str, Uuid};

pub use liveness::{Joining, StallProbe};

use self::log::Log;
use self::machine::{Machine, Published};
use self::message::{Refusal, Reply, Request};
use self::network::{Network, Strangers};
use self::node::{Node, broker_id, node_id};
use self::peer::Peer;
use self::types::{Raft, SEED};
use crate::config::Config;
use crate::env::{Env, Listener, Plane, Pool};

/// The directory of the metadata log within `metadata.log.dir`.
pub const DIRECTORY: &str = "__cluster_metadata-0";
/// Says whose the directory is.
const IDENTITY_FILE: &str = "identity";
/// A snapshot is made after so many entries.
const SNAPSHOT_ENTRIES: u64 = 5_000;
/// Entries that are kept although a snapshot has them, for followers that are a little behind.
const KEPT_ENTRIES: u64 = 1_000;
/// The largest file of the log.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Parts in which a snapshot is sent.
const SNAPSHOT_PART_BYTES: u64 = 8 << 20;
/// Between two looks at the reserve.
const RESERVE_CHECK: Duration = Duration::from_secs(60);
/// How long handing over leaderships may take.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Why something cannot be had of the quorum.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The active controller has refused it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No active controller has answered in time. Whether the command was carried out is unknown.
    #[error("the active controller does not answer: {0}")]
    Unavailable(String),
    /// Another process with this node id is alive.
    #[error("another broker with this node.id is running")]
    Duplicate,
    /// The files cannot be used.
    #[error("metadata log: {0}")]
    Storage(#[from] io::Error),
    /// The consensus could not start.
    #[error("metadata quorum: {0}")]
    Consensus(String),
}

impl Error {
    /// What Kafka's protocol calls it.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Error::Rejected(rejection) => rejection.error_code(),
            Error::Unavailable(_) => ErrorCode::RequestTimedOut,
            Error::Duplicate => ErrorCode::DuplicateBrokerRegistration,
            Error::Storage(_) | Error::Consensus(_) => ErrorCode::UnknownServerError,
        }
    }
}

impl From<peer::Error> for Error {
    fn from(error: peer::Error) -> Error {
        match error {
            peer::Error::Refused(Refusal::Rejected(rejection)) => Error::Rejected(rejection),
            peer::Error::Refused(Refusal::DuplicateBroker) => Error::Duplicate,
            other => Error::Unavailable(other.to_string()),
        }
    }
}

/// Whose a metadata directory is.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    node_id: i32,
    directory: [u8; 16],
}

/// This node's part in the metadata quorum.
pub struct Quorum {
    node: Arc<Node>,
    incarnation: Uuid,
    epoch: Mutex<Option<BrokerEpoch>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Quorum {
    /// Opens the metadata log, listens for the other controllers and takes part in the consensus.
    ///
    /// # Errors
    /// When the directory is another node's, is damaged other than by a torn tail, or the listener cannot be bound.
    pub async fn start(env: Env, config: Arc<Config>) -> Result<Arc<Quorum>, Error> {
        let is_voter = config.quorum.voters.iter().any(|v| v.id == config.node_id);
        let dir = config.log.metadata_dir.join(DIRECTORY);
        let published = Arc::new(Published::new());
        let opening = Opening {
            env: env.clone(),
            config: config.clone(),
            published: published.clone(),
        };
        let opened = env
            .blocking(Pool::Control, move || opening.open(&dir, is_voter))
            .await?;
        let listener = if is_voter {
            Some(listen(&env, &config).await?)
        } else {
            None
        };
        let strangers = Strangers::default();
        let log = opened.storage.as_ref().map(|(log, _)| log.clone());
        let raft = match opened.storage {
            Some((log, machine)) => Some(
                start_raft(
                    &env,
                    &config,
                    opened.directory,
                    strangers.clone(),
                    log,
                    machine,
                )
                .await?,
            ),
            None => None,
        };
        let voters = config.quorum.voters.iter();
        let peers = voters.map(|v| {
            (
                node_id(v.id),
                Peer::new(env.clone(), v.host.clone(), v.port),
            )
        });
        let node = Arc::new(Node {
            id: node_id(config.node_id),
            directory: opened.directory,
            peers: peers.collect(),
            published,
            strangers,
            raft,
            log,
            controller: Default::default(),
            inbound: Default::default(),
            hint: AtomicU64::new(u64::MAX),
            stopping: AtomicBool::new(false),
            membership_turn: Arc::default(),
            config,
            env,
        });
        let incarnation = node.env.random_uuid();
        let quorum = Quorum {
            node,
            incarnation,
            epoch: Mutex::default(),
            tasks: Mutex::default(),
        };
        quorum.begin(listener);
        Ok(Arc::new(quorum))
    }

    fn begin(&self, listener: Option<Box<dyn Listener>>) {
        let node = &self.node;
        let mut tasks = self.tasks.lock();
        let mut spawn = |name, task: futures::future::BoxFuture<'static, ()>| {
            tasks.push(node.env.spawn(Plane::Control, name, task));
        };
        match listener {
            Some(listener) => {
                spawn("quorum-server", Box::pin(node.clone().run_server(listener)));
                spawn("quorum-entry", Box::pin(node.clone().enter_quorum()));
                spawn("quorum-reserve", Box::pin(node.clone().keep_reserve()));
                spawn("quorum-compaction", Box::pin(node.clone().keep_compact()));
                spawn("quorum-controller", Box::pin(node.clone().run_controller()));
            }
            None => spawn("quorum-observer", Box::pin(node.clone().run_observer())),
        }
    }

    /// The newest metadata. Never blocks.
    pub fn image(&self) -> Arc<Image> {
        self.node.image()
    }

    /// Sees the newest metadata and each later state, of which some may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<Image>> {
        self.node.published.watch()
    }

    /// The id of the metadata directory, made at its first use.
    pub fn directory_id(&self) -> Uuid {
        Uuid(self.node.directory)
    }

    /// Whether this node is the active controller.
    pub fn is_active_controller(&self) -> bool {
        self.node.active_term().is_some()
    }

    /// The active controller, as far as this node knows.
    pub fn controller(&self) -> Option<BrokerId> {
        self.node.leader().map(broker_id)
    }

    /// The voters of the quorum with their directories, as this node knows them; none on an observer.
    pub fn voters(&self) -> Vec<(BrokerId, Uuid)> {
        let Some(raft) = &self.node.raft else {
            return Vec::new();
        };
        let metrics = raft.metrics();
        let m = metrics.borrow();
        let membership = m.membership_config.membership();
        let of = |id: u64| {
            membership
                .get_node(&id)
                .map(|n| (broker_id(id), Uuid(n.directory)))
        };
        membership.voter_ids().filter_map(of).collect()
    }

    /// The epoch of this broker's registration; none before [`Quorum::join`].
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        let id = BrokerId(self.node.config.node_id);
        // After a registration that the heartbeats have repeated, the image knows better.
        let image = self.image();
        let current = image
            .broker(id)
            .filter(|b| b.incarnation == self.incarnation)
            .map(|b| b.epoch);
        current.or(*self.epoch.lock())
    }

    /// Waits until the cluster has its id.
    pub async fn cluster_id(&self, deadline: Duration) -> Result<Str, Error> {
        let mut images = self.watch();
        let named = timeout(deadline, images.wait_for(|i| i.cluster_id().is_some())).await;
        let image = named.ok().and_then(Result::ok).map(|i| i.clone());
        image
            .and_then(|i| i.cluster_id().cloned())
            .ok_or_else(|| Error::Unavailable("the quorum has not formed".into()))
    }

    /// Registers this broker and begins its heartbeats. Call it when the logs are open and the listeners are bound.
    /// The broker is fenced until it has caught up with the metadata: see [`Quorum::unfenced`].
    pub async fn join(&self, joining: Joining) -> Result<BrokerEpoch, Error> {
        let deadline = self.node.config.quorum.registration_timeout;
        let epoch = self.node.join(&joining, self.incarnation, deadline).await?;
        *self.epoch.lock() = Some(epoch);
        let beats = self
            .node
            .clone()
            .run_heartbeats(joining, self.incarnation, epoch);
        let task = self
            .node
            .env
            .spawn(Plane::Control, "quorum-heartbeats", beats);
        self.tasks.lock().push(task);
        Ok(epoch)
    }

    /// Waits until this broker is not fenced.
    pub async fn unfenced(&self, deadline: Duration) -> Result<(), Error> {
        let id = BrokerId(self.node.config.node_id);
        let incarnation = self.incarnation;
        let mut images = self.watch();
        let served = images.wait_for(|i| {
            i.broker(id)
                .is_some_and(|b| !b.fenced && b.incarnation == incarnation)
        });
        let done = timeout(deadline, served).await.is_ok_and(|r| r.is_ok());
        done.then_some(())
            .ok_or_else(|| Error::Unavailable("the broker is still fenced".into()))
    }

    /// Has a command carried out by the active controller, wherever it is, trying again until `deadline` is over.
    ///
    /// Where an attempt was left without an answer, the command may be carried out twice: each is made so that the
    /// second time does no harm. On return this node's own image may still lack the effect: see
    /// [`Quorum::wait_for`].
    pub async fn propose(&self, command: Command, deadline: Duration) -> Result<Outcome, Error> {
        match self
            .node
            .ask_controller(&Request::Propose(command), deadline)
            .await?
        {
            Reply::Proposed(outcome) => Ok(outcome?),
            _ => Err(Error::Unavailable(
                "the answer does not fit the request".into(),
            )),
        }
    }

    /// Waits until this node's image satisfies `condition`; says whether it did in time.
    pub async fn wait_for(
        &self,
        deadline: Duration,
        mut condition: impl FnMut(&Image) -> bool,
    ) -> bool {
        let mut images = self.watch();
        timeout(deadline, images.wait_for(|i| condition(i)))
            .await
            .is_ok_and(|r| r.is_ok())
    }

    /// Waits until the consensus cannot go on: its log could not be written. The process must end then.
    pub async fn failed(&self) -> String {
        let Some(raft) = &self.node.raft else {
            return std::future::pending().await;
        };
        let mut metrics = raft.metrics();
        let ended = metrics.wait_for(|m| m.running_state.is_err()).await;
        match ended {
            Ok(m) => m
                .running_state
                .clone()
                .err()
                .map_or_else(String::new, |e| e.to_string()),
            Err(_) => "the consensus has ended".to_owned(),
        }
    }

    /// Hands over: this broker's leaderships, then, if it is the active controller, that office too; then leaves.
    pub async fn shutdown(&self) {
        self.node.stopping.store(true, Ordering::Relaxed);
        if self.node.config.quorum.controlled_shutdown {
            self.hand_over().await;
            self.node.resign().await;
        }
        for task in std::mem::take(&mut *self.tasks.lock()) {
            task.abort();
        }
        if let Some(raft) = &self.node.raft
            && let Err(error) = raft.shutdown().await
        {
            tracing::warn!(%error, "the consensus did not end in order");
        }
    }

    async fn hand_over(&self) {
        let (broker, Some(epoch)) = (BrokerId(self.node.config.node_id), self.broker_epoch())
        else {
            return;
        };
        match self
            .propose(Command::ShutDownBroker { broker, epoch }, HAND_OVER)
            .await
        {
            Ok(Outcome::ShuttingDown {
                remaining_leaderships,
            }) => {
                tracing::info!(remaining_leaderships, "leaderships handed over");
                // Followed by the image, so that this broker stops leading before it closes its connections.
                self.wait_for(HAND_OVER, |i| {
                    i.broker(broker).is_none_or(|b| b.shutting_down)
                })
                .await;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "leaderships could not be handed over"),
        }
    }
}

impl Node {
    /// Keeps the file that makes room for the metadata log on a full disk.
    async fn keep_reserve(self: Arc<Self>) {
        let Some(log) = self.log.clone() else { return };
        loop {
            let filling = log.clone();
            if let Err(error) = self
                .env
                .blocking(Pool::Control, move || filling.fill_reserve())
                .await
            {
                tracing::warn!(%error, "no reserve for the metadata log");
            }
            tokio::time::sleep(RESERVE_CHECK).await;
        }
    }
}

impl Node {
    /// Has a snapshot made when the log has grown by the configured bytes; openraft does so by number of entries.
    async fn keep_compact(self: Arc<Self>) {
        let (Some(raft), Some(log)) = (&self.raft, &self.log) else {
            return;
        };
        let mut applied = raft.data_metrics();
        loop {
            // An error means that the consensus has ended.
            if applied.changed().await.is_err() {
                return;
            }
            if log.take_growth(self.config.quorum.snapshot_bytes)
                && raft.trigger().snapshot().await.is_err()
            {
                return;
            }
        }
    }
}

/// What has to be read before the consensus can start.
struct Opening {
    env: Env,
    config: Arc<Config>,
    published: Arc<Published>,
}

struct Opened {
    directory: [u8; 16],
    storage: Option<(Log, Machine)>,
}

impl Opening {
    fn limits(&self) -> log::Limits {
        let config = &self.config.quorum;
        log::Limits {
            segment_bytes: config.snapshot_bytes.min(SEGMENT_BYTES),
            reserve_bytes: config.reserve_bytes,
        }
    }

    fn open(&self, dir: &Path, is_voter: bool) -> io::Result<Opened> {
        let disk = self.env.disk();
        log::create_dir(&*disk, dir)?;
        let path = dir.join(IDENTITY_FILE);
        let directory = match log::read_checked::<Identity>(&*disk, &path)? {
            Some(identity) if identity.node_id != self.config.node_id => {
                let why = format!(
                    "{} belongs to node.id {}, this node has {}",
                    dir.display(),
                    identity.node_id,
                    self.config.node_id
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Some(identity) => identity.directory,
            None => {
                let identity = Identity {
                    node_id: self.config.node_id,
                    directory: self.env.random_uuid().0,
                };
                log::write_checked(&*disk, &path, &identity)?;
                identity.directory
            }
        };
        if !is_voter {
            return Ok(Opened {
                directory,
                storage: None,
            });
        }
        let (log, recovered) = Log::open(&self.env, dir, self.limits())?;
        if recovered.cut_bytes > 0 {
            tracing::warn!(
                bytes = recovered.cut_bytes,
                "cut a torn tail off the metadata log"
            );
        }
        let machine = Machine::open(&self.env, dir, self.published.clone())?;
        Ok(Opened {
            directory,
            storage: Some((log, machine)),
        })
    }
}

async fn listen(env: &Env, config: &Config) -> Result<Box<dyn Listener>, Error> {
    let Some(endpoint) = &config.listeners.controller else {
        return Err(Error::Consensus(
            "a voter needs a controller listener".into(),
        ));
    };
    let address = endpoint.bind_address();
    let bound = env.listen(&address).await;
    bound.map_err(|e| {
        Error::Storage(io::Error::new(
            e.kind(),
            format!("controller listener {address}: {e}"),
        ))
    })
}

async fn start_raft(
    env: &Env,
    config: &Config,
    directory: [u8; 16],
    strangers: Strangers,
    log: Log,
    machine: Machine,
) -> Result<Raft, Error> {
    let timing = succession::timing(&config.quorum);
    let raft_config = openraft::Config {
        cluster_name: "metadata".into(),
        heartbeat_interval: timing.heartbeat_ms,
        election_timeout_min: timing.min_ms,
        election_timeout_max: timing.max_ms,
        install_snapshot_timeout: 10_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        snapshot_max_chunk_size: SNAPSHOT_PART_BYTES,
        max_in_snapshot_log_to_keep: KEPT_ENTRIES,
        ..openraft::Config::default()
    };
    let consensus = |e: &dyn std::fmt::Display| Error::Consensus(e.to_string());
    let raft_config = Arc::new(raft_config.validate().map_err(|e| consensus(&e))?);
    let id = node_id(config.node_id);
    let addresses: BTreeMap<u64, (String, u16)> = config
        .quorum
        .voters
        .iter()
        .map(|v| (node_id(v.id), (v.host.clone(), v.port)))
        .collect();
    let network = Network {
        env: env.clone(),
        node: id,
        directory,
        strangers,
        addresses,
    };
    let raft = SEED
        .scope(
            env.random_u64(),
            Raft::new(id, raft_config, network, log, machine),
        )
        .await;
    raft.map_err(|e| consensus(&e))
}
