//! Waiting for a condition with a deadline, the only way in which a test waits.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `condition` gives a value. An error counts as "not yet" and is told when the time is over.
pub fn within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        let last = match condition() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => String::from("not yet so"),
            Err(error) => format!("{error:#}"),
        };
        if begin.elapsed() > limit {
            bail!("{what}: not within {limit:?}: {last}");
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until `condition` holds.
pub fn until(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    within(limit, what, || Ok(condition()?.then_some(())))
}
