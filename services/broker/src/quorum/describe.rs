//! What the active controller knows of the quorum: who votes, who only follows, and how far each of them is.
//!
//! Positions are Kafka's: the offset after the last entry, where the index of an entry is its offset.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::Image;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wire::Uuid;

use super::message::{Answer, Reply, Request};
use super::node::{Node, broker_id};
use super::{Error, Quorum};

/// When voters have last answered the leader, by node.
pub type Contacts = Arc<Mutex<BTreeMap<u64, Contact>>>;

/// When a voter has last answered the leader, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contact {
    pub heard_ms: i64,
    /// When it last had all that the leader had; none if it never had.
    pub caught_up_ms: Option<i64>,
}

/// The quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub leader: i32,
    pub term: u64,
    pub high_watermark: i64,
    pub voters: Vec<Replica>,
    pub observers: Vec<Replica>,
}

/// A node that has the metadata. What is not known is -1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub node: i32,
    /// Its metadata directory; zero where it keeps none, or its leader does not know it.
    pub directory: [u8; 16],
    pub log_end_offset: i64,
    /// When it last took something from the leader, in milliseconds since the Unix epoch, as the next.
    pub last_fetch_ms: i64,
    /// When it last had all that the leader had.
    pub last_caught_up_ms: i64,
}

/// The offset after an entry; 0 where there is none.
fn after(index: Option<u64>) -> i64 {
    index.map_or(0, |index| i64::try_from(index).map_or(i64::MAX, |i| i + 1))
}

impl Quorum {
    /// Asks the active controller about the quorum.
    pub async fn describe(&self, deadline: Duration) -> Result<Description, Error> {
        let asked = self.node.ask_controller(&Request::DescribeQuorum, deadline);
        match asked.await? {
            Reply::Described(description) => Ok(description),
            _ => Err(Error::Unavailable(
                "the answer does not fit the request".into(),
            )),
        }
    }

    /// Waits until this node has all that the active controller had when it was asked.
    pub async fn catch_up(&self, deadline: Duration) -> Result<(), Error> {
        let theirs = self.describe(deadline).await?.high_watermark;
        let has = |image: &Image| after(Some(image.index())) >= theirs;
        match self.wait_for(deadline, has).await {
            true => Ok(()),
            false => Err(Error::Unavailable(
                "this broker's metadata is behind the active controller's".into(),
            )),
        }
    }

    /// Where the controller listeners of the voters are: host and port, by node.
    pub fn controllers(&self) -> impl Iterator<Item = (BrokerId, &str, u16)> {
        let voters = &self.node.config.quorum.voters;
        voters.iter().map(|v| (BrokerId(v.id), &*v.host, v.port))
    }
}

impl Node {
    /// Answers [`Request::DescribeQuorum`].
    pub(super) async fn describe_quorum(&self) -> Answer {
        // A leader that no majority hears is none for the others, and does not know how far they are.
        let not_here = || self.not_controller();
        let term = self.heard_term().ok_or_else(not_here)?;
        let status = self.status().await.voter.ok_or_else(not_here)?;
        let voters = self.describe_voters();
        let observers = self.describe_observers(&voters);
        Ok(Reply::Described(Description {
            leader: broker_id(self.id).0,
            term,
            high_watermark: after(Some(status.committed_index)),
            voters,
            observers,
        }))
    }

    fn describe_voters(&self) -> Vec<Replica> {
        let Some(raft) = &self.raft else {
            return Vec::new();
        };
        let now_ms = self.env.wall_ms();
        let contacts = self.contacts.lock().clone();
        let metrics = raft.metrics();
        let m = metrics.borrow();
        let membership = m.membership_config.membership();
        let describe = |id: u64| {
            let directory = membership.get_node(&id).map(|node| node.directory);
            let matching = || m.replication.as_ref().and_then(|all| *all.get(&id)?);
            let contact = contacts.get(&id).copied();
            let (log_end_offset, contact) = if id == self.id {
                let present = Contact {
                    heard_ms: now_ms,
                    caught_up_ms: Some(now_ms),
                };
                (after(m.last_log_index), Some(present))
            } else {
                (after(matching().map(|id| id.index)), contact)
            };
            Replica {
                node: broker_id(id).0,
                directory: directory.unwrap_or_default(),
                log_end_offset,
                last_fetch_ms: contact.map_or(-1, |c| c.heard_ms),
                last_caught_up_ms: contact.and_then(|c| c.caught_up_ms).unwrap_or(-1),
            }
        };
        membership.voter_ids().map(describe).collect()
    }

    /// Registered brokers that do not vote, by their heartbeats.
    fn describe_observers(&self, voters: &[Replica]) -> Vec<Replica> {
        let (now, now_ms) = (self.env.now(), self.env.wall_ms());
        let state = self.controller.state.lock();
        let sessions = state.sessions.iter();
        let observers = sessions.filter(|(id, _)| voters.iter().all(|voter| voter.node != id.0));
        let wall_ms = |at| {
            let ago = now.saturating_duration_since(at).as_millis();
            now_ms.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))
        };
        let describe = |(id, session): (&BrokerId, &super::controller::Session)| Replica {
            node: id.0,
            directory: Uuid::ZERO.0,
            log_end_offset: session.applied.map_or(-1, |index| after(Some(index))),
            last_fetch_ms: session.applied.map_or(-1, |_| wall_ms(session.heard)),
            last_caught_up_ms: session.caught_up.map_or(-1, wall_ms),
        };
        observers.map(describe).collect()
    }
}
