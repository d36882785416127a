//! The durable half of the consensus: the log's entries and the vote.
//!
//! Entries are in memory too, as far back as the last snapshot needs: whoever replicates reads them there. Disk is
//! written on a blocking pool and fsynced before openraft hears of it. An append that fails poisons the log: openraft
//! stops, and the process with it, because what is on disk is then unknown.

mod segment;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader, StorageIOError};
use parking_lot::Mutex;
use storage::Disk;

use super::codec;
use super::types::{Entry, LogId, StorageError, Types, Vote};
use crate::env::{Env, Pool};
use segment::{Segment, next_index};

/// Entries handed to a follower at once stop at so many bytes.
const READ_BYTES: usize = 1 << 20;
/// A file of zeros that is given up to make room for entries on a full disk.
const RESERVE_FILE: &str = "reserve";
const VOTE_FILE: &str = "vote";

/// The log of one node. Clones share it.
#[derive(Clone)]
pub struct Log {
    env: Env,
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limits: Limits,
    files: Mutex<Files>,
    memory: Mutex<Memory>,
}

/// What is on disk. Only one write is under way at a time; the lock is held during it, on a blocking thread.
struct Files {
    segments: Vec<Segment>,
}

/// What readers see.
#[derive(Default)]
struct Memory {
    entries: BTreeMap<u64, Entry>,
    /// The last entry that a snapshot has replaced.
    purged: Option<LogId>,
    vote: Option<Vote>,
    /// Bytes appended since the last snapshot was asked for.
    growth: u64,
}

/// How much the log may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A new file is begun after so many bytes, so that snapshots can free the older ones.
    pub segment_bytes: u64,
    /// The size of the file that is given up on a full disk, in bytes.
    pub reserve_bytes: u64,
}

/// What [`Log::open`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries read.
    pub entries: usize,
    /// Bytes of a torn tail that were cut.
    pub cut_bytes: u64,
}

impl Log {
    /// Opens the log in `dir`, which is created if need be. Blocks.
    pub fn open(env: &Env, dir: &Path, limits: Limits) -> io::Result<(Log, Recovered)> {
        let disk = env.disk();
        create_dir(&*disk, dir)?;
        let vote = match storage::disk::read_file(&*disk, &dir.join(VOTE_FILE)) {
            Ok(Some(bytes)) => Some(checked(&bytes)?),
            Ok(None) => None,
            Err(e) => return Err(io::Error::other(e)),
        };
        let mut recovered = Recovered::default();
        let mut memory = Memory {
            vote,
            ..Memory::default()
        };
        let segments = open_segments(&*disk, dir, &mut memory, &mut recovered)?;
        let files = Mutex::new(Files { segments });
        let shared = Shared {
            disk,
            dir: dir.into(),
            limits,
            files,
            memory: Mutex::new(memory),
        };
        Ok((
            Log {
                env: env.clone(),
                shared: Arc::new(shared),
            },
            recovered,
        ))
    }

    /// Whether there are no entries and there never were. A vote alone does not count: where no voter has an entry,
    /// nothing was ever committed.
    pub fn is_empty(&self) -> bool {
        let memory = self.shared.memory.lock();
        memory.entries.is_empty() && memory.purged.is_none()
    }

    /// Whether so many bytes have been appended; then counts anew.
    pub fn take_growth(&self, limit: u64) -> bool {
        let mut memory = self.shared.memory.lock();
        let is_due = memory.growth >= limit;
        if is_due {
            memory.growth = 0;
        }
        is_due
    }

    /// Puts the reserve in place if it is not there and there is room. Blocks.
    pub fn fill_reserve(&self) -> io::Result<()> {
        let shared = &self.shared;
        let path = shared.dir.join(RESERVE_FILE);
        let there = shared.disk.open(&path).and_then(|f| f.len()).unwrap_or(0);
        let room = shared.disk.free_bytes(&shared.dir)?;
        if there >= shared.limits.reserve_bytes || room < 4 * shared.limits.reserve_bytes {
            return Ok(());
        }
        let file = shared.disk.create(&path)?;
        let zeros = vec![0u8; 1 << 20];
        let mut left = shared.limits.reserve_bytes;
        while left > 0 {
            let part = left.min(zeros.len() as u64);
            file.append(&mut [io::IoSlice::new(&zeros[..part as usize])])?;
            left -= part;
        }
        file.sync_data()
    }

