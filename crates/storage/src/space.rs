//! Tells all logs of a directory that its disk is nearly full: then nothing is appended, before the disk is full and
//! writes fail half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clones are the same flag. Set and cleared by whoever watches the free space.
#[derive(Clone, Debug, Default)]
pub struct Space(Arc<AtomicBool>);

impl Space {
    pub fn set_low(&self, low: bool) {
        self.0.store(low, Ordering::Relaxed);
    }

    pub fn is_low(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
