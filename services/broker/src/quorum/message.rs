//! What nodes say to one another over the controller listener.

use std::sync::Arc;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{Outcome, Proposal, Registration, Rejection, needs_layout_3};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use super::codec::{self, Layout};
use super::describe::Description;
use super::log::entry;
use super::types::{LogId, Member, Types};

/// A request, answered with a [`Reply`] or a [`Refusal`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Who are you?
    Identify,
    /// A call of the consensus.
    Raft(RaftCall),
    /// To the active controller: carry this out.
    Propose(Proposal),
    /// To the active controller: a broker has started.
    Register(Registration),
    /// To the active controller: a broker lives.
    Heartbeat(Heartbeat),
    /// To the active controller: a voter has come back without its directory and asks to be let in again.
    Rejoin { node: u64, member: Member },
    /// From the active controller, which stops: run for its office.
    RunForOffice { term: u64 },
    /// From an observer: what has been applied after `index`? Answered when there is something, or after a while.
    Follow { index: u64 },
    /// From a voter: would you follow me?
    Canvass(Canvass),
    /// To the active controller: how far are the voters and the observers?
    DescribeQuorum,
    /// To the active controller: a broker has started, on a machine whose memory has this name.
    RegisterWithMemory {
        registration: Registration,
        memory: [u8; 16],
        /// Its log directories are those that it had before.
        same_disks: bool,
    },
}

/// A voter's question before it runs for the office (Raft's pre-vote).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Canvass {
    /// The voter.
    pub from: u64,
    /// The last entry of its log.
    pub last: Option<LogId>,
    /// It knows that the leader is gone, or knows of none; else it has only not heard from it for long.
    pub gone: bool,
}

/// A call of the consensus, from one (node, directory) to another. A node that is not the addressee refuses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RaftCall {
    /// The directory that the caller means.
    pub to: [u8; 16],
    /// The caller.
    pub from: u64,
    /// The caller's directory.
    pub from_directory: [u8; 16],
    /// What is asked.
    pub body: RaftBody,
}

/// The three calls of Raft.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RaftBody {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<Types>),
}

/// A broker's sign of life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The broker.
    pub broker: BrokerId,
    /// Its epoch.
    pub epoch: BrokerEpoch,
    /// The metadata that it has applied.
    pub index: u64,
    /// The age of its oldest unfinished append, read or fsync, in milliseconds.
    pub stall_ms: u64,
    /// It is about to stop, and not to be unfenced any more.
    pub stopping: bool,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    Identity(Identity),
    Appended(AppendEntriesResponse<u64>),
    Voted(VoteResponse<u64>),
    SnapshotTaken(InstallSnapshotResponse<u64>),
    Proposed(Result<Outcome, Rejection>),
    Registered {
        epoch: BrokerEpoch,
        clean: bool,
    },
    /// Whether the broker is fenced.
    Alive {
        fenced: bool,
    },
    Done,
    /// The applied entries after the asked index, which may be none.
    Entries(Vec<(u64, Option<Arc<Proposal>>)>, Option<u64>),
    /// The whole image, where the entries are gone.
    Image(Vec<u8>, Option<u64>),
    /// Whether the voter would follow.
    Support(bool),
    /// The quorum as its leader sees it.
    Described(Description),
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its `node.id`.
    pub node: u64,
    /// Its metadata directory.
    pub directory: [u8; 16],
    /// Whether its log is empty.
    pub empty: bool,
    /// The active controller that it knows.
    pub leader: Option<u64>,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("not the active controller")]
    NotController { leader: Option<u64> },
    #[error("meant for another directory")]
    OtherDirectory { node: u64, directory: [u8; 16] },
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("another process with this node id is alive")]
    DuplicateBroker,
    #[error("not possible now: {0}")]
    Unavailable(String),
}

/// What goes back.
pub type Answer = Result<Reply, Refusal>;

impl Layout for Request {
    const NAME: &'static str = "request of another node";
    /// The third and the fourth have further commands and requests, the fifth a command.
    const VERSION: u8 = 5;

    fn version(&self) -> u8 {
        match self {
            Request::Propose(proposal) => proposal.command.layout(),
            Request::Raft(RaftCall {
                body: RaftBody::Append(rpc),
                ..
            }) => rpc.entries.iter().map(entry::layout).max().unwrap_or(2),
            Request::DescribeQuorum => 3,
            Request::RegisterWithMemory { .. } => 4,
            _ => 2,
        }
    }

    fn decode_older(version: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        // The first was never released.
        (2..=4)
            .contains(&version)
            .then(|| codec::decode_body::<Self, Self>(version, body))
    }
}

impl Layout for Answer {
    const NAME: &'static str = "answer of another node";
    /// The third and later ones have further commands, the third also outcomes and refusals.
    const VERSION: u8 = 5;

    fn version(&self) -> u8 {
        match self {
            Ok(Reply::Proposed(outcome)) if needs_layout_3(outcome) => 3,
            Ok(Reply::Described(_)) => 3,
            Ok(Reply::Entries(entries, _)) => {
                let proposals = entries.iter().filter_map(|(_, proposal)| proposal.as_ref());
                let layouts = proposals.map(|proposal| proposal.command.layout());
                layouts.max().unwrap_or(2)
            }
            _ => 2,
        }
    }

    fn decode_older(version: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        (2..=4)
            .contains(&version)
            .then(|| codec::decode_body::<Self, Self>(version, body))
    }
}
