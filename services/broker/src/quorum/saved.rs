//! How far the snapshot on disk reaches, for those who remove what it has replaced.
//!
//! The consensus installs a snapshot in one task and purges the log up to it in another, and waits for neither: entries that
//! were gone before the snapshot could be written would be in no file (seed 18210).

use std::io;

use parking_lot::Mutex;

use super::types::LogId;
use crate::env::watch;

/// Shared by the state machine, those who build snapshots for it, and the log.
pub(super) struct Saved {
    /// One is written at a time: one that is built while a newer one is installed must not replace that one.
    writing: Mutex<()>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// The last entry of the snapshot on disk.
    last: Option<LogId>,
    /// The last entry of those that could not be written.
    failed: Option<LogId>,
    /// Nobody is left who would write another.
    has_ended: bool,
}

impl Saved {
    pub fn new(last: Option<LogId>) -> Saved {
        let state = State {
            last,
            ..State::default()
        };
        Saved {
            writing: Mutex::default(),
            state: watch::Sender::new(state),
        }
    }

    /// Writes a snapshot that ends with `last`, unless there is a newer one. Blocks.
    pub fn write(
        &self,
        last: Option<LogId>,
        write: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let _one = self.writing.lock();
        if last < self.state.subscribe().latest().last {
            return Ok(());
        }
        let written = write();
        self.state.send_if_modified(|state| {
            match written {
                Ok(()) => state.last = last,
                Err(_) => state.failed = state.failed.max(last),
            }
            true
        });
        written
    }

    /// The state machine is gone, and with it whatever it still had to write.
    pub fn end(&self) {
        self.state.send_if_modified(|state| {
            state.has_ended = true;
            true
        });
    }

    /// Waits until the snapshot on disk has an entry; fails where it could not be written, or never will be.
    pub async fn reaches(&self, id: LogId) -> io::Result<()> {
        let mut states = self.state.subscribe();
        let is_settled =
            |state: &State| state.has_ended || state.last.max(state.failed) >= Some(id);
        let settled = states.wait_for(is_settled).await;
        match settled.is_ok_and(|state| state.last >= Some(id)) {
            true => Ok(()),
            false => Err(io::Error::other(
                "the snapshot that replaces the entries was not written",
            )),
        }
    }
}
