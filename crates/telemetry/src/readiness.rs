//! Whether a process can do its work, and if not, which part of it waits for what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A shared list of the parts that must work before the process is ready, each with its reason while it does not.
///
/// Cloning gives another handle to the same list. With no part registered the process is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

impl Readiness {
    /// A list in which each named part is not ready yet.
    pub fn waiting_for<'a>(parts: impl IntoIterator<Item = &'a str>) -> Readiness {
        let readiness = Readiness::default();
        for part in parts {
            readiness.not_ready(part, "starting");
        }
        readiness
    }

    /// `part` works.
    pub fn ready(&self, part: &str) {
        self.lock().insert(part.to_owned(), None);
    }

    /// `part` does not work, for this reason.
    pub fn not_ready(&self, part: &str, reason: impl Into<String>) {
        self.lock().insert(part.to_owned(), Some(reason.into()));
    }

    /// `part` no longer counts.
    pub fn forget(&self, part: &str) {
        self.lock().remove(part);
    }

    pub fn is_ready(&self) -> bool {
        self.lock().values().all(Option::is_none)
    }

    /// The parts that are not ready with their reasons, in the order of their names.
    pub fn reasons(&self) -> Vec<(String, String)> {
        self.lock()
            .iter()
            .filter_map(|(part, reason)| Some((part.clone(), reason.clone()?)))
            .collect()
    }

    // The map is whole after every statement, so a panic elsewhere while it was locked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_part_is() {
        let readiness = Readiness::waiting_for(["kafka", "postgres"]);
        let other_handle = readiness.clone();
        assert!(!readiness.is_ready());

        other_handle.ready("kafka");
        other_handle.not_ready("postgres", "connection refused");
        assert_eq!(
            readiness.reasons(),
            [("postgres".to_owned(), "connection refused".to_owned())]
        );

        other_handle.forget("postgres");
        assert!(readiness.is_ready());
    }
}
