//! One node of the quorum: what every duty shares, and the answers to what others ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Command, Image, Memory, Outcome, Proposal, Rejection};
use openraft::ServerState;
use openraft::error::{ClientWriteError, RaftError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use wire::Uuid;

use super::absence::Unanswered;

use super::controller::Controller;
use super::describe::Contacts;
use super::log::Log;
use super::machine::Published;
use super::message::{Answer, Identity, RaftBody, RaftCall, Refusal, Reply, Request};
use super::network::Strangers;
use super::peer::{Error, Peer};
use super::receiving::Receiving;
use super::succession;
use super::types::{Member, Raft, Vote};
use crate::config::Config;
use crate::env::{Env, watch};

/// Between two attempts to reach the active controller.
const RETRY: Duration = Duration::from_millis(25);
/// One attempt takes no longer: a controller that hangs will be replaced.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The largest command, encoded. Entries are sent whole, in frames that are bounded (MAX_FRAME_BYTES), and some are
/// kept in memory: one that no follower can be sent would end all progress of the quorum.
const COMMAND_MAX_BYTES: usize = 4 << 20;
/// Between two looks at whether a write that waits for its answer is still this node's to make.
const OFFICE_CHECK: Duration = Duration::from_secs(1);

/// What all tasks of a node share.
pub struct Node {
    pub env: Env,
    pub config: Arc<Config>,
    pub id: u64,
    pub directory: [u8; 16],
    /// Its directory is a new one because the disk had changed the one before.
    pub is_rejoining: AtomicBool,
    pub published: Arc<Published>,
    pub strangers: Strangers,
    /// When voters have last answered this node's consensus.
    pub contacts: Contacts,
    /// The consensus; an observer has none.
    pub raft: Option<Raft>,
    /// The log under the consensus.
    pub log: Option<Log>,
    pub controller: Controller,
    /// Connections to the voters for everything but the consensus's own calls.
    pub peers: BTreeMap<u64, Peer>,
    /// What is heard of the leader, and what is known of its end.
    pub inbound: Mutex<Inbound>,
    /// Something has changed there that may be an occasion to run for the office.
    pub inbound_news: Notify,
    /// This node has left the office of the active controller, to stop.
    pub resigned: AtomicBool,
    /// Nodes whose machines have not answered lately.
    pub unanswered: Mutex<BTreeMap<u64, Unanswered>>,
    /// Whom an observer takes for the active controller; `u64::MAX` for nobody.
    pub hint: AtomicU64,
    pub stopping: AtomicBool,
    /// Who leads, as far as this node's consensus knows.
    pub leadership: watch::Sender<Leadership>,
    /// Commands that this node has accepted and not yet applied.
    pub writing: AtomicU64,
    /// Held while the members are changed: one change at a time.
    pub membership_turn: Arc<tokio::sync::Mutex<()>>,
    /// The snapshot that another node sends.
    pub receiving: Mutex<Receiving>,
}

/// Who leads the consensus, and what this node is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<u64>,
    pub state: ServerState,
    pub term: u64,
}

/// The leader's calls as a follower sees them.
pub struct Inbound {
    /// The leader that calls over a connection.
    pub connections: BTreeMap<u64, u64>,
    /// When the leader called last, or this node voted, or began.
    pub last_word: Instant,
    /// The leader that is known to be gone.
    pub gone: Option<u64>,
    /// The leader that stops and has asked this node to follow it.
    pub heir_of: Option<u64>,
    /// The leader that is being looked for.
    pub looked_for: Option<u64>,
    /// This node is asking who would follow it.
    pub canvassing: bool,
}

impl Inbound {
    pub fn new(now: Instant) -> Inbound {
        Inbound {
            connections: BTreeMap::new(),
            last_word: now,
            gone: None,
            heir_of: None,
            looked_for: None,
            canvassing: false,
        }
    }
}

/// Counts something for as long as it lives.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU64) -> Counted<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// "Nobody" in [`Node::hint`].
const NOBODY: u64 = u64::MAX;