    /// Runs a write on the pool for the metadata log.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &mut Files) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = self.shared.clone();
        self.env
            .blocking(Pool::Control, move || {
                let mut files = shared.files.lock();
                work(&shared, &mut files)
            })
            .await
    }
}

/// Makes a directory and those above it, durably.
pub(super) fn create_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
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
fn checked<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let (crc, body) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| bad("too short".into()))?;
    if u32::from_be_bytes(*crc) != crc32c::crc32c(body) {
        return Err(bad("the checksum is wrong".into()));
    }
    codec::decode(body).map_err(|e| bad(e.to_string()))
}

/// Replaces a small file, durably: the CRC, then the encoded value.
pub(super) fn write_checked<T: serde::Serialize>(
    disk: &dyn Disk,
    path: &Path,
    value: &T,
) -> io::Result<()> {
    let body = codec::encode(value).map_err(io::Error::other)?;
    let content = [&crc32c::crc32c(&body).to_be_bytes()[..], &body].concat();
    storage::disk::write_atomic(disk, path, &content).map_err(into_io)
}

/// Reads a file that [`write_checked`] wrote, if it is there.
pub(super) fn read_checked<T: serde::de::DeserializeOwned>(
    disk: &dyn Disk,
    path: &Path,
) -> io::Result<Option<T>> {
    let bytes = storage::disk::read_file(disk, path).map_err(into_io)?;
    let value = bytes.map(|b| checked(&b)).transpose();
    value.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

fn into_io(error: storage::Error) -> io::Error {
    match error {
        storage::Error::NoSpace { .. } => io::Error::new(io::ErrorKind::StorageFull, error),
        error => io::Error::other(error),
    }
}

fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    memory: &mut Memory,
    recovered: &mut Recovered,
) -> io::Result<Vec<Segment>> {
    let mut names: Vec<String> = disk.list(dir)?.into_iter().map(|e| e.name).collect();
    names.retain(|n| n.ends_with(".raft"));
    names.sort();
    let mut segments: Vec<Segment> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let path = dir.join(name);
        let is_last = at + 1 == names.len();
        let Some(opened) = segment::Segment::open(disk, &path)? else {
            // A file that was being created when the machine stopped.
            if is_last {
                disk.remove_file(&path)?;
                continue;
            }
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: no head", path.display()),
            ));
        };
        let gap = segments
            .last()
            .is_some_and(|before| before.next() != opened.segment.first);
        if gap || (opened.cut > 0 && !is_last) {
            let why = format!("{}: entries are missing before or in it", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if segments.is_empty() {
            memory.purged = opened.segment.before;
        }
        recovered.entries += opened.entries.len();
        recovered.cut_bytes += opened.cut;
        memory
            .entries
            .extend(opened.entries.into_iter().map(|e| (e.log_id.index, e)));
        segments.push(opened.segment);
    }
    Ok(segments)
}

