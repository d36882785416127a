//! A disk whose power fails at an operation of the test's choice: that one and all later ones do not take place.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use storage::disk::Entry;
use storage::memory::MemoryDisk;
use storage::{Disk, File};

/// Clones share the count.
#[derive(Clone)]
pub struct Power {
    inner: MemoryDisk,
    left: Arc<AtomicI64>,
}

impl Power {
    /// `operations` that change something take place, then no more.
    pub fn failing_after(inner: &MemoryDisk, operations: i64) -> Power {
        Power {
            inner: inner.clone(),
            left: Arc::new(AtomicI64::new(operations)),
        }
    }

    /// Whether the power is still on.
    pub fn is_on(&self) -> bool {
        self.left.load(Ordering::SeqCst) >= 0
    }

    fn spend(&self) -> io::Result<()> {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(()),
            _ => {
                self.left.store(-1, Ordering::SeqCst);
                Err(io::Error::other("the power has failed"))
            }
        }
    }

    fn powered(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(PoweredFile {
            inner,
            power: self.clone(),
        })
    }
}

struct PoweredFile {
    inner: Arc<dyn File>,
    power: Power,
}

impl Disk for Power {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.open(path).map(|file| self.powered(file))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.spend()?;
        self.inner.create(path).map(|file| self.powered(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.spend()?;
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.spend()?;
        self.inner.remove_file(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.spend()?;
        self.inner.create_dir_all(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.spend()?;
        self.inner.remove_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.spend()?;
        self.inner.sync_dir(dir)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<u64> {
        self.inner.modified_ms(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.inner.lock(path)
    }
}

impl File for PoweredFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.power.spend()?;
        self.inner.append(bufs)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.power.spend()?;
        self.inner.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.power.spend()?;
        self.inner.sync_data()
    }
}
