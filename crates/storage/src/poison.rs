//! Remembers that a write or fsync failed. After a failed fsync the kernel may have dropped the dirty pages and marked
//! them clean, so trying again proves nothing: all logs of the directory stop writing until a recovery.
//!
//! A log that is deleted stops writing in the same way, by itself: its directory's name may soon be another's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::Error;

/// Shared by all logs of a log directory; clones are the same flag.
#[derive(Clone, Default)]
pub struct Poison {
    directory: Arc<OnceLock<String>>,
    /// Called once, when the directory goes out of service.
    witness: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Of one log: it has been deleted.
    retired: Arc<AtomicBool>,
}

impl Poison {
    pub fn new() -> Poison {
        Poison::default()
    }

    /// `witness` is called at once when the directory goes out of service, by whoever has met the failure: it must not
    /// block.
    pub fn witnessed(witness: impl Fn() + Send + Sync + 'static) -> Poison {
        Poison {
            witness: Some(Arc::new(witness)),
            ..Poison::default()
        }
    }

    /// The directory's flag, with one of its own for a log.
    pub(crate) fn of_log(&self) -> Poison {
        Poison {
            retired: Arc::default(),
            ..self.clone()
        }
    }

    /// Takes the directory out of service. The first reason stays.
    pub fn set(&self, reason: impl Into<String>) {
        let is_first = self.directory.set(reason.into()).is_ok();
        if let Some(witness) = self.witness.as_ref().filter(|_| is_first) {
            witness();
        }
    }

    /// Why the directory is out of service, if it is.
    pub fn reason(&self) -> Option<&str> {
        self.directory.get().map(String::as_str)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub fn check(&self) -> Result<(), Error> {
        if self.is_retired() {
            return Err(Error::Retired);
        }
        match self.reason() {
            Some(reason) => Err(Error::Poisoned(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Poisons with the error and returns it, unless the disk is merely full, or the log's directory was renamed away
    /// because its topic is deleted.
    pub(crate) fn by(&self, error: Error) -> Error {
        if !matches!(error, Error::NoSpace { .. }) {
            self.set_by(&error);
        }
        error
    }

    /// The same for work that was left half done: a full disk is no excuse then.
    pub(crate) fn by_unfinished(&self, error: Error) -> Error {
        self.set_by(&error);
        error
    }

    fn set_by(&self, error: &Error) {
        let harmless = match error {
            Error::Poisoned(_) | Error::Retired => true,
            Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        };
        if !harmless && !self.is_retired() {
            self.set(error.to_string());
        }
    }
}

impl std::fmt::Debug for Poison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Poison");
        shown.field("reason", &self.reason());
        shown.field("retired", &self.is_retired()).finish()
    }
}
