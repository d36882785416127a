//! Waiting that ends early when somebody has asked for the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked whether to end.
const LOOK: Duration = Duration::from_millis(20);

/// Shared by everything that waits in a run.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<AtomicBool>);

impl Pace {
    /// From now on nothing waits.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets time pass: the one thing here for which there is no condition.
    pub fn pause(&self, time: Duration) {
        self.until(time, || false);
    }

    /// Waits until `condition` holds; whether it did, within `limit`.
    pub fn until(&self, limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        loop {
            if condition() {
                return true;
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() || self.is_stopped() {
                return false;
            }
            thread::sleep(LOOK.min(left));
        }
    }
}
