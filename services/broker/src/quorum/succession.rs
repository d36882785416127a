//! How the office of the active controller passes on: after its death, and when it stops in order.
//!
//! openraft's followers grant no vote before a lease after the leader's last word. A follower that sees the leader's
//! connection close, and a fresh one refused, does not wait for its own (longer) election timeout: it runs as soon as
//! the lease is over. The voters run one after the other, so that votes are not split.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, sleep_until, timeout};

use super::message::{Answer, Refusal, Reply, Request};
use super::node::Node;
use super::types::Raft;
use crate::config::QuorumConfig;

/// The others' leases end about when this node's does; so much later at most.
const MARGIN: Duration = Duration::from_millis(20);
/// Between two voters' attempts.
const STAGGER: Duration = Duration::from_millis(120);
/// How often a voter runs before it leaves it to openraft's timeouts.
const ATTEMPTS: u32 = 8;

/// openraft's three times, from the one that is configured.
///
/// A silent leader is replaced after lease plus timeout, which together make about the configured time; one whose
/// death is seen, after the lease. The lease is openraft's `election_timeout_max`.
pub fn timing(config: &QuorumConfig) -> Timing {
    let whole = config
        .election_timeout
        .as_millis()
        .try_into()
        .unwrap_or(u64::MAX);
    let heartbeat_ms = (whole / 10).max(5);
    let min_ms = (whole * 45 / 100).max(heartbeat_ms + 1);
    Timing {
        heartbeat_ms,
        min_ms,
        max_ms: (whole * 55 / 100).max(min_ms + 1),
    }
}

/// See [`timing`].
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub heartbeat_ms: u64,
    pub min_ms: u64,
    pub max_ms: u64,
}

impl Timing {
    /// How long after the leader's last word no follower votes for another.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.max_ms)
    }
}

impl Node {
    /// Runs for the office once the lease is over, when it is this voter's turn.
    pub(super) async fn succeed(&self, raft: &Raft, leader: u64) {
        let (rank, voters) = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            let heirs: Vec<u64> = m
                .membership_config
                .voter_ids()
                .filter(|v| *v != leader)
                .collect();
            let Some(rank) = heirs.iter().position(|v| *v == self.id) else {
                return;
            };
            (rank as u32, heirs.len() as u32)
        };
        let heard = self
            .inbound
            .lock()
            .last_call
            .unwrap_or_else(|| self.env.now());
        sleep_until(heard + timing(&self.config.quorum).lease() + MARGIN + STAGGER * rank).await;
        for _ in 0..ATTEMPTS {
            let new_leader = raft
                .metrics()
                .borrow()
                .current_leader
                .is_some_and(|l| l != leader);
            // An error means that the consensus has ended.
            if new_leader || raft.trigger().elect().await.is_err() {
                return;
            }
            sleep(STAGGER * voters).await;
        }
    }

    /// The active controller stops and wants this node to follow it in office.
    pub(super) fn run_for_office(self: &Arc<Self>, term: u64) -> Answer {
        let raft = self
            .raft
            .clone()
            .ok_or_else(|| Refusal::Unavailable("not a voter".into()))?;
        let leader = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            if m.current_term != term {
                return Err(Refusal::Unavailable("the term is over".into()));
            }
            m.current_leader.filter(|l| *l != self.id)
        };
        let Some(leader) = leader else {
            return Ok(Reply::Done);
        };
        let node = self.clone();
        self.env
            .spawn(crate::env::Plane::Control, "quorum-office", async move {
                node.succeed_at_once(&raft, leader).await;
            });
        Ok(Reply::Done)
    }

    async fn succeed_at_once(&self, raft: &Raft, leader: u64) {
        let heard = self
            .inbound
            .lock()
            .last_call
            .unwrap_or_else(|| self.env.now());
        sleep_until(heard + timing(&self.config.quorum).lease() + MARGIN).await;
        for _ in 0..ATTEMPTS {
            let new_leader = raft
                .metrics()
                .borrow()
                .current_leader
                .is_some_and(|l| l != leader);
            if new_leader || raft.trigger().elect().await.is_err() {
                return;
            }
            sleep(STAGGER).await;
        }
    }

    /// Leaves the office in order, if this node holds it: falls silent, and asks the follower that has most of the
    /// log to run.
    pub(super) async fn resign(&self) {
        let Some(raft) = &self.raft else { return };
        let (term, heir) = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            let Some(replication) = m
                .replication
                .as_ref()
                .filter(|_| m.current_leader == Some(self.id))
            else {
                return;
            };
            let is_voter = |id: &u64| m.membership_config.voter_ids().any(|v| v == *id);
            let others = replication
                .iter()
                .filter(|(id, _)| **id != self.id && is_voter(id));
            let best = others
                .max_by_key(|(id, matched)| (matched.map(|l| l.index), std::cmp::Reverse(**id)));
            (m.current_term, best.map(|(id, _)| *id))
        };
        let Some(peer) = heir.and_then(|id| self.peers.get(&id)) else {
            return;
        };
        raft.runtime_config().heartbeat(false);
        let asked = peer
            .call(&Request::RunForOffice { term }, Duration::from_secs(1))
            .await;
        if let Err(error) = asked {
            tracing::info!(%error, "the next controller was not told; it will notice");
            return;
        }
        let limit = timing(&self.config.quorum).lease() * 3;
        let mut metrics = raft.metrics();
        // A successor that does not come within the limit comes by its own timeout.
        let _ = timeout(
            limit,
            metrics.wait_for(|m| m.current_term > term && m.current_leader.is_some()),
        )
        .await;
    }
}
