//! An allocator that counts what each thread holds, so that a target can say what its input may cost.

// An allocator cannot be written without; this one only counts what it hands on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    /// Bytes that this thread has taken and not given back; what another thread gives back counts there.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = LIVE.try_with(|live| {
        let now = live.get() + bytes;
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

// SAFETY: everything is the system allocator's; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Runs `work` and gives what it returns, with the most bytes that this thread held meanwhile beyond what it held before.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let done = work();
    (done, (PEAK.get() - before).max(0) as usize)
}

/// Runs `work`, which may take `limit` bytes at its peak.
///
/// # Panics
/// If it takes more.
pub fn within<T>(limit: usize, what: &str, work: impl FnOnce() -> T) -> T {
    let (done, peak) = peak_of(work);
    assert!(peak <= limit, "{what} took {peak} bytes, more than {limit}");
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_given_back_counts() {
        let (kept, peak) = peak_of(|| {
            drop(vec![1u8; 100_000]);
            vec![1u8; 10]
        });
        assert_eq!(kept.len(), 10);
        assert!((100_000..110_000).contains(&peak), "{peak}");
    }

    #[test]
    #[should_panic(expected = "more than 5000")]
    fn who_takes_too_much_is_told() {
        within(5_000, "a vector", || vec![1u8; 10_000]);
    }
}
