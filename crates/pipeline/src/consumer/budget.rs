//! The memory that the batches of all partitions may take together.
//!
//! A batch grows until it is full or due, and with a large flush size many partitions can each hold a large one. When
//! their sum reaches the limit, the largest batch that still grows is written early. A batch that is being written counts
//! twice, since what is made of it (rows, lines, a request) takes about as much again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(super) struct Budget {
    limit: usize,
    shares: Mutex<Shares>,
}

#[derive(Default)]
struct Shares {
    last: u64,
    held: BTreeMap<u64, Held>,
}

struct Held {
    growing: usize,
    writing: usize,
    /// Whether the growing batch is to be written early.
    cut: watch::Sender<bool>,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget {
            limit,
            shares: Mutex::default(),
        })
    }

    /// A share of one worker, from nothing, until it is dropped.
    pub(super) fn join(self: &Arc<Budget>) -> Share {
        let (cut, cut_early) = watch::channel(false);
        let held = Held {
            growing: 0,
            writing: 0,
            cut,
        };
        let mut shares = self.shares();
        shares.last += 1;
        let number = shares.last;
        shares.held.insert(number, held);
        Share {
            budget: self.clone(),
            number,
            cut_early,
        }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one worker holds.
pub(super) struct Share {
    budget: Arc<Budget>,
    number: u64,
    cut_early: watch::Receiver<bool>,
}

impl Share {
    /// The growing batch has this size now. Where that is too much for all, the largest growing batch is asked to end.
    pub(super) fn on_growing(&self, bytes: usize) {
        let held = &mut self.budget.shares().held;
        if let Some(mine) = held.get_mut(&self.number) {
            mine.growing = bytes;
            if bytes == 0 {
                mine.cut.send_replace(false);
            }
        }
        let all: usize = held.values().map(|held| held.growing + held.writing).sum();
        if all < self.budget.limit {
            return;
        }
        // One at a time: what was asked to end is about to.
        if held.values().any(|held| *held.cut.borrow()) {
            return;
        }
        let growing = held.values().filter(|held| held.growing > 0);
        if let Some(largest) = growing.max_by_key(|held| held.growing) {
            largest.cut.send_replace(true);
        }
    }

    /// The growing batch is cut, and is being written.
    pub(super) fn on_writing(&self, bytes: usize) {
        if let Some(mine) = self.budget.shares().held.get_mut(&self.number) {
            (mine.growing, mine.writing) = (0, 2 * bytes);
            mine.cut.send_replace(false);
        }
    }

    pub(super) fn on_written(&self) {
        if let Some(mine) = self.budget.shares().held.get_mut(&self.number) {
            mine.writing = 0;
        }
    }

    /// Ends when the growing batch must be written early.
    pub(super) async fn cut_early(&mut self) {
        // The sender lives in the budget for as long as this share does.
        if self.cut_early.wait_for(|cut| *cut).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.shares().held.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn shares(limit: usize) -> [Share; 3] {
        let budget = Budget::new(limit);
        [(); 3].map(|()| budget.join())
    }

    fn asked(share: &mut Share) -> bool {
        share.cut_early().now_or_never().is_some()
    }

    #[test]
    fn the_largest_batch_ends_when_all_together_are_too_large() {
        // Given three batches within the limit
        let [mut a, mut b, mut c] = shares(100);
        a.on_growing(30);
        b.on_growing(50);
        c.on_growing(19);
        assert!(![&mut a, &mut b, &mut c].into_iter().any(asked));
        // When a small one reaches it, then the largest is asked to end, and no other
        c.on_growing(20);
        assert!(!asked(&mut a) && asked(&mut b) && !asked(&mut c));
        a.on_growing(31);
        assert!(!asked(&mut a) && !asked(&mut c));
        // While that one is written (twice its size) the next largest ends
        b.on_writing(50);
        assert!(!asked(&mut b));
        a.on_growing(25);
        assert!(asked(&mut a) && !asked(&mut b) && !asked(&mut c));
        a.on_writing(25);
        // And when all is written there is room again
        a.on_written();
        b.on_written();
        c.on_growing(99);
        assert!(![&mut a, &mut b, &mut c].into_iter().any(asked));
    }

    #[test]
    fn a_worker_that_ends_gives_its_share_back() {
        let [a, mut b, c] = shares(100);
        a.on_growing(90);
        drop(a);
        b.on_growing(90);
        assert!(!asked(&mut b));
        drop(c);
        b.on_growing(100);
        assert!(asked(&mut b));
    }
}
