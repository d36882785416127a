//! What router, workers and monitor share, and what they tell each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::StreamConsumer;
use telemetry::Readiness;
use tokio::sync::{mpsc, watch};

use super::budget::Budget;
use super::context::Context;
use super::metrics::Metrics;
use super::{Partition, Settings};
use crate::Record;

/// Records in a partition's buffer at most, whatever their size.
pub(super) const BUFFER_RECORDS: usize = 10_000;
/// A partition's share of the buffer never falls below this.
pub(super) const LEAST_SHARE_BYTES: usize = 256 << 10;

/// What router, workers and monitor share.
pub(super) struct Shared<S> {
    pub settings: Settings,
    pub sink: Arc<S>,
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub consumer: Arc<StreamConsumer<Context>>,
    pub commands: mpsc::Sender<Command>,
    /// Changes when every worker must look at its position and the log again.
    pub restart: watch::Sender<u64>,
    pub positions: Mutex<BTreeMap<Partition, i64>>,
    pub budget: Arc<Budget>,
}

impl<S> Shared<S> {
    /// The next offset to be stored, by partition.
    pub(super) fn positions(&self) -> MutexGuard<'_, BTreeMap<Partition, i64>> {
        self.positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker asks of the router.
pub(super) enum Command {
    /// Seek to `position` and route what comes from there into `buffer`.
    Start {
        partition: Partition,
        position: i64,
        buffer: mpsc::Sender<Record>,
        level: Arc<Level>,
    },
    /// The buffer of a paused partition has room again.
    Resume(Partition),
}

/// How full a partition's buffer is.
#[derive(Default)]
pub(super) struct Level {
    bytes: AtomicUsize,
    paused: AtomicBool,
}

impl Level {
    /// A record goes into the buffer. What the buffer then holds, in bytes.
    pub(super) fn on_routed(&self, bytes: usize) -> usize {
        self.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes
    }

    /// What the buffer holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// It did not go in after all.
    pub(super) fn on_refused(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Fetching pauses. Whether it must resume at once: the worker may have emptied the buffer before it could see the
    /// pause, and then nobody else would.
    pub(super) fn on_paused(&self) -> bool {
        self.paused.store(true, Ordering::SeqCst);
        self.bytes.load(Ordering::SeqCst) == 0 && self.paused.swap(false, Ordering::SeqCst)
    }

    /// A record left the buffer. Whether this is the moment to resume a paused partition.
    pub(super) fn on_taken(&self, bytes: usize, left: usize) -> bool {
        let before = self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        let low = before - bytes <= LEAST_SHARE_BYTES / 2 && left <= BUFFER_RECORDS / 2;
        low && self.paused.swap(false, Ordering::SeqCst)
    }
}
