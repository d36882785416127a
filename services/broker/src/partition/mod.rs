//! Partitions that this broker holds: each is the engine's replica and its log on disk under one short lock.
//!
//! The engine decides, the log does; both change together. Nobody waits under the lock: producers of acks=all wait in
//! a queue that the high watermark releases, fetches wait to be woken by the log end or the high watermark, fsyncs and
//! cold reads run on the pools.

mod append;
mod commit;
mod convert;
mod due;
mod flush;
mod follow;
mod internal;
mod lookup;
mod partitions;
mod read;
mod refill;
mod status;
mod suspects;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use engine::ids::{BrokerId, LeaderEpoch, Offset, ProducerId};
use engine::metadata::{Image, PartitionId, PartitionState, Rejection};
use engine::replica::{Commitment, IsrProposal, Replica, Transition};
use parking_lot::{Mutex, MutexGuard};
use storage::Log;
use tokio::sync::Notify;
use wire::{ErrorCode, Str};

use crate::config::TopicConfig;
use crate::env::Env;
use crate::metrics::TopicMetrics;

pub use append::{Appended, Failure};
pub use commit::CommitWait;
pub use convert::log_config;
pub use due::Due;
pub use flush::run_flusher;
pub(crate) use follow::is_about_leadership;
pub use follow::{Answer, FollowFailure, Followed};
pub use lookup::{FoundOffset, Wanted};
pub use partitions::{LogSource, OpenedLog, Partitions};
pub use read::{PartitionRead, ReadAnswer, ReadLimit};
pub use status::{FollowerStatus, Status};
pub use suspects::Suspects;
pub use waiters::{FetchWait, WaitFor};

/// One partition of this broker.
pub struct Partition {
    topic: Str,
    id: PartitionId,
    env: Env,
    metrics: Arc<TopicMetrics>,
    /// Wants an fsync before its records count.
    flush_due: Arc<Due>,
    /// May have an ISR change to propose.
    isr_due: Arc<Due>,
    /// Hears of reads that have failed.
    suspects: Arc<Suspects>,
    /// Read without the lock.
    config: ArcSwap<TopicConfig>,
    state: Mutex<State>,
    /// When the ISR may be proposed again after a refusal, in milliseconds of [`Env::elapsed_ms`].
    isr_retry_ms: AtomicU64,
    /// Wakes the fetcher that replicates this partition, where this broker follows.
    fetcher: Mutex<Option<Arc<Notify>>>,
}

/// A topic configuration that has changed.
pub(crate) struct Changed<'a> {
    config: &'a Arc<TopicConfig>,
    lag_max_ms: u64,
    log: storage::LogConfig,
}

/// What the lock holds.
struct State {
    replica: Replica,
    log: Log,
    commits: commit::Commits,
    /// Producers of acks=1 that wait for the leader's fsync.
    flushes: commit::Commits,
    waiters: waiters::Waiters,
    /// Set when the partition is deleted or its log is out of service: nothing is served any more.
    closed: bool,
    /// Nothing is fetched for now.
    paused: bool,
}

/// The positions that a change is measured by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Positions {
    high_watermark: Offset,
    log_end: Offset,
    durable_end: Offset,
}

impl Partition {
    pub fn topic(&self) -> &Str {
        &self.topic
    }

    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// Follows the metadata of this partition, and the configuration of its topic where that has changed: both at once,
    /// since whether an ISR may commit depends on both.
    pub(crate) fn on_metadata(
        &self,
        state: &PartitionState,
        image: &Image,
        changed: Option<Changed<'_>>,
    ) -> Transition {
        let now_ms = self.env.elapsed_ms();
        if let Some(changed) = &changed {
            self.config.store(changed.config.clone());
        }
        let transition = self.change(|s| {
            if let Some(changed) = changed {
                s.log.set_config(changed.log);
                s.replica
                    .on_options(convert::options(changed.config, changed.lag_max_ms));
            }
            let before = s.isr_size();
            let transition = s.replica.on_metadata(state, now_ms);
            self.count_isr(before, s.isr_size());
            s.replica
                .on_active_brokers(|id| active_epoch(image, id), now_ms);
            if !s.replica.is_leader() {
                s.give_up();
            }
            transition
        });
        self.flush_if_due();
        if transition != Transition::None {
            tracing::debug!(
                topic = %self.topic, partition = self.id.index, ?transition,
                leader_epoch = state.leader_epoch.0, "the partition has changed"
            );
        }
        if transition == Transition::Refused {
            tracing::error!(
                topic = %self.topic, partition = self.id.index, leader_epoch = state.leader_epoch.0,
                "told to lead in an epoch that an earlier life of this broker has written in; waiting for a new one"
            );
        }
        transition
    }

    fn count_isr(&self, before: Option<usize>, now: Option<usize>) {
        // Where the leadership has just begun or ended, nothing was changed by it.
        if let (Some(before), Some(now)) = (before, now) {
            let counters = &self.metrics.broker;
            match now.cmp(&before) {
                std::cmp::Ordering::Less => counters.isr_shrinks.inc(),
                std::cmp::Ordering::Greater => counters.isr_expands.inc(),
                std::cmp::Ordering::Equal => {}
            }
        }
    }

    /// What a crash or another configuration has left without an fsync keeps a follower from fetching on, and a
    /// leader's high watermark from passing it.
    fn flush_if_due(&self) {
        let is_due = {
            let s = self.state.lock();
            s.replica.options().flush_each && s.replica.flushed() < s.replica.log_end()
        };
        if is_due {
            self.flush_due.request(self.id);
        }
    }