impl Node {
    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        self.published.image()
    }

    /// The active controller, as far as this node knows.
    pub fn leader(&self) -> Option<u64> {
        match self.consensus() {
            Some(raft) => raft.metrics().borrow().current_leader,
            None => Some(self.hint.load(Ordering::Relaxed)).filter(|id| *id != NOBODY),
        }
    }

    /// The consensus as long as it goes on. A node whose own has ended asks as an observer does.
    fn consensus(&self) -> Option<&Raft> {
        let raft = self.raft.as_ref()?;
        let goes_on = raft.metrics().borrow().running_state.is_ok();
        goes_on.then_some(raft)
    }

    /// An observer has learnt who the active controller is.
    pub fn set_hint(&self, leader: Option<u64>) {
        self.hint.store(leader.unwrap_or(NOBODY), Ordering::Relaxed);
        if self.raft.is_none() {
            self.published.set_controller(leader.map(broker_id));
        }
    }

    /// The term in which this node is the active controller: it leads the consensus and has applied all that came
    /// before its term.
    pub fn active_term(&self) -> Option<u64> {
        let metrics = self.raft.as_ref()?.metrics();
        let m = metrics.borrow();
        let is_current = m
            .last_applied
            .is_some_and(|id| id.leader_id.term == m.current_term);
        (m.state == ServerState::Leader && m.running_state.is_ok() && is_current)
            .then_some(m.current_term)
    }

    /// [`Node::active_term`], unless a majority of the voters has not answered for longer than they follow a silent leader.
    pub fn heard_term(&self) -> Option<u64> {
        let silence = self
            .raft
            .as_ref()?
            .metrics()
            .borrow()
            .millis_since_quorum_ack;
        let patience = 2 * succession::timing(&self.config.quorum).patience;
        let is_heard = silence.is_none_or(|ms| Duration::from_millis(ms) <= patience);
        self.active_term().filter(|_| is_heard)
    }

    pub(super) fn not_controller(&self) -> Refusal {
        Refusal::NotController {
            leader: self.leader().filter(|l| *l != self.id),
        }
    }

    /// Answers a request that came over the connection with this number; 0 for this node's own.
    pub async fn answer(self: &Arc<Self>, request: Request, connection: u64) -> Answer {
        match request {
            Request::Identify => Ok(Reply::Identity(self.identity())),
            Request::Raft(call) => self.answer_raft(call, connection).await,
            Request::Propose(proposal) => Ok(Reply::Proposed(self.write(proposal).await?)),
            Request::Register(registration) => self.register(registration, None).await,
            Request::RegisterWithMemory {
                registration,
                memory,
                same_disks,
            } => {
                let id = Uuid(memory);
                let memory = Memory { id, same_disks };
                self.register(registration, Some(memory)).await
            }
            Request::Heartbeat(heartbeat) => self.heartbeat(heartbeat, connection).await,
            Request::Rejoin { node, member } => self.rejoin(node, member).await,
            Request::RunForOffice { term } => self.run_for_office(term),
            Request::Follow { index } => self.follow(index).await,
            Request::Canvass(canvass) => self.answer_canvass(&canvass),
            Request::DescribeQuorum => self.describe_quorum().await,
        }
    }

    fn identity(&self) -> Identity {
        let is_new = !self.is_rejoining.load(Ordering::Relaxed);
        let empty = is_new && self.log.as_ref().is_none_or(Log::is_empty);
        Identity {
            node: self.id,
            directory: self.directory,
            empty,
            leader: self.leader(),
        }
    }

    async fn answer_raft(self: &Arc<Self>, call: RaftCall, connection: u64) -> Answer {
        let raft = self
            .raft
            .as_ref()
            .ok_or_else(|| Refusal::Unavailable("not a voter".into()))?;
        if call.to != self.directory {
            return Err(Refusal::OtherDirectory {
                node: self.id,
                directory: self.directory,
            });
        }
        let failed = |e: &dyn std::fmt::Display| Refusal::Unavailable(e.to_string());
        match call.body {
            RaftBody::Append(rpc) => {
                self.heard_from(raft, &rpc.vote, call.from, connection);
                Ok(Reply::Appended(
                    raft.append_entries(rpc).await.map_err(|e| failed(&e))?,
                ))
            }
            RaftBody::Vote(rpc) => {
                let response = raft.vote(rpc).await.map_err(|e| failed(&e))?;
                if response.vote_granted {
                    // Time to take the office, before this node would run for it.
                    self.inbound.lock().last_word = self.env.now();
                }
                Ok(Reply::Voted(response))
            }
            RaftBody::Snapshot(rpc) => {
                self.heard_from(raft, &rpc.vote, call.from, connection);
                self.take_snapshot(raft, rpc, call.from).await
            }
        }
    }

    fn heard_from(&self, raft: &Raft, vote: &Vote, leader: u64, connection: u64) {
        // Of two that take themselves for the leader, the one of the later term is.
        if *vote < raft.metrics().borrow().vote {
            return;
        }
        let mut inbound = self.inbound.lock();
        inbound.connections.insert(connection, leader);
        inbound.last_word = self.env.now();
        inbound.gone = None;
        inbound.heir_of = inbound.heir_of.filter(|left| *left == leader);
    }

    /// Puts a proposal into the log, as the active controller, and answers what applying it has answered.
    pub async fn write(
        &self,
        proposal: impl Into<Proposal>,
    ) -> Result<Result<Outcome, Rejection>, Refusal> {
        let proposal = proposal.into();
        let raft = self.raft.as_ref().ok_or_else(|| self.not_controller())?;
        let term = self.active_term().ok_or_else(|| self.not_controller())?;
        if let Err(rejection) = check_size(&proposal.command) {
            return Ok(Err(rejection));
        }
        // openraft never answers for an entry that a snapshot of the next leader replaces.
        let over = async {
            while self.active_term() == Some(term) {
                sleep(OFFICE_CHECK).await;
            }
        };
        let _counted = Counted::new(&self.writing);
        let written = tokio::select! {
            biased;
            written = raft.client_write(proposal) => written,
            () = over => return Err(self.not_controller()),
        };
        match written {
            Ok(response) => Ok(response
                .data
                .unwrap_or_else(|| Err(Rejection::InvalidRequest("not a command".into())))),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(self.not_controller())
            }
            Err(e) => Err(Refusal::Unavailable(e.to_string())),
        }
    }

    /// Asks the active controller, wherever it is, until `deadline` is over. A refusal that a later attempt would
    /// meet as well is returned at once.
    pub async fn ask_controller(
        self: &Arc<Self>,
        request: &Request,
        deadline: Duration,
    ) -> Result<Reply, Error> {
        let until = self.env.now() + deadline;
        let mut guess = 0;
        loop {
            let target = self.leader().or_else(|| self.any_voter(&mut guess));
            let error = match self.attempt(request, target, until).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            match &error {
                Error::Refused(Refusal::NotController { leader }) if self.consensus().is_none() => {
                    self.set_hint(*leader)
                }
                Error::Refused(Refusal::NotController { .. } | Refusal::Unavailable(_)) => {}
                Error::Refused(_) => return Err(error),
                _ if self.consensus().is_none() => self.set_hint(None),
                _ => {}
            }
            if self.env.now() + RETRY >= until {
                return Err(error);
            }
            sleep(RETRY).await;
        }
    }

    /// The voters in turn: one of them knows the active controller. A voter itself learns it from the consensus.
    fn any_voter(&self, guess: &mut usize) -> Option<u64> {
        if self.consensus().is_some() {
            return None;
        }
        *guess += 1;
        self.peers
            .keys()
            .nth(*guess % self.peers.len().max(1))
            .copied()
    }

    async fn attempt(
        self: &Arc<Self>,
        request: &Request,
        target: Option<u64>,
        until: Instant,
    ) -> Result<Reply, Error> {
        let until = until.min(self.env.now() + ATTEMPT);
        let Some(target) = target else {
            return Err(Error::Refused(Refusal::NotController { leader: None }));
        };
        if target == self.id {
            let answer = timeout_at(until, self.answer(request.clone(), 0)).await;
            return Ok(answer.map_err(|_| Error::Timeout)??);
        }
        let Some(peer) = self.peers.get(&target) else {
            return Err(Error::Network(format!(
                "node {target} is not in controller.quorum.voters"
            )));
        };
        let left = until.saturating_duration_since(self.env.now());
        tokio::select! {
            biased;
            // First, so that of several calls that wait for one connection none begins to make it now.
            () = self.replaced(target) => Err(Error::Network("the active controller was replaced".into())),
            reply = peer.call(request, left) => reply,
        }
    }

    /// Waits until `leader` is not the leader any more.
    async fn replaced(&self, leader: u64) {
        if self.consensus().is_none() {
            return std::future::pending().await;
        }
        let mut leadership = self.leadership.subscribe();
        // The sender lives as long as this node.
        let _ = leadership.wait_for(|l| l.leader != Some(leader)).await;
    }

    /// Passes on what openraft says of the leadership, as the only one who waits for that: see [`watch`].
    pub async fn follow_leadership(self: Arc<Self>) {
        let Some(raft) = &self.raft else { return };
        let mut metrics = raft.server_metrics();
        loop {
            let now = {
                let m = metrics.borrow_and_update();
                Leadership {
                    leader: m.current_leader,
                    state: m.state,
                    term: m.vote.leader_id().term,
                }
            };
            self.leadership.send_if_modified(|known| {
                let is_new = *known != now;
                *known = now;
                is_new
            });
            // An error means that the consensus has ended.
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// A connection to the controller listener has ended.
    pub fn on_closed(self: &Arc<Self>, connection: u64) {
        let leader = self.inbound.lock().connections.remove(&connection);
        if let Some(leader) = leader {
            self.look_for_leader(leader);
        }
        self.on_broker_closed(connection);
    }

    /// Where a node's controller listener is; none for one that is not a voter.
    pub fn voter(&self, id: u64) -> Option<Member> {
        let voter = self
            .config
            .quorum
            .voters
            .iter()
            .find(|v| node_id(v.id) == id)?;
        Some(Member {
            directory: [0; 16],
            host: voter.host.clone(),
            port: voter.port,
        })
    }
}

/// Refuses a command that the log cannot carry.
pub fn check_size(command: &Command) -> Result<(), Rejection> {
    let size = postcard::experimental::serialized_size(command).unwrap_or(usize::MAX);
    if size > COMMAND_MAX_BYTES {
        let why = format!(
            "The request makes a metadata record of {size} bytes, the limit is {COMMAND_MAX_BYTES}."
        );
        return Err(Rejection::PolicyViolation(why));
    }
    Ok(())
}

/// The consensus's number for a `node.id`.
pub fn node_id(id: i32) -> u64 {
    u64::from(id.unsigned_abs())
}

/// The broker of a node of the consensus.
pub fn broker_id(node: u64) -> BrokerId {
    BrokerId(i32::try_from(node).unwrap_or(-1))
}
