//! Panics of the thread that a life is lived on: tokio catches those of a task, and without a look nobody would know.

use std::cell::RefCell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` and gives each panic that happened meanwhile, wherever it was caught.
pub fn noticed<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            SEEN.with_borrow_mut(|seen| seen.push(panic.to_string()));
            before(panic);
        }));
    });
    SEEN.take();
    let result = work();
    (result, SEEN.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_a_runtime_keeps_to_itself_is_noticed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers can always be built");
        let work = || {
            let task = runtime.spawn(async { panic!("on purpose") });
            runtime.block_on(task).is_err()
        };
        let (caught, panics) = noticed(work);
        assert!(caught);
        assert_eq!(panics.len(), 1);
        assert!(panics[0].contains("on purpose"), "{panics:?}");
        assert!(noticed(|| {}).1.is_empty());
    }
}
