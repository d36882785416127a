//! The small files beside the segments, in Kafka's formats: offsets per partition, leader epochs, identity of a
//! partition and of a log directory, and the mark of a clean shutdown.

mod directory;
mod epochs;
mod offsets;
mod partition;

use std::path::Path;

pub use directory::{
    CLEAN_SHUTDOWN_FILE, CleanShutdown, META_PROPERTIES_FILE, MetaProperties, read_clean_shutdown,
    read_meta_properties, write_clean_shutdown, write_meta_properties,
};
pub use epochs::{LEADER_EPOCH_FILE, read_epochs, write_epochs};
pub use offsets::{
    CLEANER_OFFSET_FILE, HIGH_WATERMARK_FILE, LOG_START_FILE, Offsets, RECOVERY_POINT_FILE,
    SCRUB_TIME_FILE, read_offsets, write_offsets,
};
pub use partition::{PARTITION_METADATA_FILE, read_topic_id, write_topic_id};

use crate::Error;

/// The lines of a checkpoint of version 0: version, count, that many entries.
fn entries<'a>(path: &Path, text: &'a str) -> Result<Vec<&'a str>, Error> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some("0") {
        return Err(Error::corrupt(path, "not a checkpoint of version 0"));
    }
    let count = lines.next().and_then(|line| line.trim().parse().ok());
    let entries: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    if count != Some(entries.len()) {
        return Err(Error::corrupt(path, "the count does not match the entries"));
    }
    Ok(entries)
}

fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::corrupt(path, "not UTF-8"))
}
