//! The clock that all processes of a run share: CLOCK_MONOTONIC, which is what Java's `System.nanoTime` reads too.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since an instant that is the same for every process of this machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What has passed between two readings.
pub fn between(earlier_ns: u64, later_ns: u64) -> Duration {
    Duration::from_nanos(later_ns.saturating_sub(earlier_ns))
}
