//! How the office of the active controller passes on: after its death, in its silence, and when it stops in order.
//!
//! openraft's own election timer is off. It would run for the office whenever this node has not handled a call in
//! time, and a node that runs topples a leader that lives: a starved machine, a slow fsync or a process that was
//! stopped for a moment would change the term. Instead each voter looks after its leader here, and runs only when a
//! majority says that it would follow ([`super::canvass`]; Raft's pre-vote, section 9.6 of Ongaro's thesis).
//!
//! openraft's voters grant no vote before a lease after the leader's last word, whatever they know. Whoever knows that
//! the leader is gone runs as soon as the lease is over; the voters one after the other, so that votes are not split.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand_core::RngCore;
use tokio::time::{Instant, sleep_until, timeout};

use super::message::{Answer, Refusal, Reply, Request};
use super::node::{Node, broker_id};
use super::types::{Raft, SplitMix};
use crate::config::QuorumConfig;

/// The others' leases end about when this node's does; so much later at most.
const MARGIN: Duration = Duration::from_millis(20);
/// Between two voters' attempts.
const STAGGER: Duration = Duration::from_millis(120);
/// How often a voter looks after its leader.
const LOOK: Duration = Duration::from_millis(50);
/// A look that comes so late was not delayed by the leader: it gets the time back.
const LATE: Duration = Duration::from_millis(200);

/// The consensus's times, from the one that is configured.
pub fn timing(config: &QuorumConfig) -> Timing {
    let whole = config.election_timeout.max(Duration::from_millis(50));
    Timing {
        heartbeat: whole / 10,
        lease: whole * 2 / 5,
        doubt: whole / 3,
        patience: whole,
    }
}

/// See [`timing`].
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// openraft's leader speaks at least every one and a half of it.
    pub heartbeat: Duration,
    /// How long after the leader's last word no follower votes for another; a vote takes no longer either.
    pub lease: Duration,
    /// A leader silent for so long is looked for: its machine may be gone without a word.
    pub doubt: Duration,
    /// A leader silent for so long is replaced although its machine is there.
    pub patience: Duration,
}

/// Why a voter would run for the office, and since when it may.
#[derive(Clone, Copy, Debug)]
struct Occasion {
    leader: Option<u64>,
    /// The leader is known to be gone, or there is none.
    gone: bool,
    due: Instant,
}

impl Node {
    /// Looks after the leader for as long as this node lives, and runs for the office where there is an occasion.
    pub(super) async fn run_succession(self: Arc<Self>) {
        let Some(raft) = self.raft.clone() else {
            return;
        };
        let mut last_look = self.env.now();
        // Not before: the last attempt failed.
        let mut rest = last_look;
        // Of its own, so that it does not depend on which other task draws a number first.
        let mut dice = SplitMix::new(self.id);
        loop {
            let occasion = self.occasion(&raft);
            let now = self.env.now();
            let look = now + LOOK;
            let due = occasion.map_or(look, |o| o.due.max(rest));
            if due > now {
                let notified = self.inbound_news.notified();
                let wait = sleep_until(due.min(look));
                tokio::select! {
                    biased;
                    () = notified => {}
                    () = wait => {}
                }
                self.forgive_own_lateness(last_look);
                last_look = self.env.now();
                continue;
            }
            if let Some(occasion) = occasion {
                self.run_for(&raft, occasion).await;
                let spread = STAGGER.as_millis() as u64 * 2;
                rest = self.env.now() + MARGIN + Duration::from_millis(dice.next_u64() % spread);
            }
            last_look = self.env.now();
        }
    }

    /// What this node was too busy to hear is not the leader's silence.
    fn forgive_own_lateness(&self, last_look: Instant) {
        let now = self.env.now();
        let late = now.duration_since(last_look).saturating_sub(LOOK);
        if late > LATE {
            let mut inbound = self.inbound.lock();
            inbound.last_word = (inbound.last_word + late).min(now);
        }
    }

