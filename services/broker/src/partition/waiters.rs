//! Fetches that wait for more: each is woken by the partitions that it waits for, never by a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::Partition;

/// What a reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Consumers.
    HighWatermark,
    /// Followers.
    LogEnd,
}

/// The fetches that wait for one partition.
#[derive(Default)]
pub(super) struct Waiters {
    by_id: BTreeMap<u64, (WaitFor, Arc<Notify>)>,
}

impl Waiters {
    pub fn wake(&mut self, what: WaitFor) {
        for (wanted, notify) in self.by_id.values() {
            if *wanted == what {
                notify.notify_one();
            }
        }
    }

    pub fn wake_all(&mut self) {
        self.by_id
            .values()
            .for_each(|(_, notify)| notify.notify_one());
    }
}

/// One fetch's wait, for any number of partitions. Dropping it ends it.
pub struct FetchWait {
    id: u64,
    notify: Arc<Notify>,
    partitions: Vec<Arc<Partition>>,
}

impl FetchWait {
    /// Numbers are unique in this process, and nothing else depends on them.
    pub fn new(ids: &AtomicU64) -> FetchWait {
        FetchWait {
            id: ids.fetch_add(1, Ordering::Relaxed),
            notify: Arc::new(Notify::new()),
            partitions: Vec::new(),
        }
    }

    /// From now on the partition wakes this fetch. To be called before its last look at the partition.
    pub fn add(&mut self, partition: &Arc<Partition>, what: WaitFor) {
        let waiter = (what, self.notify.clone());
        partition.state.lock().waiters.by_id.insert(self.id, waiter);
        self.partitions.push(partition.clone());
    }

    /// Returns when a partition has changed since the last call.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for FetchWait {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.state.lock().waiters.by_id.remove(&self.id);
        }
    }
}