    /// Forgets idempotent producers that have been silent for `producer.id.expiration.ms`.
    pub(crate) fn expire_producers(&self) {
        let wall_ms = u64::try_from(self.env.wall_ms()).unwrap_or(0);
        let mut s = self.state.lock();
        let gone = s.log.expire_producers(wall_ms, self.env.elapsed_ms());
        s.replica
            .on_producers_forgotten(gone.into_iter().map(ProducerId));
    }

    /// Stops serving: the broker stops, or the log is out of service.
    pub(crate) fn close(&self) {
        let mut s = self.state.lock();
        s.closed = true;
        s.give_up();
    }

    /// Whether nothing is served any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Stops serving, and lets go of the log's files: the partition is deleted, and another may have its name soon.
    pub(crate) fn retire(&self) {
        self.close();
        self.state.lock().log.retire();
    }

    /// The ISR change that is due, if any, unless the last one was refused just now.
    pub(crate) fn propose_isr(&self) -> Option<IsrProposal> {
        let now_ms = self.env.elapsed_ms();
        if now_ms < self.isr_retry_ms.load(Ordering::Relaxed) {
            return None;
        }
        self.state.lock().replica.propose_isr(now_ms)
    }

    /// The controller's refusal of a proposal; `None` where its answer is not known.
    pub(crate) fn on_isr_outcome(&self, proposal: &IsrProposal, refused: Option<&Rejection>) {
        const RETRY_MS: u64 = 500;
        self.isr_retry_ms
            .store(self.env.elapsed_ms() + RETRY_MS, Ordering::Relaxed);
        let mut s = self.state.lock();
        match refused {
            Some(rejection) => s.replica.on_isr_refused(proposal, rejection),
            None => s.replica.on_isr_unknown(proposal),
        }
    }

    /// Runs `f` on the log, for those who keep it: flushing, retention, compaction, checkpoints.
    /// The replica's view of the log start follows.
    pub fn with_log<T>(&self, f: impl FnOnce(&mut Log, Offset) -> T) -> T {
        self.change(|s| {
            let high_watermark = s.replica.high_watermark();
            let result = f(&mut s.log, high_watermark);
            s.replica.on_log_start(Offset(s.log.log_start()));
            if s.log.take_producers_reread() {
                s.replica.on_producers_read(convert::producers(&s.log));
            }
            result
        })
    }

    pub fn is_leader(&self) -> bool {
        self.state.lock().replica.is_leader()
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.state.lock().replica.leader_epoch()
    }

    pub fn high_watermark(&self) -> Offset {
        self.state.lock().replica.high_watermark()
    }

    pub fn log_end(&self) -> Offset {
        self.state.lock().replica.log_end()
    }

    pub fn log_start(&self) -> Offset {
        self.state.lock().replica.log_start()
    }

    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.load_full()
    }

    pub fn metrics(&self) -> &Arc<TopicMetrics> {
        &self.metrics
    }

    /// Changes the state; whoever waits for the high watermark or the log end hears of it.
    fn change<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut s = self.state.lock();
        let before = s.positions();
        let result = f(&mut s);
        self.announce(s, before);
        result
    }

    fn announce(&self, mut s: MutexGuard<'_, State>, before: Positions) {
        let now = s.positions();
        if now != before {
            s.release();
        }
        if now.high_watermark != before.high_watermark {
            s.waiters.wake(WaitFor::HighWatermark);
        }
        if now.log_end > before.log_end {
            s.waiters.wake(WaitFor::LogEnd);
            // A follower fsyncs before it fetches on.
            if s.replica.options().flush_each && s.replica.is_leader() {
                drop(s);
                self.flush_due.request(self.id);
            }
        }
    }
}

impl State {
    fn positions(&self) -> Positions {
        Positions {
            high_watermark: self.replica.high_watermark(),
            log_end: self.replica.log_end(),
            durable_end: self.replica.durable_end(),
        }
    }

    /// Of a leader.
    fn isr_size(&self) -> Option<usize> {
        self.replica.leader().map(|leader| leader.isr().len())
    }

    fn queue(&mut self, until: commit::Until) -> &mut commit::Commits {
        match until {
            commit::Until::Committed => &mut self.commits,
            commit::Until::Durable => &mut self.flushes,
        }
    }

    /// Answers the producers that need not wait any longer.
    fn release(&mut self) {
        let replica = &self.replica;
        self.commits.release(|offset| replica.commitment(offset));
        self.flushes.release(|offset| {
            Ok(match replica.has_durably(offset) {
                true => Commitment::Committed,
                false => Commitment::Waiting,
            })
        });
    }

    /// This replica does not lead any more: whoever waits must ask elsewhere.
    fn give_up(&mut self) {
        self.commits.fail_all(ErrorCode::NotLeaderOrFollower);
        self.flushes.fail_all(ErrorCode::NotLeaderOrFollower);
        self.waiters.wake_all();
    }

    fn check_open(&self) -> Result<(), ErrorCode> {
        if self.closed {
            Err(ErrorCode::NotLeaderOrFollower)
        } else {
            Ok(())
        }
    }
}

fn active_epoch(image: &Image, id: BrokerId) -> Option<engine::ids::BrokerEpoch> {
    image.broker(id).filter(|b| b.is_active()).map(|b| b.epoch)
}
