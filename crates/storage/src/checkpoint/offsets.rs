//! Offset checkpoints of a log directory: `topic partition offset` per line.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::{entries, utf8};
use crate::disk::{self, Disk};
use crate::{Error, disk::read_file};

pub const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
pub const CLEANER_OFFSET_FILE: &str = "cleaner-offset-checkpoint";
/// Our own: instead of offsets, the Unix times in milliseconds at which logs were last read again and found whole.
pub const SCRUB_TIME_FILE: &str = "scrub-time-checkpoint";

/// (topic, partition) → offset.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// The entry that holds the CRC-32C of all others. Kafka's format has no checksum, and a changed digit reads well; as
/// an entry of a topic that cannot be, it is nothing to Kafka.
const CHECKSUM: &str = "#crc32c";

/// Reads such a file; one that is not there is empty. Kafka's, which have no checksum, are read too.
pub fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<Offsets, Error> {
    let Some(bytes) = read_file(disk, path)? else {
        return Ok(Offsets::new());
    };
    let mut offsets = Offsets::new();
    for line in entries(path, utf8(path, &bytes)?)? {
        let entry = parse(line).ok_or_else(|| Error::corrupt(path, format!("line '{line}'")))?;
        offsets.insert(entry.0, entry.1);
    }
    let sum = offsets.remove(&(CHECKSUM.to_string(), 0));
    match sum.is_some_and(|sum| sum != checksum(&offsets)) {
        true => Err(Error::corrupt(path, "the checksum does not match")),
        false => Ok(offsets),
    }
}

fn checksum(offsets: &Offsets) -> i64 {
    i64::from(crc32c::crc32c(lines(offsets).as_bytes()))
}

fn lines(offsets: &Offsets) -> String {
    let mut text = String::new();
    for ((topic, partition), offset) in offsets {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

fn parse(line: &str) -> Option<((String, i32), i64)> {
    let mut fields = line.split_whitespace();
    let topic = fields.next()?.to_string();
    let partition = fields.next()?.parse().ok()?;
    let offset = fields.next()?.parse().ok()?;
    fields
        .next()
        .is_none()
        .then_some(((topic, partition), offset))
}

/// Replaces such a file, durably.
pub fn write_offsets(disk: &dyn Disk, path: &Path, offsets: &Offsets) -> Result<(), Error> {
    let count = offsets.len() + 1;
    let text = format!(
        "0\n{count}\n{}{CHECKSUM} 0 {}\n",
        lines(offsets),
        checksum(offsets)
    );
    disk::write_atomic(disk, path, text.as_bytes())
}
