//! The small part of a file system that a log needs. [`RealDisk`] is the machine's, [`memory::MemoryDisk`] a
//! deterministic one that loses, tears and refuses writes on demand.

pub mod memory;
mod real;
pub(crate) mod salvage;

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub use real::RealDisk;

use crate::Error;

/// Files and directories. Every call may block.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file that exists, for reading and appending.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file, empty: what was in it is gone.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Replaces `to` if it exists. Durable after [`Disk::sync_dir`] of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// What is directly in a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    fn exists(&self, path: &Path) -> bool;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged process can still write on the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Unix time of the last change in milliseconds.
    fn modified_ms(&self, path: &Path) -> io::Result<u64>;
    /// Takes an exclusive lock on a file, which is created, until the guard is dropped or the process ends.
    /// `WouldBlock` when another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads at `offset`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bufs` at the end. After an error any part of them may be there.
    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Has the next read of `len` bytes at `offset` be one of the disk, where the system keeps a copy of what is there.
    fn forget_cached(&self, _offset: u64, _len: u64) {}
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    pub len: u64,
}

/// Reads up to `len` bytes at `offset`; short at the end of the file.
pub fn read(file: &dyn File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut buf = BytesMut::zeroed(len);
    let read = file.read_at(&mut buf, offset)?;
    buf.truncate(read);
    Ok(buf.freeze())
}

/// The content of a file, or `None` if there is none.
pub fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Bytes>, Error> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let content = file
        .len()
        .and_then(|len| read(&*file, 0, len as usize))
        .map_err(|e| Error::io("read", path, e))?;
    Ok(Some(content))
}

/// Replaces a file so that a crash leaves the old content or the new, durably: a file beside it, fsync, rename, fsync
/// of the directory.
pub fn write_atomic(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), Error> {
    write_beside(disk, path, content, true)
}

/// As [`write_atomic`], but without the fsyncs: for what can be lost, only never torn while the machine runs.
pub fn write_replacing(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), Error> {
    write_beside(disk, path, content, false)
}

fn write_beside(disk: &dyn Disk, path: &Path, content: &[u8], sync: bool) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = Path::new(&name);
    let write = || -> io::Result<()> {
        let file = disk.create(temporary)?;
        file.append(&mut [IoSlice::new(content)])?;
        if sync {
            file.sync_data()?;
        }
        disk.rename(temporary, path)?;
        match path.parent() {
            Some(parent) if sync => disk.sync_dir(parent),
            _ => Ok(()),
        }
    };
    write().map_err(|e| Error::io("write", path, e))
}

/// Removes a file; one that is gone already is fine.
pub fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    match disk.remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}
