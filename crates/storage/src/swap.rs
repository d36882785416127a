//! Replacing segments by their cleaned or repaired version so that an interruption at any point loses nothing.
//!
//! As in Kafka: the new files are written and synced as `.cleaned`, renamed to `.swap`, the old ones to `.deleted`, then
//! `.swap` loses its suffix. A `.cleaned` file found at the start is unfinished; a `.swap` file is complete and wins. The
//! same with `.repaired` for the file that takes the place of a damaged one, which is kept as `.damaged`.

use std::path::Path;

use crate::Error;
use crate::disk::{Disk, remove_if_there};
use crate::log::{DeletedSegments, Log};
use crate::segment::scan::{Found, Scanner};
use crate::segment::{EXTENSIONS, INDEX, LOG, SNAPSHOT, Segment, TIMEINDEX, file_path};

/// A segment that is being compacted.
pub(crate) const CLEANED: &str = "cleaned";
/// One that is being repaired.
pub(crate) const REPAIRED: &str = "repaired";
const SWAP: &str = "swap";
/// What a repaired segment has replaced, for who wants to look at it.
const DAMAGED: &str = "damaged";

/// Segments that another one takes the place of.
pub(crate) struct Replaced<'a> {
    /// The first of them in the log.
    pub first: usize,
    pub bases: &'a [i64],
    /// The suffix of the new one's files.
    pub suffix: &'static str,
}

impl Log {
    /// Swaps the files, and the segments in the log. The caller removes the old files without the log's lock.
    pub(crate) fn swap(
        &mut self,
        replaced: &Replaced<'_>,
        mut segment: Segment,
        deleted: &mut DeletedSegments,
    ) -> Result<(), Error> {
        let base = segment.base_offset;
        let disk = self.disk.clone();
        let rename = |from: &Path, to: &Path| {
            disk.rename(from, to)
                .map_err(|e| Error::io("rename", from, e))
        };
        // The log comes last: with it the swap is decided.
        let files = [INDEX, TIMEINDEX, LOG].map(|extension| file_path(&self.dir, base, extension));
        for path in &files {
            rename(&swapped(path, replaced.suffix), &swapped(path, SWAP))?;
        }
        self.sync_dir()?;
        if replaced.suffix == REPAIRED {
            self.set_damaged_aside(&files[2])?;
        }
        for old in replaced.bases {
            self.mark_replaced(*old, *old == base, deleted)?;
        }
        for path in &files {
            rename(&swapped(path, SWAP), path)?;
        }
        self.sync_dir()?;
        segment.moved_to(&self.dir);
        let last = replaced.first + replaced.bases.len();
        self.segments.splice(replaced.first..last, [segment]);
        Ok(())
    }

    /// Keeps a damaged file under another name, and none that was kept before: so it is one at most.
    fn set_damaged_aside(&self, path: &Path) -> Result<(), Error> {
        let entries = self.disk.list(&self.dir);
        for entry in entries.map_err(|e| Error::io("list", &self.dir, e))? {
            if entry.name.ends_with(".damaged") {
                remove_if_there(&*self.disk, &self.dir.join(&entry.name))?;
            }
        }
        let renamed = self.disk.rename(path, &swapped(path, DAMAGED));
        renamed.map_err(|e| Error::io("rename", path, e))
    }
}

/// Finishes or undoes what an interrupted compaction or repair left.
pub(crate) fn finish_swaps(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let entries = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut swaps = Vec::new();
    for entry in &entries {
        let path = dir.join(&entry.name);
        if entry.name.ends_with(".cleaned") || entry.name.ends_with(".repaired") {
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
fn swapped(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The files of a segment that is being replaced.
pub(crate) fn paths(dir: &Path, base: i64, suffix: &str) -> [std::path::PathBuf; 3] {
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
