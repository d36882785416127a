//! What a request waits for without working: other brokers, records that are not there yet, the members of a group.
//!
//! The handlers that wait are far from where requests are measured, so the time is put into a place that belongs to the
//! request's own future.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static WAITED: Cell<Duration>;
}

/// Runs a request's handler; how long it has waited comes with its answer.
pub async fn measured<T>(handler: impl Future<Output = T>) -> (T, Duration) {
    let run = async {
        let answer = handler.await;
        (answer, WAITED.with(Cell::get))
    };
    WAITED.scope(Cell::default(), run).await
}

/// Waits for what is not this broker's work. Outside of a request it only waits.
pub async fn waiting<T>(wait: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = wait.await;
    // Nobody measures what coordinators and fetchers wait for on their own account.
    let _ = WAITED.try_with(|waited| waited.set(waited.get() + began.elapsed()));
    result
}
