//! Whether a node that is missed is gone, with its process or with its whole machine.
//!
//! A node is missed when its connection has ended, or when it is silent. Then it is dialled again and again, until it
//! speaks or one of three things is known. Refused: its process is gone, and its machine lives to say so. No answer at
//! all to several fresh connections in a row: its machine is gone, or cut off; a starved or stopped process does
//! not look like that, since its kernel accepts connections without it. Accepted: it is only silent, and its session
//! timeout decides (for a leader: the patience of its followers).
//!
//! A dying process closes its sockets one by one, so its listener may still answer for a moment after its connections
//! have ended.

use std::sync::Arc;
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::Command;
use tokio::time::{Instant, sleep};

use super::node::{Node, node_id};
use super::peer::{self, Reach};
use super::succession::timing;
use crate::env::Plane;

/// The first rest between two dials; it doubles.
const FIRST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_millis(320);
/// A machine that has answered no dial for so long is gone.
const VANISHED: Duration = Duration::from_millis(700);
/// What is known of a machine that does not answer is forgotten after so long without another dial.
const FORGET: Duration = Duration::from_secs(2);

/// Since when a node's machine has answered no dial.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered {
    since: Instant,
    last: Instant,
}

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

    /// Fences a broker if it is gone.
    pub(super) fn dial_back(self: &Arc<Self>, broker: BrokerId, epoch: BrokerEpoch) {
        let Some(address) = self.address(broker) else {
            return;
        };
        if !self.controller.state.lock().dialled.insert(broker) {
            return;
        }
        let node = self.clone();
        self.env
            .spawn(Plane::Control, "quorum-dial-back", async move {
                let missed = || node.is_missed(broker, epoch);
                if node.is_gone(node_id(broker.0), &address, missed).await {
                    tracing::warn!(broker = broker.0, "it is gone: fencing");
                    node.carry_out(Command::FenceBroker { broker, epoch }).await;
                }
                node.controller.state.lock().dialled.remove(&broker);
            });
    }

    /// Dials a node for as long as it is missed; says whether it is gone.
    async fn is_gone(&self, id: u64, address: &(String, u16), missed: impl Fn() -> bool) -> bool {
        let (host, port) = address;
        let mut rest = FIRST_REST;
        while missed() {
            let begun = self.env.now();
            match peer::reach(&self.env, host, *port).await {
                Reach::Refused => {
                    tracing::info!(node = id, "its process is gone");
                    return missed();
                }
                Reach::Answered => {
                    self.unanswered.lock().remove(&id);
                }
                Reach::Unanswered if self.has_vanished(id, begun) => {
                    tracing::info!(node = id, "its machine does not answer");
                    return missed();
                }
                Reach::Unanswered => {}
            }
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
        false
    }

    /// A dial that began then was not answered: whether none has been for long enough, whoever dialled.
    fn has_vanished(&self, id: u64, begun: Instant) -> bool {
        let now = self.env.now();
        let mut unanswered = self.unanswered.lock();
        let known = unanswered.get(&id).filter(|u| begun - u.last < FORGET);
        let since = known.map_or(begun, |u| u.since);
        unanswered.insert(id, Unanswered { since, last: now });
        now - since >= VANISHED
    }

    /// Whether a broker that is not fenced has no connection to this active controller, or is silent.
    pub(super) fn is_missed(&self, broker: BrokerId, epoch: BrokerEpoch) -> bool {
        let image = self.image();
        let serves = image
            .broker(broker)
            .is_some_and(|b| b.epoch == epoch && !b.fenced);
        let state = self.controller.state.lock();
        let session = state.sessions.get(&broker).filter(|s| s.epoch == epoch);
        let missed = session.is_some_and(|s| s.is_missed(self.env.now(), &self.config.quorum));
        serves && missed && self.active_term().is_some()
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

    /// The leader's connection has ended, or it is silent: finds out whether it is gone.
    pub(super) fn look_for_leader(self: &Arc<Self>, leader: u64) {
        let Some(voter) = self.voter(leader).filter(|_| leader != self.id) else {
            return;
        };
        if self.inbound.lock().looked_for.replace(leader) == Some(leader) {
            return;
        }
        let node = self.clone();
        self.env
            .spawn(Plane::Control, "quorum-lost-leader", async move {
                let address = (voter.host, voter.port);
                let gone = node
                    .is_gone(leader, &address, || node.misses_leader(leader))
                    .await;
                let mut inbound = node.inbound.lock();
                inbound.looked_for = inbound.looked_for.filter(|other| *other != leader);
                if gone {
                    tracing::warn!(leader, "the active controller is gone");
                    inbound.gone = Some(leader);
                    node.inbound_news.notify_one();
                }
            });
    }

    /// Whether this node follows a leader that has no connection to it, or is silent.
    fn misses_leader(&self, leader: u64) -> bool {
        let follows = self
            .raft
            .as_ref()
            .is_some_and(|raft| raft.metrics().borrow().current_leader == Some(leader));
        let inbound = self.inbound.lock();
        let silence = self.env.now().saturating_duration_since(inbound.last_word);
        let silent = silence > timing(&self.config.quorum).doubt;
        let connected = inbound.connections.values().any(|node| *node == leader);
        follows && inbound.gone != Some(leader) && (silent || !connected)
    }
}
