//! Partitions of which something could not be read, because the disk has changed it. Whoever looks at them soon reads a
//! whole segment, so one report of each is enough. And whether any log was cut, of which the checkpoints may say more.

use std::collections::BTreeMap;

use engine::metadata::PartitionId;
use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Suspects {
    /// An offset of the segment.
    offsets: Mutex<BTreeMap<PartitionId, i64>>,
    notify: Notify,
    cut: Notify,
}

impl Suspects {
    /// A read at `offset` has failed. Who reads there again reports it again.
    pub fn report(&self, id: PartitionId, offset: i64) {
        self.offsets.lock().entry(id).or_insert(offset);
        self.wake();
    }

    /// Something is known to be damaged.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits until something was reported or found.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }

    /// A log was cut: a start before the next checkpoints would take them for what is there.
    pub fn note_cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until that has happened.
    pub async fn was_cut(&self) {
        self.cut.notified().await;
    }

    pub fn take(&self) -> BTreeMap<PartitionId, i64> {
        std::mem::take(&mut *self.offsets.lock())
    }
}
