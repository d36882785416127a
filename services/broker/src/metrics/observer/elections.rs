//! Elections, counted by comparing the metadata with what it was a moment ago.

use std::sync::Arc;

use engine::metadata::Image;
use parking_lot::Mutex;
use telemetry::metrics::Counter;

/// Partitions that have got another leader since this broker began to look.
pub(super) struct Elections {
    before: Mutex<Arc<Image>>,
    pub clean: Counter,
    /// The leader was not in the ISR.
    pub unclean: Counter,
}

impl Elections {
    pub fn new(image: Arc<Image>) -> Elections {
        Elections {
            before: Mutex::new(image),
            clean: Counter::default(),
            unclean: Counter::default(),
        }
    }

    pub fn look(&self, image: Arc<Image>) {
        let before = std::mem::replace(&mut *self.before.lock(), image.clone());
        if Arc::ptr_eq(&before, &image) {
            return;
        }
        for (id, now) in image.partitions() {
            let Some(then) = before.partition(id.topic, id.index) else {
                continue;
            };
            let (Some(leader), false) = (now.leader, then.leader_epoch == now.leader_epoch) else {
                continue;
            };
            match then.is_in_sync(leader) {
                true => self.clean.inc(),
                false => self.unclean.inc(),
            }
        }
    }
}
