//! The consensus's calls, sent over [`Peer`] connections of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory};
use parking_lot::Mutex;

use super::describe::Contacts;
use super::log::Log;
use super::message::{RaftBody, RaftCall, Refusal, Reply, Request};
use super::peer::{Error, Peer};
use super::types::{LogId, Member, Types};
use crate::env::Env;

/// A node that could not be reached is not tried again before this.
const REST: Duration = Duration::from_millis(50);

/// Nodes that answered from another directory than the quorum knows: they have lost theirs.
pub type Strangers = Arc<Mutex<BTreeMap<u64, [u8; 16]>>>;

/// Makes the connections of one node's consensus.
pub struct Network {
    pub env: Env,
    pub node: u64,
    pub directory: [u8; 16],
    pub strangers: Strangers,
    pub contacts: Contacts,
    pub log: Log,
    /// Where the configuration says that the voters are. The quorum's own record may be of an older address.
    pub addresses: BTreeMap<u64, (String, u16)>,
}

/// The way to one other node.
pub struct Link {
    peer: Peer,
    target: u64,
    member: Member,
    node: u64,
    directory: [u8; 16],
    strangers: Strangers,
    contacts: Contacts,
    env: Env,
    log: Log,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, member: &Member) -> Link {
        let recorded = (member.host.clone(), member.port);
        let (host, port) = self.addresses.get(&target).cloned().unwrap_or(recorded);
        Link {
            peer: Peer::new(self.env.clone(), host, port),
            target,
            member: member.clone(),
            node: self.node,
            directory: self.directory,
            strangers: self.strangers.clone(),
            contacts: self.contacts.clone(),
            env: self.env.clone(),
            log: self.log.clone(),
        }
    }
}

type Failure<E> = RPCError<u64, Member, RaftError<u64, E>>;

impl Link {
    async fn call<E: std::error::Error>(
        &self,
        body: RaftBody,
        option: &RPCOption,
    ) -> Result<Reply, Failure<E>> {
        let to = self.member.directory;
        let call = RaftCall {
            to,
            from: self.node,
            from_directory: self.directory,
            body,
        };
        let answer = self
            .peer
            .call(&Request::Raft(call), option.hard_ttl())
            .await;
        let error = match answer {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        if let Error::Refused(Refusal::OtherDirectory { node, directory }) = &error
            && *node == self.target
        {
            self.strangers.lock().insert(*node, *directory);
        }
        if !matches!(error, Error::Timeout) {
            // openraft tries again with its next heartbeat, which a refused connection answers at once.
            tokio::time::sleep(REST).await;
        }
        Err(RPCError::Network(NetworkError::new(&error)))
    }
}

impl Link {
    /// The target has answered; with everything up to `sent`, unless it says otherwise.
    fn note(&self, response: &AppendEntriesResponse<u64>, sent: Option<LogId>) {
        self.strangers.lock().remove(&self.target);
        let now_ms = self.env.wall_ms();
        let has_all = matches!(response, AppendEntriesResponse::Success) && sent >= self.log.last();
        let mut contacts = self.contacts.lock();
        let contact = contacts.entry(self.target).or_default();
        contact.heard_ms = now_ms;
        if has_all {
            contact.caught_up_ms = Some(now_ms);
        }
    }
}

fn unexpected<E: std::error::Error>() -> Failure<E> {
    let error = std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        "the answer does not fit the call",
    );
    RPCError::Network(NetworkError::new(&error))
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Member, RaftError<u64>>> {
        let sent = rpc.entries.last().map(|entry| entry.log_id);
        let sent = sent.or(rpc.prev_log_id);
        match self.call(RaftBody::Append(rpc), &option).await? {
            Reply::Appended(response) => {
                self.note(&response, sent);
                Ok(response)
            }
            _ => Err(unexpected()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Member, RaftError<u64>>> {
        match self.call(RaftBody::Vote(rpc), &option).await? {
            Reply::Voted(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<u64>,
        RPCError<u64, Member, RaftError<u64, InstallSnapshotError>>,
    > {
        match self.call(RaftBody::Snapshot(rpc), &option).await? {
            Reply::SnapshotTaken(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }
}
