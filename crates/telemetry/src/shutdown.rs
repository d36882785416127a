//! The wish to end, as the operating system expresses it.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// A future that ends on the first SIGTERM or SIGINT and gives the signal's name. The handlers are in place when this
/// returns, so that a signal which arrives before the future is first polled is not lost.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn shutdown_signal() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = term.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
