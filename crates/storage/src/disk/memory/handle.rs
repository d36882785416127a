//! Open files and locks of a memory disk, dead after a crash.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::node::FileNode;
use super::{Operation, Shared};
use crate::disk::File;
use crate::disk::salvage::{BLOCK_BYTES, EIO};

/// Flipped bits are never far apart, so that no batch has one only in those of its bytes that no CRC covers; in a
/// batch that is read by itself the first is in the CRC.
const FLIPS_APART: usize = 32;
const CRC_AT: usize = 17;

pub(super) struct MemoryFile {
    shared: Arc<Shared>,
    path: PathBuf,
    node: Arc<Mutex<FileNode>>,
    life: u64,
}

impl MemoryFile {
    pub fn new(shared: Arc<Shared>, path: &Path, node: Arc<Mutex<FileNode>>) -> MemoryFile {
        let life = shared.life.load(Ordering::SeqCst);
        MemoryFile {
            shared,
            path: path.to_path_buf(),
            node,
            life,
        }
    }

    fn check(&self, operation: Operation) -> io::Result<()> {
        if self.life != self.shared.life.load(Ordering::SeqCst) {
            return Err(io::Error::other("the file was open when its disk crashed"));
        }
        self.shared.faults.lock().check(operation, &self.path)
    }

    /// How many of `wanted` bytes still fit.
    fn room(&self, wanted: usize) -> usize {
        let capacity = self.shared.faults.lock().capacity_bytes;
        capacity.map_or(wanted, |capacity| {
            let free = capacity.saturating_sub(self.shared.root.lock().used_bytes());
            wanted.min(free as usize)
        })
    }
}

impl File for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check(Operation::Read)?;
        let node = self.node.lock();
        let from = (offset as usize).min(node.data.len());
        let len = buf.len().min(node.data.len() - from);
        let blocks = from as u64 / BLOCK_BYTES..((from + len) as u64).div_ceil(BLOCK_BYTES);
        if len > 0 && node.unreadable.range(blocks).next().is_some() {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        buf[..len].copy_from_slice(&node.data[from..from + len]);
        if self.check(Operation::Flip).is_err() {
            let some = buf[..len].iter_mut().skip(CRC_AT).step_by(FLIPS_APART);
            some.for_each(|byte| *byte ^= 0x10);
        }
        Ok(len)
    }

    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        let bytes = bufs.iter().map(|buf| &buf[..]).collect::<Vec<_>>().concat();
        let fault = self.check(Operation::Write);
        let room = self.room(bytes.len());
        let mut node = self.node.lock();
        node.modified_ms = self.shared.now_ms.load(Ordering::SeqCst);
        if let Err(fault) = fault {
            node.append(&bytes[..bytes.len() / 2]);
            return Err(fault);
        }
        node.append(&bytes[..room]);
        if room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.node.lock().data.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        self.check(Operation::Write)?;
        self.node.lock().truncate(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        self.check(Operation::Sync)?;
        self.node.lock().sync();
        Ok(())
    }
}

pub(super) struct LockGuard {
    shared: Arc<Shared>,
    path: PathBuf,
    life: u64,
}

impl LockGuard {
    pub fn new(shared: Arc<Shared>, path: &Path) -> LockGuard {
        let life = shared.life.load(Ordering::SeqCst);
        LockGuard {
            shared,
            path: path.to_path_buf(),
            life,
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if self.life == self.shared.life.load(Ordering::SeqCst) {
            self.shared.locks.lock().retain(|held| *held != self.path);
        }
    }
}
