//! Whether a process is gone: its connection has ended, and a fresh one is refused.
//!
//! A dying process closes its sockets one by one, so its listener may still answer for a moment after its connections
//! have ended: whoever is missed is dialled again and again, until it speaks, is refused, or counts as dead by silence.

use std::sync::Arc;
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::Command;
use tokio::time::sleep;

use super::node::{Node, node_id};
use super::peer;
use super::types::Raft;
use crate::env::Plane;

/// The first rest between two dials; it doubles.
const FIRST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_millis(320);

impl Node {
    /// A connection has ended. If it was a broker's, its process may be gone.
    pub(super) fn on_broker_closed(self: &Arc<Self>, connection: u64) {
        let lost = {
            let mut state = self.controller.state.lock();
            let found = state
                .sessions
                .iter_mut()
                .find(|(_, s)| s.connection == Some(connection));
            found.map(|(id, session)| {
                session.connection = None;
                (*id, session.epoch)
            })
        };
        if let Some((broker, epoch)) = lost {
            self.dial_back(broker, epoch);
        }
    }

    /// Fences a broker if its process is gone.
    pub(super) fn dial_back(self: &Arc<Self>, broker: BrokerId, epoch: BrokerEpoch) {
        if !self.controller.state.lock().dialled.insert(broker) {
            return;
        }
        let node = self.clone();
        self.env
            .spawn(Plane::Control, "quorum-dial-back", async move {
                if node.is_found_gone(broker, epoch).await {
                    tracing::warn!(broker = broker.0, "its process is gone: fencing");
                    node.carry_out(Command::FenceBroker { broker, epoch }).await;
                }
                node.controller.state.lock().dialled.remove(&broker);
            });
    }

    async fn is_found_gone(&self, broker: BrokerId, epoch: BrokerEpoch) -> bool {
        let Some((host, port)) = self.address(broker) else {
            return false;
        };
        let mut rest = FIRST_REST;
        while self.is_missed(broker, epoch) {
            if peer::is_gone(&self.env, &host, port).await {
                return self.is_missed(broker, epoch);
            }
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
        false
    }

    /// Whether a broker that is not fenced has no connection to this active controller.
    fn is_missed(&self, broker: BrokerId, epoch: BrokerEpoch) -> bool {
        let image = self.image();
        let serves = image
            .broker(broker)
            .is_some_and(|b| b.epoch == epoch && !b.fenced);
        let state = self.controller.state.lock();
        let session = state.sessions.get(&broker).filter(|s| s.epoch == epoch);
        serves && session.is_some_and(|s| s.connection.is_none()) && self.active_term().is_some()
    }

    /// Where a broker's process listens: a voter's controller listener, another's listener for brokers. Those for
    /// clients may be advertised as they are reached from elsewhere, and refuse this node.
    fn address(&self, broker: BrokerId) -> Option<(String, u16)> {
        if let Some(voter) = self.voter(node_id(broker.0)) {
            return Some((voter.host, voter.port));
        }
        let image = self.image();
        let broker = image.broker(broker)?;
        let endpoint = broker
            .endpoint(&self.config.listeners.inter_broker)
            .or(broker.endpoints.first())?;
        Some((endpoint.host.to_string(), endpoint.port))
    }

    /// The connection over which `leader` called this node has ended.
    pub(super) async fn on_leader_closed(self: Arc<Self>, leader: u64) {
        let (Some(raft), Some(peer)) = (&self.raft, self.peers.get(&leader)) else {
            return;
        };
        let mut rest = FIRST_REST;
        while self.misses_leader(raft, leader) {
            if peer.is_gone().await && self.misses_leader(raft, leader) {
                tracing::warn!(leader, "the active controller's process is gone");
                return self.succeed(raft, leader).await;
            }
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
    }

    /// Whether this node follows a leader that has no connection to it.
    fn misses_leader(&self, raft: &Raft, leader: u64) -> bool {
        let follows = raft.metrics().borrow().current_leader == Some(leader);
        follows
            && !self
                .inbound
                .lock()
                .connections
                .values()
                .any(|node| *node == leader)
    }
}
