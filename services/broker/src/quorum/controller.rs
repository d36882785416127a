//! What the active controller does besides carrying out commands: it watches over the brokers.
//!
//! A broker is fenced when it is gone ([`super::absence`]), or when it is silent for the session timeout. One whose disk hangs gives up its leaderships but is not fenced. Sessions are
//! this controller's own knowledge, not in the log: a new controller grants everybody a fresh one, and dials each
//! broker once, since one may have died with its predecessor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{BrokerState, Command, Memory, Outcome, Registration, Rejection};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::message::{Answer, Heartbeat, Refusal, Reply};
use super::node::{Node, broker_id, node_id};
use crate::config::QuorumConfig;

/// Between two looks at the sessions.
const TICK: Duration = Duration::from_millis(100);
/// A tick that comes so late was not delayed by the brokers: they get the time back.
const LATE: Duration = Duration::from_millis(500);

/// A broker is not missed before it has been silent for so long, however often it sends heartbeats.
const SHORTEST_DOUBT: Duration = Duration::from_millis(300);

/// The sessions of the brokers.
#[derive(Default)]
pub struct Controller {
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// The term that the sessions belong to.
    term: Option<u64>,
    pub(super) sessions: BTreeMap<BrokerId, Session>,
    /// Whose process is being dialled.
    pub(super) dialled: BTreeSet<BrokerId>,
    next_rebalance: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) epoch: BrokerEpoch,
    pub(super) heard: Instant,
    /// The connection of its heartbeats; 0 for this node's own. None since it has ended.
    pub(super) connection: Option<u64>,
    stall: Duration,
    /// The metadata that it has applied, as it says.
    pub(super) applied: Option<u64>,
    /// When it last had applied all that this controller had.
    pub(super) caught_up: Option<Instant>,
}

impl Session {
    /// One that begins without a word from the broker.
    fn fresh(epoch: BrokerEpoch, now: Instant) -> Session {
        Session {
            epoch,
            heard: now,
            connection: None,
            stall: Duration::ZERO,
            applied: None,
            caught_up: None,
        }
    }
}

impl Session {
    /// Whether its connection has ended, or it is silent for longer than a heartbeat may take.
    pub(super) fn is_missed(&self, now: Instant, config: &QuorumConfig) -> bool {
        let doubt = (config.heartbeat * 3 / 2).max(SHORTEST_DOUBT);
        self.connection.is_none() || now.saturating_duration_since(self.heard) > doubt
    }
}

