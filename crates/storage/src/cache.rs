//! Recent batches in memory, so that followers and consumers at the tail are served without a read. One budget holds
//! for all logs of a broker; the oldest batch of any log goes first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use wire::Records;
use wire::batch::Batch;

/// Batches below this size are kept and sent as copies: a copy is cheaper than a slice of its own, and does not hold
/// on to the frame that it came in.
const SMALL_BYTES: usize = 2048;
/// What a cached batch costs beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// The limit for all logs that are opened with it.
pub struct CacheBudget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    live: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    order: Mutex<Order>,
}

#[derive(Default)]
struct Order {
    next_sequence: u64,
    /// Every cached batch in the order of its arrival. An entry whose batch is gone (truncated) is stale.
    queue: VecDeque<(u64, Weak<Mutex<Batches>>)>,
}

impl CacheBudget {
    pub fn new(limit_bytes: u64) -> Arc<CacheBudget> {
        Arc::new(CacheBudget {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            order: Mutex::default(),
        })
    }

    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Reads of records that were answered from memory, and those that were not.
    pub fn reads(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.hits), count(&self.misses))
    }

    fn removed(&self, entry: &Cached) {
        self.used_bytes.fetch_sub(entry.cost(), Ordering::Relaxed);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Drops the oldest batches until the budget holds.
    fn shrink(&self, order: &mut Order) {
        while self.used_bytes() > self.limit_bytes {
            let Some((sequence, owner)) = order.queue.pop_front() else {
                break;
            };
            let Some(owner) = owner.upgrade() else {
                continue;
            };
            let mut batches = owner.lock();
            if batches.0.front().is_some_and(|e| e.sequence == sequence)
                && let Some(entry) = batches.0.pop_front()
            {
                self.removed(&entry);
            }
        }
        if order.queue.len() > 1024 + 2 * self.live.load(Ordering::Relaxed) {
            order.queue.retain(|(sequence, owner)| {
                let holds = |owner: Arc<Mutex<Batches>>| owner.lock().holds(*sequence);
                owner.upgrade().is_some_and(holds)
            });
        }
    }
}

#[derive(Default)]
struct Batches(VecDeque<Cached>);

impl Batches {
    fn holds(&self, sequence: u64) -> bool {
        self.0
            .binary_search_by_key(&sequence, |e| e.sequence)
            .is_ok()
    }
}

struct Cached {
    sequence: u64,
    base_offset: i64,
    last_offset: i64,
    /// The patched first bytes, if `rest` does not begin with them.
    prefix: Option<Bytes>,
    rest: Bytes,
}

impl Cached {
    fn new(sequence: u64, batch: &Batch) -> Cached {
        let small = batch.bytes.len() < SMALL_BYTES;
        let patched = batch.bytes.starts_with(&batch.patched_prefix());
        let (prefix, rest) = if small {
            let mut copy = BytesMut::from(&batch.bytes[..]);
            let prefix = batch.patched_prefix();
            copy[..prefix.len()].copy_from_slice(&prefix);
            (None, copy.freeze())
        } else if patched {
            (None, batch.bytes.clone())
        } else {
            let [prefix, rest] = batch.stored_chunks();
            (Some(prefix), rest)
        };
        Cached {
            sequence,
            base_offset: batch.header.base_offset,
            last_offset: batch.header.last_offset(),
            prefix,
            rest,
        }
    }

    fn len(&self) -> usize {
        self.rest.len() + self.prefix.as_ref().map_or(0, Bytes::len)
    }

    fn cost(&self) -> u64 {
        (self.len() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

/// The cached tail of one log: whole batches without a gap between the first and the log end.
pub(crate) struct LogCache {
    budget: Arc<CacheBudget>,
    batches: Arc<Mutex<Batches>>,
}

impl LogCache {
    pub fn new(budget: Arc<CacheBudget>) -> LogCache {
        LogCache {
            budget,
            batches: Arc::default(),
        }
    }

    pub fn push(&self, batch: &Batch) {
        let mut order = self.budget.order.lock();
        order.next_sequence += 1;
        let entry = Cached::new(order.next_sequence, batch);
        self.budget
            .used_bytes
            .fetch_add(entry.cost(), Ordering::Relaxed);
        self.budget.live.fetch_add(1, Ordering::Relaxed);
        order
            .queue
            .push_back((entry.sequence, Arc::downgrade(&self.batches)));
        self.batches.lock().0.push_back(entry);
        self.budget.shrink(&mut order);
    }

    /// The batches from the one with `from` on, below `below`, or `None` if the first is not cached.
    pub fn read(&self, from: i64, below: i64, max_bytes: usize, one: bool) -> Option<Records> {
        let batches = self.batches.lock();
        if batches
            .0
            .front()
            .is_none_or(|first| from < first.base_offset)
        {
            self.budget.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.budget.hits.fetch_add(1, Ordering::Relaxed);
        let first = batches.0.partition_point(|e| e.last_offset < from);
        let mut gather = Gather::default();
        for entry in batches.0.range(first..) {
            let fits = gather.len + entry.len() <= max_bytes || (one && gather.len == 0);
            if entry.last_offset >= below || !fits {
                break;
            }
            gather.push(entry);
        }
        Some(gather.finish())
    }

    /// Forgets the batches that end at `offset` or later.
    pub fn truncate_to(&self, offset: i64) {
        let mut batches = self.batches.lock();
        while batches.0.back().is_some_and(|e| e.last_offset >= offset) {
            if let Some(entry) = batches.0.pop_back() {
                self.budget.removed(&entry);
            }
        }
    }

    /// Forgets the batches that end below `offset`.
    pub fn drop_below(&self, offset: i64) {
        let mut batches = self.batches.lock();
        while batches.0.front().is_some_and(|e| e.last_offset < offset) {
            if let Some(entry) = batches.0.pop_front() {
                self.budget.removed(&entry);
            }
        }
    }
}

impl Drop for LogCache {
    fn drop(&mut self) {
        self.truncate_to(i64::MIN);
    }
}

/// Chains big batches and copies runs of small ones together.
#[derive(Default)]
struct Gather {
    chunks: Vec<Bytes>,
    run: BytesMut,
    len: usize,
}

impl Gather {
    fn push(&mut self, entry: &Cached) {
        self.len += entry.len();
        if entry.len() < SMALL_BYTES {
            self.run.extend_from_slice(&entry.rest);
            return;
        }
        self.end_run();
        self.chunks.extend(entry.prefix.clone());
        self.chunks.push(entry.rest.clone());
    }

    fn end_run(&mut self) {
        if !self.run.is_empty() {
            self.chunks.push(self.run.split().freeze());
        }
    }

    fn finish(mut self) -> Records {
        self.end_run();
        Records::from(self.chunks)
    }
}
