//! `.index` and `.timeindex`: sorted entries of fixed size, sparse. New entries gather in memory and are appended in
//! blocks; what a crash takes is rebuilt from the log.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wire::batch::BatchHeader;

use crate::Error;
use crate::disk::{Disk, File};
use crate::error::is_no_space;

/// Entries that gather before they are appended to the file.
const BLOCK_ENTRIES: usize = 256;
/// While the disk is full entries are dropped from here on: an index may be sparser.
const PENDING_MAX: usize = 4096;

/// What an index consists of: a key that grows, and a value.
pub(crate) trait Entry: Copy {
    const SIZE: usize;
    fn key(&self) -> i64;
    fn put(&self, base_offset: i64, out: &mut Vec<u8>);
    fn get(base_offset: i64, bytes: &[u8]) -> Self;
}

/// `.index`: the last offset of a batch, and where the batch begins in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub offset: i64,
    pub position: u32,
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;

    fn key(&self) -> i64 {
        self.offset
    }

    fn put(&self, base_offset: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&((self.offset - base_offset) as i32).to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn get(base_offset: i64, b: &[u8]) -> OffsetEntry {
        OffsetEntry {
            offset: base_offset + i64::from(i32::from_be_bytes([b[0], b[1], b[2], b[3]])),
            position: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        }
    }
}

/// `.timeindex`: the largest timestamp so far, and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp: i64,
    pub offset: i64,
}

impl TimeEntry {
    pub fn of(header: &BatchHeader) -> TimeEntry {
        TimeEntry {
            timestamp: header.max_timestamp,
            offset: header.last_offset(),
        }
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn put(&self, base_offset: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&((self.offset - base_offset) as i32).to_be_bytes());
    }

    fn get(base_offset: i64, b: &[u8]) -> TimeEntry {
        TimeEntry {
            timestamp: i64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            offset: base_offset + i64::from(i32::from_be_bytes([b[8], b[9], b[10], b[11]])),
        }
    }
}

/// Opens a file at its first use.
pub(crate) fn open_once(
    cell: &OnceLock<Arc<dyn File>>,
    disk: &dyn Disk,
    path: &Path,
) -> Result<Arc<dyn File>, Error> {
    if let Some(file) = cell.get() {
        return Ok(file.clone());
    }
    let file = disk.open(path).map_err(|e| Error::io("open", path, e))?;
    Ok(cell.get_or_init(|| file).clone())
}

pub(crate) struct Index<E> {
    path: PathBuf,
    base_offset: i64,
    file: OnceLock<Arc<dyn File>>,
    /// Entries in the file.
    persisted: usize,
    pending: Vec<E>,
}

impl<E: Entry> Index<E> {
    /// Makes an empty file.
    pub fn create(disk: &dyn Disk, path: PathBuf, base_offset: i64) -> Result<Index<E>, Error> {
        let file = disk
            .create(&path)
            .map_err(|e| Error::io("create", &path, e))?;
        Ok(Index {
            path,
            base_offset,
            file: OnceLock::from(file),
            persisted: 0,
            pending: Vec::new(),
        })
    }

