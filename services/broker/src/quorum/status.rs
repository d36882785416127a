//! What metrics show of this node's part in the metadata quorum.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use telemetry::metrics::Histogram;
use tokio::time::timeout;

use super::Quorum;
use super::node::Node;

/// How long the consensus is asked; it answers at once unless it has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// This node in the metadata quorum.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub state: &'static str,
    pub leader: Option<u64>,
    /// Of voters.
    pub voter: Option<VoterStatus>,
    /// Commands accepted here and not yet applied.
    pub writing: u64,
}

/// How far a voter is.
#[derive(Clone, Copy, Debug, Default)]
pub struct VoterStatus {
    pub term: u64,
    pub last_index: u64,
    pub committed_index: u64,
    pub applied_index: u64,
}

impl Quorum {
    pub async fn status(&self) -> Status {
        self.node.status().await
    }

    /// How long it takes to append to the metadata log durably; none on an observer, which has no log.
    pub fn fsyncs(&self) -> Option<Histogram> {
        self.node.log.as_ref().map(|log| log.fsyncs())
    }
}

impl Node {
    pub(super) async fn status(&self) -> Status {
        let leader = self.leader();
        let Some(raft) = &self.raft else {
            return Status {
                state: "observer",
                leader,
                ..Status::default()
            };
        };
        let committed = raft.with_raft_state(|state| state.committed.map(|id| id.index));
        let committed = timeout(PATIENCE, committed).await;
        let metrics = raft.metrics();
        let m = metrics.borrow();
        let applied_index = m.last_applied.map_or(0, |id| id.index);
        let committed = committed.ok().and_then(Result::ok).flatten();
        Status {
            state: match m.state {
                ServerState::Leader => "leader",
                ServerState::Candidate => "candidate",
                _ => "follower",
            },
            leader,
            voter: Some(VoterStatus {
                term: m.current_term,
                last_index: m.last_log_index.unwrap_or(0),
                // What is applied is committed, whoever was asked first.
                committed_index: committed.unwrap_or(0).max(applied_index),
                applied_index,
            }),
            writing: self.writing.load(Ordering::Relaxed),
        }
    }
}
