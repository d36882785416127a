//! Files and directories in memory that remember what has not been synced, so that a crash can take it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

/// What a disk loses is a multiple of this (real ones: 512 or more; here batches are small).
const SECTOR_BYTES: usize = 64;

/// A deterministic stream of numbers (splitmix64): the crash of a seed is always the same crash.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

#[derive(Clone)]
pub(super) enum Node {
    File(Arc<Mutex<FileNode>>),
    Dir(Arc<Mutex<DirNode>>),
}

#[derive(Default)]
pub(super) struct FileNode {
    pub data: Vec<u8>,
    unsynced: Vec<FileOp>,
    pub modified_ms: u64,
    /// Blocks that the medium does not give any more, by their numbers.
    pub unreadable: BTreeSet<u64>,
}

enum FileOp {
    Append { at: usize },
    Truncate { cut: Vec<u8> },
}

impl FileNode {
    pub fn append(&mut self, bytes: &[u8]) {
        self.unsynced.push(FileOp::Append {
            at: self.data.len(),
        });
        self.data.extend_from_slice(bytes);
    }

    pub fn truncate(&mut self, len: usize) {
        let cut = if len < self.data.len() {
            self.data.split_off(len)
        } else {
            self.unsynced.push(FileOp::Append {
                at: self.data.len(),
            });
            self.data.resize(len, 0);
            return;
        };
        self.unsynced.push(FileOp::Truncate { cut });
    }

    pub fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// Takes back all unsynced changes but a random first part; the change after that part may be half done, and
    /// pages of what survived may be lost as zeros.
    fn crash(&mut self, dice: &mut Dice) {
        let keep = dice.below(self.unsynced.len() + 1);
        while self.unsynced.len() > keep {
            let last = self.unsynced.len() == keep + 1;
            match self.unsynced.pop() {
                Some(FileOp::Append { at }) if last => {
                    let torn = dice.below(self.data.len() - at + 1);
                    self.data.truncate(at + torn);
                }
                Some(FileOp::Append { at }) => self.data.truncate(at),
                Some(FileOp::Truncate { cut }) => self.data.extend_from_slice(&cut),
                None => break,
            }
        }
        if let Some(FileOp::Append { at }) = self.unsynced.last()
            && *at < self.data.len()
            && dice.below(4) == 0
        {
            let len = self.data.len();
            let from = at + dice.below(len - at);
            let to = from + dice.below(len - from + 1);
            // Never a few bytes alone: four of them can be a leader epoch, which no CRC covers.
            let whole = |offset: usize| offset.next_multiple_of(SECTOR_BYTES).min(len);
            self.data[whole(from)..whole(to)].fill(0);
        }
        self.unsynced.clear();
    }
}

#[derive(Default)]
pub(super) struct DirNode {
    pub children: BTreeMap<String, Node>,
    /// Each unsynced change: the names that it touched, and what they stood for before.
    unsynced: Vec<Vec<(String, Option<Node>)>>,
}

impl DirNode {
    /// Sets names at once, as a rename does; `None` removes.
    pub fn change(&mut self, changes: Vec<(String, Option<Node>)>) {
        let mut before = Vec::with_capacity(changes.len());
        for (name, node) in changes {
            let old = match node {
                Some(node) => self.children.insert(name.clone(), node),
                None => self.children.remove(&name),
            };
            before.push((name, old));
        }
        self.unsynced.push(before);
    }

    pub fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// Takes back all unsynced changes but a random first part, as a journal does, here and below.
    pub fn crash(&mut self, dice: &mut Dice) {
        let keep = dice.below(self.unsynced.len() + 1);
        for change in self.unsynced.drain(..).skip(keep).rev() {
            for (name, old) in change.into_iter().rev() {
                match old {
                    Some(node) => self.children.insert(name, node),
                    None => self.children.remove(&name),
                };
            }
        }
        for node in self.children.values() {
            match node {
                Node::File(file) => file.lock().crash(dice),
                Node::Dir(dir) => dir.lock().crash(dice),
            }
        }
    }

    pub fn used_bytes(&self) -> u64 {
        let used = |node: &Node| match node {
            Node::File(file) => file.lock().data.len() as u64,
            Node::Dir(dir) => dir.lock().used_bytes(),
        };
        self.children.values().map(used).sum()
    }
}