    /// Of a sealed segment: the file of `len` bytes is opened when it is needed. Gives the path back if there is none, or
    /// it cannot be an index.
    pub fn existing(
        path: PathBuf,
        base_offset: i64,
        len: Option<u64>,
    ) -> Result<Index<E>, PathBuf> {
        match len.filter(|len| len.is_multiple_of(E::SIZE as u64)) {
            Some(len) => Ok(Index {
                path,
                base_offset,
                file: OnceLock::new(),
                persisted: len as usize / E::SIZE,
                pending: Vec::new(),
            }),
            None => Err(path),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn moved_to(&mut self, path: PathBuf) {
        self.path = path;
    }

    pub fn len(&self) -> usize {
        self.persisted + self.pending.len()
    }

    /// Whether there are entries that are not in the file yet.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn size_bytes(&self) -> u64 {
        (self.len() * E::SIZE) as u64
    }

    pub fn file(&self, disk: &dyn Disk) -> Result<Arc<dyn File>, Error> {
        open_once(&self.file, disk, &self.path)
    }

    pub fn last(&self, disk: &dyn Disk) -> Result<Option<E>, Error> {
        match self.pending.last() {
            Some(last) => Ok(Some(*last)),
            None if self.persisted == 0 => Ok(None),
            None => self.search(disk)?.get(self.persisted - 1).map(Some),
        }
    }

    /// Adds an entry; its key must be beyond the last one's.
    pub fn push(&mut self, disk: &dyn Disk, entry: E) -> Result<(), Error> {
        if self.pending.len() < PENDING_MAX {
            self.pending.push(entry);
        }
        if self.pending.len().is_multiple_of(BLOCK_ENTRIES) {
            self.write(disk)?;
        }
        Ok(())
    }

    /// Appends what has gathered to the file. A full disk is no error: the entries wait.
    pub fn write(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.pending.len() * E::SIZE);
        for entry in &self.pending {
            entry.put(self.base_offset, &mut bytes);
        }
        let file = self.file(disk)?;
        match file.append(&mut [IoSlice::new(&bytes)]) {
            Ok(()) => {
                self.persisted += self.pending.len();
                self.pending.clear();
                Ok(())
            }
            Err(e) if is_no_space(&e) => file
                .truncate((self.persisted * E::SIZE) as u64)
                .map_err(|e| Error::io("truncate", &self.path, e)),
            Err(e) => Err(Error::io("write", &self.path, e)),
        }
    }

    /// Drops the entries for which `gone` is true; it must be true for a last part of them.
    pub fn truncate(&mut self, disk: &dyn Disk, gone: impl Fn(&E) -> bool) -> Result<(), Error> {
        self.pending.retain(|entry| !gone(entry));
        if !self.pending.is_empty() {
            return Ok(());
        }
        let keep = self.search(disk)?.partition_point(|entry| !gone(entry))?;
        if keep < self.persisted {
            let file = self.file(disk)?;
            file.truncate((keep * E::SIZE) as u64)
                .map_err(|e| Error::io("truncate", &self.path, e))?;
            self.persisted = keep;
        }
        Ok(())
    }

    /// The last entry with a key up to `key`, where that is known without a read; else where to search for it.
    pub fn floor(&self, disk: &dyn Disk, key: i64) -> Result<Floor<E>, Error> {
        let known = self.pending.partition_point(|entry| entry.key() <= key);
        if known > 0 {
            return Ok(Floor::Known(self.pending[known - 1]));
        }
        self.floor_in_file(disk)
    }

    /// A search among the entries that are in the file.
    pub fn floor_in_file(&self, disk: &dyn Disk) -> Result<Floor<E>, Error> {
        if self.persisted == 0 {
            return Ok(Floor::None);
        }
        Ok(Floor::Search(self.search(disk)?))
    }

    fn search(&self, disk: &dyn Disk) -> Result<Search<E>, Error> {
        Ok(Search {
            file: self.file(disk)?,
            path: self.path.clone(),
            base_offset: self.base_offset,
            len: self.persisted,
            entry: std::marker::PhantomData,
        })
    }
}

pub(crate) enum Floor<E> {
    None,
    Known(E),
    Search(Search<E>),
}

impl<E: Entry> Floor<E> {
    /// Finishes the search; reads.
    pub fn find(&self, key: i64) -> Result<Option<E>, Error> {
        match self {
            Floor::None => Ok(None),
            Floor::Known(entry) => Ok(Some(*entry)),
            Floor::Search(search) => match search.partition_point(|e| e.key() <= key)? {
                0 => Ok(None),
                n => search.get(n - 1).map(Some),
            },
        }
    }
}

/// A binary search in the file, which may run without any lock: entries below `len` do not change.
pub(crate) struct Search<E> {
    file: Arc<dyn File>,
    path: PathBuf,
    base_offset: i64,
    len: usize,
    entry: std::marker::PhantomData<E>,
}

