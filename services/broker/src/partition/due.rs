//! Partitions that somebody has to look at soon. Asking twice is asking once, so it cannot grow beyond the partitions.

use std::collections::BTreeSet;

use engine::metadata::PartitionId;
use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Due {
    ids: Mutex<BTreeSet<PartitionId>>,
    notify: Notify,
}

impl Due {
    pub fn request(&self, id: PartitionId) {
        self.ids.lock().insert(id);
        self.notify.notify_one();
    }

    /// Waits until there are some, and takes them.
    pub async fn take(&self) -> BTreeSet<PartitionId> {
        loop {
            let ids = std::mem::take(&mut *self.ids.lock());
            if !ids.is_empty() {
                return ids;
            }
            self.notify.notified().await;
        }
    }
}
