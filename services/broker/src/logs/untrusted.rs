//! A door for bytes that nobody vouches for: what tests (tests/fuzz) need of this module to try the files that name the
//! memory.

use std::path::{Path, PathBuf};

use engine::metadata::Memory;
use storage::{Disk, Error};
use wire::Uuid;

use super::memory::{self, Named};

/// What is read of a file, as it is written; none if it cannot be read.
pub fn rewritten(bytes: &[u8]) -> Option<String> {
    memory::decode(bytes).map(|named| named.encode())
}

/// What a process finds that starts on this boot, whose own name would be `fresh`; and whether it is that of the process
/// before.
pub fn start(
    disk: &dyn Disk,
    directories: &[PathBuf],
    boot: &str,
    fresh: Uuid,
) -> Option<(Memory, bool)> {
    let fresh = Named {
        boot: boot.to_owned(),
        memory: fresh,
        directories: directories.len(),
        new_disks: false,
    };
    memory::find_or_name(disk, directories, fresh, true)
}

/// The process has registered.
pub fn confirm(disk: &dyn Disk, directories: &[PathBuf]) {
    memory::confirm(disk, directories);
}

/// A write or an fsync has failed.
pub fn forget(disk: &dyn Disk, directories: &[PathBuf]) -> bool {
    memory::forget(disk, directories)
}

/// Something of a directory is lost on this boot.
pub fn lose(disk: &dyn Disk, directory: &Path, boot: &str) -> Result<bool, Error> {
    memory::lose(disk, directory, boot, false)
}
