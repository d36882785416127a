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

#[derive(Clone, Copy)]
struct State {
    /// The last entry of the snapshot on disk.
    last: Option<LogId>,
    /// The last one could not be written.
    has_failed: bool,
}

impl Saved {
    pub fn new(last: Option<LogId>) -> Saved {
        let has_failed = false;
        Saved {
            writing: Mutex::default(),
            state: watch::Sender::new(State { last, has_failed }),
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
            state.has_failed = written.is_err();
            if written.is_ok() {
                state.last = last;
            }
            true
        });
        written
    }

    /// Waits until the snapshot on disk has an entry; fails where it could not be written.
    pub async fn reaches(&self, id: LogId) -> io::Result<()> {
        let mut states = self.state.subscribe();
        let is_settled = |state: &State| state.has_failed || state.last >= Some(id);
        let settled = states.wait_for(is_settled).await;
        match settled.is_ok_and(|state| state.last >= Some(id)) {
            true => Ok(()),
            false => Err(io::Error::other(
                "the snapshot that replaces the entries could not be written",
            )),
        }
    }
}
