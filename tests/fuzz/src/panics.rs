//! Panics of this thread: tokio catches those of a task, and a broker in which one has died may go on as if nothing were.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static SEEN: Cell<usize> = const { Cell::new(0) };
}

/// How many there have been since this was first called.
pub fn seen() -> usize {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            let _ = SEEN.try_with(|seen| seen.set(seen.get() + 1));
            told(panic);
        }));
    });
    SEEN.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_is_caught_is_seen() {
        let before = seen();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let task = runtime.spawn(async { panic!("as one in a broker") });
        assert!(runtime.block_on(task).is_err());
        assert_eq!(seen(), before + 1);
    }
}
