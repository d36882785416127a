//! `leader-epoch-checkpoint` of a partition: `epoch start-offset` per line, both growing (KIP-101).

use std::fmt::Write;
use std::path::Path;

use super::{entries, utf8};
use crate::Error;
use crate::disk::{self, Disk};

pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// Reads the epochs and the offsets where they start; a file that is not there is empty.
pub fn read_epochs(disk: &dyn Disk, path: &Path) -> Result<Vec<(i32, i64)>, Error> {
    match disk::read_file(disk, path)? {
        Some(bytes) => parse_epochs(path, &bytes),
        None => Ok(Vec::new()),
    }
}

fn parse_epochs(path: &Path, bytes: &[u8]) -> Result<Vec<(i32, i64)>, Error> {
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    for line in entries(path, utf8(path, bytes)?)? {
        let entry = parse(line).ok_or_else(|| Error::corrupt(path, format!("line '{line}'")))?;
        if epochs
            .last()
            .is_some_and(|last| last.0 >= entry.0 || last.1 > entry.1)
        {
            return Err(Error::corrupt(path, "epochs are out of order"));
        }
        epochs.push(entry);
    }
    Ok(epochs)
}

fn parse(line: &str) -> Option<(i32, i64)> {
    let (epoch, start) = line.trim().split_once(' ')?;
    Some((epoch.parse().ok()?, start.trim().parse().ok()?))
}

/// Replaces the file, durably.
pub fn write_epochs(disk: &dyn Disk, path: &Path, epochs: &[(i32, i64)]) -> Result<(), Error> {
    disk::write_atomic(disk, path, encode_epochs(epochs).as_bytes())
}

fn encode_epochs(epochs: &[(i32, i64)]) -> String {
    let mut text = format!("0\n{}\n", epochs.len());
    for (epoch, start) in epochs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{epoch} {start}");
    }
    text
}
