//! Replacing segments by their cleaned version so that an interruption at any point loses nothing.
//!
//! As in Kafka: the new files are written and synced as `.cleaned`, renamed to `.swap`, the old ones to `.deleted`, then
//! `.swap` loses its suffix. A `.cleaned` file found at the start is unfinished; a `.swap` file is complete and wins.

use std::path::Path;

use crate::Error;
use crate::disk::{Disk, remove_if_there};
use crate::segment::scan::{Found, Scanner};
use crate::segment::{EXTENSIONS, INDEX, LOG, SNAPSHOT, TIMEINDEX, file_path};

pub(super) const CLEANED: &str = "cleaned";
pub(super) const SWAP: &str = "swap";

/// Finishes or undoes what an interrupted compaction left.
pub(crate) fn finish_swaps(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let entries = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut swaps = Vec::new();
    for entry in &entries {
        let path = dir.join(&entry.name);
        if entry.name.ends_with(".cleaned") {
            remove_if_there(disk, &path)?;
        } else if let Some(base) = entry.name.strip_suffix(".log.swap") {
            swaps.extend(base.parse::<i64>().ok().map(|base| (base, entry.len)));
        }
    }
    let bases: Vec<i64> = entries
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(".log")?.parse().ok())
        .collect();
    for (base, len) in &swaps {
        let last = last_offset(disk, dir, *base, *len)?;
        // What the cleaned segment replaces: all segments that begin within it.
        for old in bases.iter().filter(|old| **old >= *base && **old <= last) {
            // The producers' state at the base offset is still what it was.
            for extension in EXTENSIONS.iter().filter(|e| **e != SNAPSHOT || old != base) {
                remove_if_there(disk, &file_path(dir, *old, extension))?;
            }
        }
        for extension in [INDEX, TIMEINDEX, LOG] {
            let path = file_path(dir, *base, extension);
            let swap = swapped(&path, SWAP);
            if disk.exists(&swap) {
                disk.rename(&swap, &path)
                    .map_err(|e| Error::io("rename", &swap, e))?;
            }
        }
    }
    for entry in entries.iter().filter(|e| e.name.ends_with(".swap")) {
        remove_if_there(disk, &dir.join(&entry.name))?;
    }
    Ok(())
}

/// `path` with another suffix behind its extension.
pub(super) fn swapped(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The files of a segment that is being replaced.
pub(super) fn paths(dir: &Path, base: i64, suffix: &str) -> [std::path::PathBuf; 3] {
    [LOG, INDEX, TIMEINDEX].map(|extension| swapped(&file_path(dir, base, extension), suffix))
}

fn last_offset(disk: &dyn Disk, dir: &Path, base: i64, len: u64) -> Result<i64, Error> {
    let path = swapped(&file_path(dir, base, LOG), SWAP);
    let file = disk.open(&path).map_err(|e| Error::io("open", &path, e))?;
    let mut scanner = Scanner::sequential(&*file, len);
    let (mut position, mut last) = (0, base);
    while let Found::Batch(header) = scanner
        .header(position)
        .map_err(|e| Error::io("read", &path, e))?
    {
        last = header.last_offset();
        position += header.size_bytes() as u64;
    }
    Ok(last)
}
