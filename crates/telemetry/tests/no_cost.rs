//! Where traces are off they cost nothing: no memory is taken, and no name, attribute or link is made.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use telemetry::traces::{Begin, SpanKind, Tracer, child, current_ids};

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Counts what this thread takes.
struct Counting;

// SAFETY: everything is the system's allocator's, which keeps the contract; counting touches no memory of its own.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a service does around one record or batch.
fn work(tracer: &Tracer) -> u64 {
    let span = tracer.begin(|| Begin::new(SpanKind::Producer, format!("send {}", "t")));
    assert!(span.headers().is_none() && !span.is_recording());
    let mut around = pin!(span.around(async {
        let inner = child(SpanKind::Client, || "INSERT t".to_owned().into(), Vec::new);
        inner.fail("XX000", || "a reason".to_owned());
        inner.event("retry", Vec::new);
        u64::from(current_ids().is_some())
    }));
    match around
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(found) => found,
        Poll::Pending => unreachable!("it waits for nothing"),
    }
}

#[test]
fn traces_that_are_off_take_no_memory() {
    let tracer = Tracer::off();
    // The first use of a thread-local may take some.
    work(&tracer);
    let before = TAKEN.with(Cell::get);
    let found: u64 = (0..1_000).map(|_| work(&tracer)).sum();
    assert_eq!((found, TAKEN.with(Cell::get) - before), (0, 0));
}
