//! Faults to order: which operations on which files fail, and how.

use std::io;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    /// A read that works, and gives something else than what is there: here and there a bit is flipped.
    Flip,
    /// Appends and truncations. A failed append leaves a part of its bytes.
    Write,
    /// Of files and of directories.
    Sync,
}

/// Fails an operation on every path that contains `path` and ends in `suffix`.
#[derive(Clone, Debug)]
pub struct Fault {
    pub operation: Operation,
    pub path: String,
    pub suffix: String,
    /// How many matching operations pass before.
    pub after: u32,
    /// How many fail then; `u32::MAX` for all of them.
    pub times: u32,
    pub kind: io::ErrorKind,
}

impl Fault {
    /// All further operations of this kind on such paths fail with an I/O error.
    pub fn always(operation: Operation, path: &str) -> Fault {
        Fault {
            operation,
            path: path.to_string(),
            suffix: String::new(),
            after: 0,
            times: u32::MAX,
            kind: io::ErrorKind::Other,
        }
    }

    /// The next such operation fails.
    pub fn once(operation: Operation, path: &str) -> Fault {
        Fault {
            times: 1,
            ..Fault::always(operation, path)
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub rules: Vec<Fault>,
    pub capacity_bytes: Option<u64>,
    /// How many changes take place before the power fails; -1 when it has.
    pub changes_left: Option<i64>,
}

impl Faults {
    /// To be asked before anything is changed: whether the power is still there.
    pub fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            None => Ok(()),
            Some(left) if *left > 0 => {
                *left -= 1;
                Ok(())
            }
            Some(left) => {
                *left = -1;
                Err(io::Error::other("the power has failed"))
            }
        }
    }

    pub fn check(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        let text = path.to_string_lossy();
        let matching = |rule: &&mut Fault| {
            let named = text.contains(&rule.path) && text.ends_with(&rule.suffix);
            named && rule.operation == operation
        };
        for rule in self.rules.iter_mut().filter(matching) {
            if rule.after > 0 {
                rule.after -= 1;
            } else if rule.times > 0 {
                rule.times -= u32::from(rule.times != u32::MAX);
                return Err(io::Error::new(rule.kind, "injected fault"));
            }
        }
        Ok(())
    }
}