    /// Whether this voter may have to run, and when.
    fn occasion(self: &Arc<Self>, raft: &Raft) -> Option<Occasion> {
        let timing = timing(&self.config.quorum);
        let (leader, rank) = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            let leader = m.current_leader;
            let mut heirs = m
                .membership_config
                .voter_ids()
                .filter(|v| Some(*v) != leader || *v == self.id);
            (leader, heirs.position(|v| v == self.id)? as u32)
        };
        let now = self.env.now();
        if leader == Some(self.id) {
            if !self.resigned.load(Ordering::Relaxed) {
                self.inbound.lock().last_word = now;
            }
            return None;
        }
        let (last_word, gone, is_heir) = {
            let inbound = self.inbound.lock();
            let is_heir = leader.is_some() && inbound.heir_of == leader;
            let gone = leader.is_none() || inbound.gone == leader || is_heir;
            (inbound.last_word, gone, is_heir)
        };
        if let Some(leader) = leader
            && !gone
            && now.saturating_duration_since(last_word) > timing.doubt
        {
            self.look_for_leader(leader);
        }
        let turn = if is_heir {
            Duration::ZERO
        } else {
            STAGGER * rank
        };
        let wait = if gone { timing.lease } else { timing.patience };
        Some(Occasion {
            leader,
            gone,
            due: last_word + wait + MARGIN + turn,
        })
    }

    /// Asks for support, and with it for votes. What comes of it is seen by the next looks.
    async fn run_for(&self, raft: &Raft, occasion: Occasion) {
        let begun = {
            let mut inbound = self.inbound.lock();
            inbound.canvassing = true;
            inbound.last_word
        };
        let supported = self.canvass(raft, occasion.gone).await;
        {
            let mut inbound = self.inbound.lock();
            inbound.canvassing = false;
            // Meanwhile the leader may have spoken, or another have been voted for.
            if !supported || inbound.last_word != begun {
                tracing::debug!(leader = occasion.leader, supported, "not running");
                return;
            }
            // It votes for itself, and follows nobody else for a lease.
            inbound.last_word = self.env.now();
        }
        tracing::info!(
            leader = occasion.leader,
            gone = occasion.gone,
            "running for the office of the active controller"
        );
        // An error means that the consensus has ended, and with it this node.
        let _ = raft.trigger().elect().await;
    }

    /// The active controller stops and wants this node to follow it in office.
    pub(super) fn run_for_office(&self, term: u64) -> Answer {
        let raft = self
            .raft
            .as_ref()
            .ok_or_else(|| Refusal::Unavailable("not a voter".into()))?;
        let leader = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            if m.current_term != term {
                return Err(Refusal::Unavailable("the term is over".into()));
            }
            m.current_leader
        };
        self.inbound.lock().heir_of = leader;
        self.inbound_news.notify_one();
        Ok(Reply::Done)
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
            // One that has left as well would only use up the time.
            let image = self.image();
            let stays = |id: u64| {
                let broker = image.broker(broker_id(id));
                broker.is_none_or(|b| !b.shutting_down && !b.fenced)
            };
            let others = replication
                .iter()
                .filter(|(id, _)| **id != self.id && is_voter(id) && stays(**id));
            let best = others
                .max_by_key(|(id, matched)| (matched.map(|l| l.index), std::cmp::Reverse(**id)));
            (m.current_term, best.map(|(id, _)| *id))
        };
        let Some(peer) = heir.and_then(|id| self.peers.get(&id)) else {
            return;
        };
        raft.runtime_config().heartbeat(false);
        self.resigned.store(true, Ordering::Relaxed);
        let asked = peer
            .call(&Request::RunForOffice { term }, Duration::from_secs(1))
            .await;
        if let Err(error) = asked {
            tracing::info!(%error, "the next controller was not told; it will notice");
            return;
        }
        let limit = timing(&self.config.quorum).lease * 4;
        let mut metrics = raft.metrics();
        // A successor that does not come within the limit comes by its own timeout.
        let _ = timeout(
            limit,
            metrics.wait_for(|m| m.current_term > term && m.current_leader.is_some()),
        )
        .await;
    }
}