impl Node {
    /// Watches over the brokers while this node is the active controller.
    pub async fn run_controller(self: Arc<Self>) {
        let mut leadership = self.leadership.subscribe();
        let mut images = self.published.watch();
        let mut last_tick = self.env.now();
        loop {
            let leader = leadership.latest().leader;
            self.published.set_controller(leader.map(broker_id));
            images.mark_unchanged();
            match self.active_term() {
                Some(term) => {
                    self.take_office(term).await;
                    self.forgive_lateness(last_tick);
                    last_tick = self.env.now();
                    self.supervise().await;
                }
                None => {
                    self.leave_office();
                    last_tick = self.env.now();
                }
            }
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_err() { return },
                // The office begins when the first entry of the term is applied.
                _ = images.changed() => {}
                () = sleep(TICK) => {}
            }
        }
    }

    fn leave_office(&self) {
        let mut state = self.controller.state.lock();
        state.term = None;
        state.sessions.clear();
    }

    async fn take_office(self: &Arc<Self>, term: u64) {
        if self.controller.state.lock().term == Some(term) {
            return;
        }
        let image = self.image();
        let now = self.env.now();
        {
            let mut state = self.controller.state.lock();
            state.term = Some(term);
            state.next_rebalance = Some(now + self.config.quorum.rebalance_interval);
            // Brokers may have found this controller before this task did.
            state.sessions.retain(|id, s| image.has_epoch(*id, s.epoch));
            for broker in image.unfenced_brokers() {
                let fresh = Session::fresh(broker.epoch, now);
                state.sessions.entry(broker.id).or_insert(fresh);
            }
        }
        tracing::info!(term, "this node is the active controller");
        if !self.settle_cluster().await {
            // Refused: the office is another's again. If not, the next round tries once more.
            self.controller.state.lock().term = None;
        }
        for broker in image
            .unfenced_brokers()
            .filter(|b| node_id(b.id.0) != self.id)
        {
            self.dial_back(broker.id, broker.epoch);
        }
    }

    /// Names a new cluster, and tells it this controller's defaults; says whether that was possible.
    async fn settle_cluster(&self) -> bool {
        let image = self.image();
        let mut commands = Vec::new();
        if image.cluster_id().is_none() {
            let id = self.config.cluster_id.clone();
            let id = id.unwrap_or_else(|| self.env.random_uuid().to_string());
            commands.push(Command::NameCluster {
                cluster_id: id.into(),
            });
        }
        let unclean = self.config.values.flag("unclean.leader.election.enable");
        if image.unclean_by_default() != unclean {
            commands.push(Command::SetUncleanDefault { enabled: unclean });
        }
        let replicas = u16::try_from(self.config.topics.min_insync_replicas()).unwrap_or(u16::MAX);
        if image.min_insync_default() != Some(replicas) {
            commands.push(Command::SetMinInsyncDefault { replicas });
        }
        for command in commands {
            if let Err(error) = self.write(command).await {
                tracing::warn!(%error, "the cluster could not be set up");
                return false;
            }
        }
        true
    }

    /// A machine without time to spare delays this task as it delays heartbeats: nobody is fenced for that.
    fn forgive_lateness(&self, last_tick: Instant) {
        let late = self
            .env
            .now()
            .duration_since(last_tick)
            .saturating_sub(TICK);
        if late > LATE {
            for session in self.controller.state.lock().sessions.values_mut() {
                session.heard += late;
            }
        }
    }

    async fn supervise(self: &Arc<Self>) {
        let image = self.image();
        for broker in image.brokers() {
            if let Some(command) = self.verdict(broker) {
                self.carry_out(command).await;
            } else if node_id(broker.id.0) != self.id && self.is_missed(broker.id, broker.epoch) {
                self.dial_back(broker.id, broker.epoch);
            }
        }
        self.rebalance().await;
        self.readmit_strangers();
    }

    /// What has to happen to a broker now, if anything.
    fn verdict(&self, broker: &BrokerState) -> Option<Command> {
        let (id, epoch) = (broker.id, broker.epoch);
        let now = self.env.now();
        let config = &self.config.quorum;
        let mut state = self.controller.state.lock();
        let fresh = Session::fresh(epoch, now);
        let session = state.sessions.entry(id).or_insert(fresh);
        if session.epoch != epoch {
            *session = fresh;
        }
        if !broker.fenced && now.saturating_duration_since(session.heard) > config.session_timeout {
            tracing::warn!(
                broker = id.0,
                "no heartbeat for {:?}: fencing",
                config.session_timeout
            );
            return Some(Command::FenceBroker { broker: id, epoch });
        }
        let is_stalled = session.stall > config.stall_timeout;
        let is_well = session.stall < config.stall_timeout / 2;
        if !broker.stalled && is_stalled && !broker.fenced {
            tracing::warn!(
                broker = id.0,
                "its oldest I/O is {:?} old: moving its leaderships",
                session.stall
            );
            return Some(Command::StallBroker {
                broker: id,
                epoch,
                stalled: true,
            });
        }
        if broker.stalled && is_well {
            return Some(Command::StallBroker {
                broker: id,
                epoch,
                stalled: false,
            });
        }
        None
    }

    pub(super) async fn carry_out(&self, command: Command) {
        match self.write(command).await {
            Ok(Ok(_)) => {}
            Ok(Err(rejection)) => tracing::debug!(%rejection, "the broker has changed meanwhile"),
            Err(error) => tracing::debug!(%error, "not the active controller any more"),
        }
    }

    /// Gives leaderships back to the preferred replicas, now and then.
    async fn rebalance(&self) {
        let config = &self.config.quorum;
        let now = self.env.now();
        {
            let mut state = self.controller.state.lock();
            if !config.rebalance || state.next_rebalance.is_none_or(|at| now < at) {
                return;
            }
            state.next_rebalance = Some(now + config.rebalance_interval);
        }
        let partitions = self.image().imbalanced();
        if !partitions.is_empty() {
            tracing::info!(
                partitions = partitions.len(),
                "giving leaderships back to preferred replicas"
            );
            self.carry_out(Command::ElectPreferred { partitions }).await;
        }
    }

    /// A broker's process has started.
    pub async fn register(
        self: &Arc<Self>,
        registration: Registration,
        memory: Option<Memory>,
    ) -> Answer {
        let (id, incarnation) = (registration.broker, registration.incarnation);
        if self.active_term().is_none() {
            return Err(Refusal::NotController {
                leader: self.leader().filter(|l| *l != self.id),
            });
        }
        if let Some(other) = self
            .image()
            .broker(id)
            .filter(|b| b.incarnation != incarnation)
            && self.is_alive(other)
        {
            return Err(Refusal::DuplicateBroker);
        }
        let command = match memory {
            Some(memory) => Command::RegisterWithMemory {
                registration,
                memory,
            },
            None => Command::RegisterBroker(registration),
        };
        match self.write(command).await?? {
            Outcome::Registered { epoch, clean } => {
                tracing::info!(broker = id.0, epoch = epoch.0, clean, "broker registered");
                if !clean {
                    tracing::warn!(
                        broker = id.0,
                        "it may have lost what it had not flushed: it leaves every ISR and ELR"
                    );
                }
                Ok(Reply::Registered { epoch, clean })
            }
            _ => Err(Refusal::Rejected(Rejection::InvalidRequest(
                "not a registration".into(),
            ))),
        }
    }

    /// Whether an incarnation has lately sent a heartbeat over a connection that still stands.
    fn is_alive(&self, broker: &BrokerState) -> bool {
        let state = self.controller.state.lock();
        let lately = self.env.now()
            - (self.config.quorum.heartbeat * 3).min(self.config.quorum.session_timeout);
        let session = state
            .sessions
            .get(&broker.id)
            .filter(|s| s.epoch == broker.epoch);
        session.is_some_and(|s| s.connection.is_some() && s.heard > lately)
    }

    fn note(&self, beat: &Heartbeat, connection: u64, index: u64) {
        let now = self.env.now();
        let mut state = self.controller.state.lock();
        let before = state.sessions.get(&beat.broker);
        let caught_up = before.and_then(|session| session.caught_up);
        let session = Session {
            connection: Some(connection),
            stall: Duration::from_millis(beat.stall_ms),
            applied: Some(beat.index),
            caught_up: Some(now).filter(|_| beat.index >= index).or(caught_up),
            ..Session::fresh(beat.epoch, now)
        };
        state.sessions.insert(beat.broker, session);
    }

    /// A broker lives. A fenced one that has seen its own registration is let in.
    pub async fn heartbeat(self: &Arc<Self>, beat: Heartbeat, connection: u64) -> Answer {
        if self.active_term().is_none() {
            return Err(Refusal::NotController {
                leader: self.leader().filter(|l| *l != self.id),
            });
        }
        let image = self.image();
        let broker = image
            .broker(beat.broker)
            .ok_or(Rejection::BrokerNotRegistered)?;
        if broker.epoch != beat.epoch {
            return Err(Rejection::StaleBrokerEpoch.into());
        }
        self.note(&beat, connection, image.index());
        let has_caught_up = i64::try_from(beat.index).is_ok_and(|index| index >= beat.epoch.0);
        if broker.fenced && !beat.stopping && has_caught_up {
            self.write(Command::UnfenceBroker {
                broker: beat.broker,
                epoch: beat.epoch,
            })
            .await??;
            tracing::info!(broker = beat.broker.0, "broker unfenced");
            return Ok(Reply::Alive { fenced: false });
        }
        Ok(Reply::Alive {
            fenced: broker.fenced,
        })
    }
}