impl<E: Entry> Search<E> {
    fn get(&self, at: usize) -> Result<E, Error> {
        let mut buf = [0; 16];
        let buf = &mut buf[..E::SIZE];
        let read = self.file.read_at(buf, (at * E::SIZE) as u64);
        match read {
            Ok(read) if read == E::SIZE => Ok(E::get(self.base_offset, buf)),
            Ok(_) => Err(Error::io(
                "read",
                &self.path,
                io::ErrorKind::UnexpectedEof.into(),
            )),
            Err(e) => Err(Error::io("read", &self.path, e)),
        }
    }

    fn partition_point(&self, pred: impl Fn(&E) -> bool) -> Result<usize, Error> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if pred(&self.get(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::{Fault, MemoryDisk, Operation};

    const BASE: i64 = 1_000;
    const PATH: &str = "/index";

    fn entry(number: i64) -> OffsetEntry {
        OffsetEntry {
            offset: BASE + 10 * number,
            position: 100 * number as u32,
        }
    }

    /// An index of so many entries; those that fill a block are in the file.
    fn index(disk: &MemoryDisk, entries: i64) -> Index<OffsetEntry> {
        let mut index = Index::create(disk, PATH.into(), BASE).expect("creates");
        for number in 0..entries {
            index.push(disk, entry(number)).expect("pushes");
        }
        index
    }

    fn file_bytes(disk: &MemoryDisk) -> u64 {
        let file = disk.open(Path::new(PATH)).expect("opens");
        file.len().expect("has a length")
    }

    #[test]
    fn entries_have_the_form_that_kafka_gives_them() {
        let (mut offset, mut time) = (Vec::new(), Vec::new());
        let at = OffsetEntry {
            offset: BASE + 0x0102_0304,
            position: 0x8506_0708,
        };
        at.put(BASE, &mut offset);
        assert_eq!(offset, [1, 2, 3, 4, 0x85, 6, 7, 8]);
        assert_eq!(OffsetEntry::get(BASE, &offset), at);
        let at = TimeEntry {
            timestamp: 0x0102_0304_0506_0708,
            offset: BASE + 0x090a_0b0c,
        };
        at.put(BASE, &mut time);
        assert_eq!(time, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(TimeEntry::get(BASE, &time), at);
    }

    #[test]
    fn entries_gather_and_are_appended_in_blocks() {
        let disk = MemoryDisk::new();
        let mut index = index(&disk, 255);
        assert_eq!((index.len(), file_bytes(&disk)), (255, 0));
        assert!(index.is_waiting());
        index.push(&disk, entry(255)).expect("pushes");
        assert_eq!((index.len(), file_bytes(&disk)), (256, 2048));
        assert!(!index.is_waiting());
        index.push(&disk, entry(256)).expect("pushes");
        assert_eq!((index.len(), index.size_bytes()), (257, 2056));
        index.write(&disk).expect("writes");
        assert_eq!((index.len(), file_bytes(&disk)), (257, 2056));
        assert!(!index.is_waiting());
        // Once more there is nothing to append.
        disk.inject(Fault::always(Operation::Write, PATH));
        index.write(&disk).expect("has nothing to write");
    }

    #[test]
    fn an_index_is_there_if_its_file_has_whole_entries() {
        let disk = MemoryDisk::new();
        index(&disk, 3).write(&disk).expect("writes");
        let existing = |len| Index::<OffsetEntry>::existing(PATH.into(), BASE, len);
        let there = existing(Some(24)).expect("an index");
        assert_eq!((there.len(), there.is_waiting()), (3, false));
        assert_eq!(there.last(&disk).expect("reads"), Some(entry(2)));
        assert_eq!(existing(Some(0)).expect("an index").len(), 0);
        for none in [None, Some(25), Some(31)] {
            assert_eq!(existing(none).err(), Some(PathBuf::from(PATH)));
        }
        // What was listed is gone since.
        let shorter = existing(Some(32)).expect("an index");
        let error = shorter.last(&disk).expect_err("it ends before");
        assert!(error.to_string().contains(PATH), "{error}");
    }

    #[test]
    fn an_index_is_found_under_its_new_name() {
        let disk = MemoryDisk::new();
        index(&disk, 1).write(&disk).expect("writes");
        let mut moved = Index::<OffsetEntry>::existing(PATH.into(), BASE, Some(8)).expect("one");
        disk.rename(Path::new(PATH), Path::new("/new"))
            .expect("renames");
        moved.moved_to("/new".into());
        assert_eq!(moved.path(), Path::new("/new"));
        assert_eq!(moved.last(&disk).expect("reads"), Some(entry(0)));
    }

    #[test]
    fn the_last_entry_up_to_a_key_is_found_in_the_file_and_in_memory() {
        let disk = MemoryDisk::new();
        for entries in [0, 1, 2, 256, 257, 260] {
            let index = index(&disk, entries);
            let last = index.last(&disk).expect("reads");
            assert_eq!(last, (entries > 0).then(|| entry(entries - 1)));
            for (near, number) in [0, 1, 255, 256, 259]
                .into_iter()
                .flat_map(|n| [(-1, n), (0, n), (1, n)])
            {
                let key = entry(number).key() + near;
                let up_to = (key - BASE).div_euclid(10).min(entries - 1);
                let expected = (up_to >= 0).then(|| entry(up_to));
                let floor = index.floor(&disk, key).expect("a floor");
                assert_eq!(floor.find(key).expect("reads"), expected, "{entries} {key}");
            }
        }
    }

    #[test]
    fn what_is_gone_is_gone_from_the_file_and_from_memory() {
        let disk = MemoryDisk::new();
        let mut index = index(&disk, 300);
        let mut keep = |kept: i64| {
            let gone = index.truncate(&disk, |e| e.offset >= entry(kept).offset);
            gone.expect("truncates");
            let last = index.last(&disk).expect("reads");
            assert_eq!(
                last,
                (index.len() > 0).then(|| entry(index.len() as i64 - 1))
            );
            (index.len(), file_bytes(&disk))
        };
        assert_eq!(keep(300), (300, 2048));
        assert_eq!(keep(280), (280, 2048));
        assert_eq!(keep(256), (256, 2048));
        assert_eq!(keep(100), (100, 800));
        assert_eq!(keep(100), (100, 800));
        assert_eq!(keep(0), (0, 0));
        // Where nothing is gone nothing is written.
        disk.inject(Fault::always(Operation::Write, PATH));
        assert_eq!(keep(0), (0, 0));
    }

    #[test]
    fn while_the_disk_is_full_entries_wait_and_beyond_a_bound_they_are_left_out() {
        let disk = MemoryDisk::new();
        let mut index = index(&disk, 256);
        disk.set_capacity_bytes(Some(2_148));
        let waiting = (256..).take(4_100).map(entry);
        for entry in waiting {
            index.push(&disk, entry).expect("it waits");
        }
        // What an append has left of itself is gone again.
        assert_eq!((index.len(), file_bytes(&disk)), (256 + 4_096, 2_048));
        disk.set_capacity_bytes(None);
        index.push(&disk, entry(9_000)).expect("it is left out");
        assert_eq!(file_bytes(&disk), 2_048 + 8 * 4_096);
        assert_eq!(index.last(&disk).expect("reads"), Some(entry(256 + 4_095)));
        index.push(&disk, entry(9_001)).expect("pushes");
        assert_eq!(index.last(&disk).expect("reads"), Some(entry(9_001)));
    }

    #[test]
    fn a_disk_that_fails_is_an_error_that_names_the_file() {
        let disk = MemoryDisk::new();
        let mut index = index(&disk, 3);
        disk.inject(Fault::once(Operation::Write, PATH));
        let error = index.write(&disk).expect_err("it fails");
        assert!(error.to_string().contains(PATH), "{error}");
    }
}
