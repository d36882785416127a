//! The small files of the metadata directory: replaced as a whole, with a checksum. And what makes room for them.

use std::io;
use std::path::Path;

use storage::Disk;

use super::damage::{damaged, unreadable};
use crate::quorum::codec::{self, Layout};

/// A file of zeros that is given up to make room on a full disk.
pub(in crate::quorum) const RESERVE_FILE: &str = "reserve";

/// Makes a directory and those above it, durably.
pub(in crate::quorum) fn create_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|d| !disk.exists(d)).collect();
    disk.create_dir_all(dir)?;
    for made in missing {
        if let Some(parent) = made.parent().filter(|p| !p.as_os_str().is_empty()) {
            disk.sync_dir(parent)?;
        }
    }
    Ok(())
}

/// Reads the body of a small file: its CRC, then an encoded value.
fn checked<T: Layout>(path: &Path, bytes: &[u8]) -> io::Result<T> {
    let (crc, body) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged(path, "it is too short"))?;
    if u32::from_be_bytes(*crc) != crc32c::crc32c(body) {
        return Err(damaged(path, "the checksum is wrong"));
    }
    codec::decode(body).map_err(|e| unreadable(path, &e))
}

/// Replaces a small file, durably: the CRC, then the encoded value.
pub(in crate::quorum) fn write_checked<T: Layout>(
    disk: &dyn Disk,
    path: &Path,
    value: &T,
) -> io::Result<()> {
    let body = codec::encode(value).map_err(io::Error::other)?;
    let content = [&crc32c::crc32c(&body).to_be_bytes()[..], &body].concat();
    storage::disk::write_atomic(disk, path, &content).map_err(into_io)
}

/// Reads a file that [`write_checked`] wrote, if it is there.
pub(in crate::quorum) fn read_checked<T: Layout>(
    disk: &dyn Disk,
    path: &Path,
) -> io::Result<Option<T>> {
    let bytes = storage::disk::read_file(disk, path).map_err(into_io)?;
    bytes.map(|b| checked(path, &b)).transpose()
}

fn into_io(error: storage::Error) -> io::Error {
    match error {
        storage::Error::NoSpace { .. } => io::Error::new(io::ErrorKind::StorageFull, error),
        error => io::Error::other(error),
    }
}

/// Does a write; where the disk is full, once more with the reserve given up.
pub(in crate::quorum) fn with_reserve<T>(
    disk: &dyn Disk,
    dir: &Path,
    mut write: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    match write() {
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {
            tracing::warn!("the disk of the metadata log is full: using the reserve");
            disk.remove_file(&dir.join(RESERVE_FILE)).map_err(|_| e)?;
            write()
        }
        other => other,
    }
}
