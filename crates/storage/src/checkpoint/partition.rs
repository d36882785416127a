//! `partition.metadata`: the id of the topic that a partition's directory belongs to (KIP-516).
//!
//! Behind Kafka's two lines, which are all that Kafka reads, is a checksum: a log whose topic id is another's is deleted,
//! and a changed digit must not be taken for that.

use std::path::Path;

use wire::Uuid;

use super::utf8;
use crate::Error;
use crate::disk::{self, Disk};

pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// Reads the topic id, if the file is there.
pub fn read_topic_id(disk: &dyn Disk, path: &Path) -> Result<Option<Uuid>, Error> {
    let Some(bytes) = disk::read_file(disk, path)? else {
        return Ok(None);
    };
    let mut lines = utf8(path, &bytes)?.lines();
    if lines.next() != Some("version: 0") {
        return Err(Error::corrupt(path, "not of version 0"));
    }
    let id = lines.next().and_then(|line| line.strip_prefix("topic_id:"));
    let id: Uuid = id
        .and_then(|id| id.trim().parse().ok())
        .ok_or_else(|| Error::corrupt(path, "no topic id"))?;
    match lines.next().is_some_and(|line| line != checksum(id)) {
        true => Err(Error::corrupt(path, WRONG)),
        false => Ok(Some(id)),
    }
}

/// What is to be done about it too, because nobody but a person can know.
const WRONG: &str = "the checksum does not match. Remove the file if the directory is that of the topic which has its \
    name now, else move the directory away";

fn checksum(id: Uuid) -> String {
    format!("crc32c: {:08x}", crc32c::crc32c(&id.0))
}

/// Replaces the file, durably.
pub fn write_topic_id(disk: &dyn Disk, path: &Path, topic_id: Uuid) -> Result<(), Error> {
    let sum = checksum(topic_id);
    let text = format!("version: 0\ntopic_id: {topic_id}\n{sum}\n");
    disk::write_atomic(disk, path, text.as_bytes())
}
