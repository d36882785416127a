//! A disk in memory for tests and simulation. What was not synced is lost or torn at [`MemoryDisk::crash`], the same
//! way for the same seed; reads, writes and fsyncs fail, and the disk fills up, on demand.

mod faults;
mod handle;
mod node;

use std::io;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub use faults::{Fault, Operation};

use super::salvage::BLOCK_BYTES;
use super::{Disk, Entry, File};
use faults::Faults;
use handle::{LockGuard, MemoryFile};
use node::{Dice, DirNode, FileNode, Node};

/// Clones share the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    root: Arc<Mutex<DirNode>>,
    faults: Mutex<Faults>,
    locks: Mutex<Vec<std::path::PathBuf>>,
    /// Counts the crashes: handles from before one are dead.
    life: AtomicU64,
    now_ms: AtomicU64,
}

impl MemoryDisk {
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// The machine loses its power: unsynced changes are lost or torn as `seed` has it, open files are dead, orders
    /// for faults are forgotten.
    pub fn crash(&self, seed: u64) {
        self.shared.life.fetch_add(1, Ordering::SeqCst);
        self.shared.locks.lock().clear();
        *self.shared.faults.lock() = Faults::default();
        self.shared.root.lock().crash(&mut Dice(seed));
    }

    /// The process is killed: open files are dead, but what was written stays.
    pub fn kill(&self) {
        self.shared.life.fetch_add(1, Ordering::SeqCst);
        self.shared.locks.lock().clear();
    }

    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().rules.push(fault);
    }

    pub fn heal(&self) {
        self.shared.faults.lock().rules.clear();
    }

    /// Bytes that all files together may have; `None` for no limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.shared.faults.lock().capacity_bytes = capacity_bytes;
    }

    /// So many changes (writes, fsyncs, names) take place until the power fails, and none after that, until
    /// [`MemoryDisk::crash`] says what is left.
    pub fn fail_power_after(&self, changes: u64) {
        self.shared.faults.lock().changes_left = Some(changes as i64);
    }

    /// Whether no change was refused for want of power.
    pub fn has_power(&self) -> bool {
        let left = self.shared.faults.lock().changes_left;
        left.is_none_or(|left| left >= 0)
    }

    /// The medium changes the bits of `mask` in a byte of a file, durable or not.
    pub fn flip(&self, path: &Path, at: usize, mask: u8) -> io::Result<()> {
        match self.node(path)? {
            Node::File(file) => match file.lock().data.get_mut(at) {
                Some(byte) => *byte ^= mask,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            },
            Node::Dir(_) => return Err(io::ErrorKind::IsADirectory.into()),
        }
        Ok(())
    }

    /// Whether the medium gives the block of a file's byte: reads of one that it does not give fail with EIO.
    pub fn set_readable(&self, path: &Path, at: u64, readable: bool) -> io::Result<()> {
        match self.node(path)? {
            Node::File(file) => {
                let (block, blocks) = (at / BLOCK_BYTES, &mut file.lock().unreadable);
                match readable {
                    true => blocks.remove(&block),
                    false => blocks.insert(block),
                };
            }
            Node::Dir(_) => return Err(io::ErrorKind::IsADirectory.into()),
        }
        Ok(())
    }

    pub fn used_bytes(&self) -> u64 {
        self.shared.root.lock().used_bytes()
    }

    /// The time that changed files get as their modification time.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.shared.now_ms.store(now_ms, Ordering::SeqCst);
    }

    fn dir(&self, path: &Path) -> io::Result<Arc<Mutex<DirNode>>> {
        let mut dir = self.shared.root.clone();
        for name in names(path) {
            let next = match dir.lock().children.get(&name) {
                Some(Node::Dir(child)) => child.clone(),
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
            dir = next;
        }
        Ok(dir)
    }

    fn parent(&self, path: &Path) -> io::Result<(Arc<Mutex<DirNode>>, String)> {
        let name = names(path).pop().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.dir(parent)?, name))
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        let (parent, name) = self.parent(path)?;
        let node = parent.lock().children.get(&name).cloned();
        node.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn handle(&self, path: &Path, node: Arc<Mutex<FileNode>>) -> Arc<dyn File> {
        Arc::new(MemoryFile::new(self.shared.clone(), path, node))
    }

    fn remove(&self, path: &Path, dir_wanted: bool) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        if dir_wanted != matches!(self.node(path)?, Node::Dir(_)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (parent, name) = self.parent(path)?;
        parent.lock().change(vec![(name, None)]);
        Ok(())
    }
}

fn names(path: &Path) -> Vec<String> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match self.node(path)? {
            Node::File(file) => Ok(self.handle(path, file)),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.shared.faults.lock().change()?;
        self.shared.faults.lock().check(Operation::Write, path)?;
        if let Ok(Node::File(file)) = self.node(path) {
            file.lock().truncate(0);
            return Ok(self.handle(path, file));
        }
        let (parent, name) = self.parent(path)?;
        let file = Arc::new(Mutex::new(FileNode::default()));
        parent
            .lock()
            .change(vec![(name, Some(Node::File(file.clone())))]);
        Ok(self.handle(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        self.shared.faults.lock().check(Operation::Write, from)?;
        let node = self.node(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if Arc::ptr_eq(&from_dir, &to_dir) {
            let changes = vec![(from_name, None), (to_name, Some(node))];
            from_dir.lock().change(changes);
        } else {
            from_dir.lock().change(vec![(from_name, None)]);
            to_dir.lock().change(vec![(to_name, Some(node))]);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.remove(path, false)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        let mut dir = self.shared.root.clone();
        for name in names(path) {
            let existing = dir.lock().children.get(&name).cloned();
            dir = match existing {
                Some(Node::Dir(child)) => child,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let child = Arc::new(Mutex::new(DirNode::default()));
                    dir.lock()
                        .change(vec![(name, Some(Node::Dir(child.clone())))]);
                    child
                }
            };
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.remove(path, true)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.shared.faults.lock().check(Operation::Read, dir)?;
        let dir = self.dir(dir)?;
        let dir = dir.lock();
        let entry = |(name, node): (&String, &Node)| Entry {
            name: name.clone(),
            is_dir: matches!(node, Node::Dir(_)),
            len: match node {
                Node::File(file) => file.lock().data.len() as u64,
                Node::Dir(_) => 0,
            },
        };
        Ok(dir.children.iter().map(entry).collect())
    }

    fn exists(&self, path: &Path) -> bool {
        self.node(path).is_ok()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.faults.lock().change()?;
        self.shared.faults.lock().check(Operation::Sync, dir)?;
        self.dir(dir)?.lock().sync();
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let capacity = self.shared.faults.lock().capacity_bytes;
        Ok(capacity.map_or(u64::MAX, |c| c.saturating_sub(self.used_bytes())))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<u64> {
        match self.node(path)? {
            Node::File(file) => Ok(file.lock().modified_ms),
            Node::Dir(_) => Ok(0),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        if !self.exists(path) {
            self.create(path)?;
        }
        let mut locks = self.shared.locks.lock();
        if locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        locks.push(path.to_path_buf());
        Ok(Box::new(LockGuard::new(self.shared.clone(), path)))
    }
}
