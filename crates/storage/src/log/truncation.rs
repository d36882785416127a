//! Where the log was cut below a recovery point that a checkpoint may hold.
//!
//! The checkpoint promises that all below was made durable, so that a batch which is not whole there was changed by the
//! disk, and cutting the log at it would lose what is behind it. After a truncation the promise is void from the cut on
//! until the log is durable that far again; a small file beside the segments says so, before anything is cut.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::{Disk, read_file, remove_if_there, write_atomic};

const FILE: &str = "truncation-offset";

/// The lowest cut for which the promise has not been kept again.
#[derive(Default)]
pub(super) struct Truncation(Option<i64>);

impl Truncation {
    /// Reads the file; what cannot be understood takes back the whole promise.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Truncation, Error> {
        let bytes = read_file(disk, &path(dir))?;
        let offset = bytes.map(|bytes| parse(&bytes).unwrap_or(0));
        Ok(Truncation(offset))
    }

    /// The part of what a checkpoint promises that holds.
    pub fn limit(&self, recovery_point: i64) -> i64 {
        self.0.map_or(recovery_point, |cut| cut.min(recovery_point))
    }

    /// To be called before a cut at `offset`; `claimed` is the most that a checkpoint may hold.
    pub fn begin(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        offset: i64,
        claimed: i64,
    ) -> Result<(), Error> {
        if self.limit(claimed) > offset {
            let text = format!("{offset} {}\n", crc32c::crc32c(&offset.to_be_bytes()));
            write_atomic(disk, &path(dir), text.as_bytes())?;
            self.0 = Some(offset);
        }
        Ok(())
    }

    /// Everything below `claimed` is durable: what a crash brings back is only too careful.
    pub fn end(&mut self, disk: &dyn Disk, dir: &Path, durable: i64, claimed: i64) {
        if self.0.is_some() && durable >= claimed && remove_if_there(disk, &path(dir)).is_ok() {
            self.0 = None;
        }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn parse(bytes: &[u8]) -> Option<i64> {
    let (offset, crc) = std::str::from_utf8(bytes)
        .ok()?
        .trim_end()
        .split_once(' ')?;
    let offset: i64 = offset.parse().ok()?;
    let crc: u32 = crc.parse().ok()?;
    (crc == crc32c::crc32c(&offset.to_be_bytes())).then_some(offset)
}
