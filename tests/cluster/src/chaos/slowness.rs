//! How slow a disk is: written by a run, read by the broker of a test build whose disk it is.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The environment variable that names the file.
pub const VARIABLE: &str = "CHAOS_SLOWNESS";

/// How much longer each operation takes, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slowness {
    pub read_ms: u64,
    pub append_ms: u64,
    pub sync_ms: u64,
}

impl Slowness {
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = format!("{} {} {}", self.read_ms, self.append_ms, self.sync_ms);
        // Whole or not at all for who reads it.
        let beside = file.with_extension("new");
        fs::write(&beside, text)?;
        Ok(fs::rename(&beside, file)?)
    }

    pub fn read(file: &Path) -> Result<Slowness> {
        let text = fs::read_to_string(file)?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next().context("three numbers")?.context("a number");
        Ok(Slowness {
            read_ms: next()?,
            append_ms: next()?,
            sync_ms: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let place = tempfile::tempdir()?;
        let file = place.path().join("slowness");
        let slow = Slowness {
            read_ms: 1,
            append_ms: 20,
            sync_ms: 8_000,
        };
        slow.write(&file)?;
        assert_eq!(Slowness::read(&file)?, slow);
        Ok(())
    }
}
