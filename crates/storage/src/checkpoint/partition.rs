//! `partition.metadata`: the id of the topic that a partition's directory belongs to (KIP-516).

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
    id.and_then(|id| id.trim().parse().ok())
        .map(Some)
        .ok_or_else(|| Error::corrupt(path, "no topic id"))
}

/// Replaces the file, durably.
pub fn write_topic_id(disk: &dyn Disk, path: &Path, topic_id: Uuid) -> Result<(), Error> {
    // Kafka ends the file without a newline.
    let text = format!("version: 0\ntopic_id: {topic_id}");
    disk::write_atomic(disk, path, text.as_bytes())
}
