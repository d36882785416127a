//! The metadata quorum: one Raft-replicated log among the controllers, applied to an image that every broker reads.
//!
//! Stages of a node's life: [`Quorum::start`] opens the log, listens and takes part in the consensus;
//! [`Quorum::cluster_id`] waits for the cluster to be named; [`Quorum::join`] registers the broker and begins its
//! heartbeats; [`Quorum::shutdown`] hands leaderships over and leaves.
//!
//! - [`proposals`]: a proposal that is repeated is carried out once; [`codec`]: layouts and their versions.
//! - [`types`]: openraft's types and runtime; [`log`], [`machine`]: its storage; [`network`]: its calls.
//! - [`frame`], [`message`], [`peer`], [`server`]: the protocol of the controller listener; [`receiving`]: snapshots that
//!   come over it; [`guard`]: what strangers may do to it.
//! - [`controller`]: the active controller's watch over brokers; [`absence`]: who is gone; [`succession`]: how the
//!   office passes on; [`canvass`]: who would follow whom; [`farewell`]: how a broker stops.
//! - [`membership`]: who votes; [`aside`]: what becomes of a directory that the disk has changed; [`observer`]: brokers
//!   that do not vote; [`liveness`]: a broker's registration and heartbeats.

mod absence;
mod aside;
mod canvass;
mod codec;
mod controller;
#[cfg(test)]
mod damage_tests;
mod describe;
mod error;
mod farewell;
mod frame;
mod guard;
#[cfg(test)]
mod layouts;
mod liveness;
mod log;
mod machine;
mod membership;
mod message;
mod network;
mod node;
mod observer;
mod open;
mod peer;
mod proposals;
mod receiving;
#[cfg(test)]
mod recovery_tests;
mod saved;
mod server;
mod status;
#[cfg(test)]
mod storage_tests;
mod succession;
mod types;
pub mod untrusted;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{Command, Elections, Image, Outcome, Proposal};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::{Str, Uuid};

pub use describe::{Description, Replica};
pub use error::Error;
pub use liveness::{Joining, MemoryProbe, StallProbe};

use self::describe::Contacts;
use self::machine::Published;
use self::message::{Reply, Request};
use self::network::Strangers;
use self::node::{Inbound, Leadership, Node, broker_id, check_size, node_id};
use self::open::{Opening, listen, start_raft};
use self::peer::Peer;
use self::proposals::Proposals;
use crate::config::Config;
use crate::env::{Env, Listener, Plane, Pool, watch};

pub use status::{Status, VoterStatus};

/// The directory of the metadata log within `metadata.log.dir`.
pub const DIRECTORY: &str = "__cluster_metadata-0";

/// This node's part in the metadata quorum.
pub struct Quorum {
    node: Arc<Node>,
    incarnation: Uuid,
    proposals: Proposals,
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
        let contacts = Contacts::default();
        let log = opened.storage.as_ref().map(|(log, _)| log.clone());
        let raft = match opened.storage {
            Some((log, machine)) => Some(
                start_raft(
                    &env,
                    &config,
                    opened.directory,
                    (strangers.clone(), contacts.clone()),
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
            is_rejoining: AtomicBool::new(opened.is_rejoining),
            peers: peers.collect(),
            published,
            strangers,
            contacts,
            raft,
            log,
            controller: Default::default(),
            inbound: Mutex::new(Inbound::new(env.now())),
            inbound_news: Notify::new(),
            resigned: AtomicBool::new(false),
            unanswered: Mutex::default(),
            hint: AtomicU64::new(u64::MAX),
            stopping: AtomicBool::new(false),
            leadership: watch::Sender::new(Leadership::default()),
            writing: AtomicU64::new(0),
            membership_turn: Arc::default(),
            receiving: Mutex::default(),
            config,
            env,
        });
        let incarnation = node.env.random_uuid();
        let quorum = Quorum {
            proposals: Proposals::new(BrokerId(node.config.node_id), incarnation),
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
                spawn("quorum-succession", Box::pin(node.clone().run_succession()));
                spawn("quorum-entry", Box::pin(node.clone().enter_quorum()));
                spawn("quorum-reserve", Box::pin(node.clone().keep_reserve()));
                spawn("quorum-compaction", Box::pin(node.clone().keep_compact()));
                let following = node.clone().follow_leadership();
                spawn("quorum-leadership", Box::pin(following));
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

    /// Whether this node is the active controller as far as anybody can tell: of one that a majority of the voters has not
    /// answered for so long, another may hold the office by now, or nobody.
    pub fn is_heard_as_controller(&self) -> bool {
        self.node.heard_term().is_some()
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

    /// The elections that this voter has seen since it began, those of the log that it has read again at its start too.
    pub fn elections(&self) -> Elections {
        self.node.published.elections()
    }

    /// Waits until the cluster has its id.
    pub async fn cluster_id(&self, deadline: Duration) -> Result<Str, Error> {
        let mut images = self.watch();
        let named = timeout(deadline, images.wait_for(|i| i.cluster_id().is_some())).await;
        let image = named.ok().and_then(Result::ok);
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
    /// An attempt without an answer is repeated, and a repetition of what was carried out has its first outcome: see
    /// [`Proposal`]. Only before [`Quorum::join`] is a proposal nobody's and carried out anew. On return this node's own
    /// image may still lack the effect: see [`Quorum::wait_for`].
    pub async fn propose(&self, command: Command, deadline: Duration) -> Result<Outcome, Error> {
        check_size(&command)?;
        let begun = self.node.env.now();
        let open = self.proposals.open(deadline).await;
        let open = open.ok_or_else(|| Error::Unavailable("too many proposals wait".into()))?;
        let request = Request::Propose(Proposal {
            id: Some(open.id),
            command,
        });
        let left = deadline.saturating_sub(self.node.env.now() - begun);
        match self.node.ask_controller(&request, left).await? {
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
}
