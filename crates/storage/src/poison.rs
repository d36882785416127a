//! Remembers that a write or fsync failed. After a failed fsync the kernel may have dropped the dirty pages and marked
//! them clean, so trying again proves nothing: all logs of the directory stop writing until a recovery.

use std::sync::{Arc, OnceLock};

use crate::Error;

/// Shared by all logs of a log directory; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Poison(Arc<OnceLock<String>>);

impl Poison {
    pub fn new() -> Poison {
        Poison::default()
    }

    /// Takes the directory out of service. The first reason stays.
    pub fn set(&self, reason: impl Into<String>) {
        let _ = self.0.set(reason.into());
    }

    /// Why the directory is out of service, if it is.
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    pub fn check(&self) -> Result<(), Error> {
        match self.reason() {
            Some(reason) => Err(Error::Poisoned(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Poisons with the error and returns it, unless the disk is merely full, or the log's directory was renamed away
    /// because its topic is deleted.
    pub(crate) fn by(&self, error: Error) -> Error {
        let harmless = match &error {
            Error::NoSpace { .. } | Error::Poisoned(_) => true,
            Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        };
        if !harmless {
            self.set(error.to_string());
        }
        error
    }
}