impl Shared {
    /// Appends to the newest file, or to a new one. On a full disk the reserve is given up once.
    fn append(&self, files: &mut Files, entries: &[Entry]) -> io::Result<()> {
        match self.append_once(files, entries) {
            Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!("the disk of the metadata log is full: using the reserve");
                self.disk
                    .remove_file(&self.dir.join(RESERVE_FILE))
                    .map_err(|_| e)?;
                self.append_once(files, entries)
            }
            other => other,
        }
    }

    fn append_once(&self, files: &mut Files, entries: &[Entry]) -> io::Result<()> {
        let is_full = files
            .segments
            .last()
            .is_none_or(|s| s.size_bytes() >= self.limits.segment_bytes);
        if is_full {
            let first = entries.first().map_or(0, |e| e.log_id.index);
            let fresh = Segment::create(&*self.disk, &self.dir, self.before(first), first)?;
            files.segments.push(fresh);
        }
        let segment = files
            .segments
            .last_mut()
            .expect("one was created if there was none");
        segment.append(entries)
    }

    /// The entry before `index`.
    fn before(&self, index: u64) -> Option<LogId> {
        let memory = self.memory.lock();
        let found = index
            .checked_sub(1)
            .and_then(|i| memory.entries.get(&i))
            .map(|e| e.log_id);
        found.or(memory.purged)
    }

    fn truncate(&self, files: &mut Files, from: u64) -> io::Result<()> {
        // Newest first, so that a crash in between leaves no hole.
        while files
            .segments
            .last()
            .is_some_and(|s| s.first >= from && s.first > 0)
        {
            let newest = files.segments.pop().expect("it was just seen");
            newest.remove(&*self.disk)?;
            self.disk.sync_dir(&self.dir)?;
        }
        files
            .segments
            .last_mut()
            .map_or(Ok(()), |s| s.truncate(from))
    }

    /// Removes the files that hold nothing after `upto`.
    fn purge(&self, files: &mut Files, upto: LogId) -> io::Result<()> {
        let all_gone = files
            .segments
            .last()
            .is_none_or(|s| s.next() <= upto.index + 1);
        if all_gone {
            // The head of the new file tells where the log goes on; only then may the others go.
            let keep = Segment::create(&*self.disk, &self.dir, Some(upto), upto.index + 1)?;
            let old = std::mem::replace(&mut files.segments, vec![keep]);
            let fresh = segment::file_name(upto.index + 1);
            for segment in old {
                if segment::file_name(segment.first) != fresh {
                    segment.remove(&*self.disk)?;
                }
            }
            return self.disk.sync_dir(&self.dir);
        }
        while files.segments.len() > 1 && files.segments[1].first <= upto.index + 1 {
            files.segments.remove(0).remove(&*self.disk)?;
        }
        self.disk.sync_dir(&self.dir)
    }
}

fn write_failed(e: io::Error) -> StorageError {
    StorageIOError::write_logs(AnyError::new(&e)).into()
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let memory = self.shared.memory.lock();
        Ok(memory
            .entries
            .range(bounds)
            .map(|(_, e)| e.clone())
            .collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let memory = self.shared.memory.lock();
        let mut size = 0;
        let mut some = Vec::new();
        for (_, entry) in memory
            .entries
            .range((Bound::Included(start), Bound::Excluded(end)))
        {
            // The first is given whatever its size.
            if size > READ_BYTES {
                break;
            }
            size += postcard::experimental::serialized_size(entry).unwrap_or(READ_BYTES);
            some.push(entry.clone());
        }
        Ok(some)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let memory = self.shared.memory.lock();
        let last = memory.entries.last_key_value().map(|(_, e)| e.log_id);
        Ok(LogState {
            last_purged_log_id: memory.purged,
            last_log_id: last.or(memory.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        self.write(move |shared, _| {
            write_checked(&*shared.disk, &shared.dir.join(VOTE_FILE), &vote)
        })
        .await
        .map_err(|e| StorageIOError::write_vote(AnyError::new(&e)))?;
        self.shared.memory.lock().vote = Some(vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.shared.memory.lock().vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Arc<[Entry]> = entries.into_iter().collect();
        let to_write = entries.clone();
        let written = self
            .write(move |shared, files| {
                shared.append(files, &to_write)?;
                Ok(files.segments.last().map_or(0, Segment::last_append_bytes))
            })
            .await;
        if let Ok(bytes) = written {
            let mut memory = self.shared.memory.lock();
            memory.growth += bytes;
            memory
                .entries
                .extend(entries.iter().map(|e| (e.log_id.index, e.clone())));
        }
        callback.log_io_completed(written.map(|_| ()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.write(move |shared, files| shared.truncate(files, log_id.index))
            .await
            .map_err(write_failed)?;
        self.shared.memory.lock().entries.split_off(&log_id.index);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.write(move |shared, files| shared.purge(files, log_id))
            .await
            .map_err(write_failed)?;
        let mut memory = self.shared.memory.lock();
        memory.entries = memory.entries.split_off(&next_index(Some(&log_id)));
        memory.purged = Some(log_id);
        Ok(())
    }
}
