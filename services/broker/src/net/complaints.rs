//! Log lines that any peer can cause: a few are written, the others are counted.

use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::env::{Env, Listener, Stream};

/// So long after the first of them, lines are written again, and how many were left out is told.
const PERIOD: Duration = Duration::from_secs(10);
/// Lines in a period.
const LINES: u32 = 10;
/// Rest after a failed accept: the usual cause is the limit on open files, which time mends.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What the connections of all listeners complain of.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Complaints {
    /// Whether one more line may be written; if not, it is counted.
    pub fn may_write(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        if state.began.is_none_or(|began| now >= began + PERIOD) {
            state.began = Some(now);
            state.lines = 0;
        }
        if state.lines < LINES {
            state.lines += 1;
            return true;
        }
        state.left_out += 1;
        false
    }

    /// The next connection of a listener. While it waits, it tells what there is to tell.
    pub async fn accept(
        &self,
        env: &Env,
        listener: &mut dyn Listener,
        name: &str,
    ) -> (Stream, SocketAddr) {
        loop {
            let accepted = timeout(PERIOD, listener.accept()).await;
            if let Some(lines) = self.left_out(env.now()) {
                tracing::warn!(
                    lines,
                    "connections were refused or closed for what their peers did, more than are told one by one"
                );
            }
            match accepted {
                Ok(Ok(accepted)) => return accepted,
                Ok(Err(error)) => {
                    if self.may_write(env.now()) {
                        tracing::warn!(%error, listener = name, "cannot accept a connection");
                    }
                    sleep(ACCEPT_REST).await;
                }
                Err(_) => {}
            }
        }
    }

    /// How many lines were left out, once the period is over.
    fn left_out(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        let is_over = state.began.is_some_and(|began| now >= began + PERIOD);
        (is_over && state.left_out > 0).then(|| std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_writes_a_few_lines_and_a_number() {
        let complaints = Complaints::default();
        let now = Instant::now;
        let written = (0..1000).filter(|_| complaints.may_write(now())).count();
        assert_eq!(written, LINES as usize);
        assert_eq!(complaints.left_out(now()), None, "it goes on");
        advance(PERIOD).await;
        assert_eq!(complaints.left_out(now()), Some(1000 - u64::from(LINES)));
        assert_eq!(complaints.left_out(now()), None, "it has been told");
        assert!(complaints.may_write(now()));
    }
}
