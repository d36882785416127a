//! The durable half of the consensus: the log's entries and the vote.
//!
//! Entries are in memory too, as far back as the last snapshot needs: whoever replicates reads them there. Disk is
//! written on a blocking pool and fsynced before openraft hears of it. An append that fails poisons the log: openraft
//! stops, and the process with it, because what is on disk is then unknown.

mod damage;
pub(super) mod entry;
pub(super) mod segment;
mod small;

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
use telemetry::metrics::Histogram;

use super::codec;
use super::saved::Saved;
use super::types::{Entry, LogId, StorageError, Types, Vote};
use crate::env::{Env, Pool};
use crate::metrics::families::own::FSYNC_BOUNDS;
use damage::damaged;
pub(super) use damage::{is_damage, unreadable};
use segment::{Cut, Segment, next_index};
pub(super) use small::{RESERVE_FILE, create_dir, read_checked, with_reserve, write_checked};

/// Entries handed to a follower at once stop at so many bytes.
const READ_BYTES: usize = 1 << 20;
const VOTE_FILE: &str = "vote";

codec::same_since_version_1! { Vote, "vote file"; }

/// The log of one node. Clones share it.
#[derive(Clone)]
pub struct Log {
    env: Env,
    shared: Arc<Shared>,
    /// What has replaced entries that are purged.
    saved: Option<Arc<Saved>>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limits: Limits,
    files: Mutex<Files>,
    memory: Mutex<Memory>,
    /// How long it takes to append entries durably.
    fsyncs: Histogram,
    clock: Env,
}

/// What is on disk. Only one write is under way at a time; the lock is held during it, on a blocking thread.
struct Files {
    segments: Vec<Segment>,
    /// What a purge was about to remove when the machine stopped.
    superseded: Vec<Segment>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries read.
    pub entries: usize,
    /// The torn tail that was cut.
    pub cut: Option<Cut>,
}

impl Log {
    /// Opens the log in `dir`, which is created if need be. Blocks.
    pub fn open(env: &Env, dir: &Path, limits: Limits) -> io::Result<(Log, Recovered)> {
        let disk = env.disk();
        create_dir(&*disk, dir)?;
        let vote = read_checked::<Vote>(&*disk, &dir.join(VOTE_FILE))?;
        let mut recovered = Recovered::default();
        let mut memory = Memory {
            vote,
            ..Memory::default()
        };
        let files = open_segments(&*disk, dir, &mut memory, &mut recovered)?;
        let files = Mutex::new(files);
        let shared = Shared {
            disk,
            dir: dir.into(),
            limits,
            files,
            memory: Mutex::new(memory),
            fsyncs: Histogram::new(FSYNC_BOUNDS),
            clock: env.clone(),
        };
        Ok((
            Log {
                env: env.clone(),
                shared: Arc::new(shared),
                saved: None,
            },
            recovered,
        ))
    }

    /// Purges nothing that is not in a snapshot on disk.
    #[must_use]
    pub fn replaced_by(self, saved: Arc<Saved>) -> Log {
        let saved = Some(saved);
        Log { saved, ..self }
    }

    /// Makes sure that the entries which the log lacks at its beginning are in the snapshot, which ends with `applied`,
    /// and removes what an interrupted purge has left. Blocks.
    pub fn complete_purge(&self, applied: Option<LogId>) -> io::Result<()> {
        let purged = self.shared.memory.lock().purged;
        if purged > applied {
            let upto = next_index(purged.as_ref());
            let why = format!("the entries before {upto} are missing, and in no snapshot");
            return Err(damaged(&self.shared.dir, why));
        }
        let superseded = std::mem::take(&mut self.shared.files.lock().superseded);
        if superseded.is_empty() {
            return Ok(());
        }
        for segment in superseded {
            segment.remove(&*self.shared.disk)?;
        }
        self.shared.disk.sync_dir(&self.shared.dir)
    }

    /// Makes sure that the vote is there. Whoever has entries beyond the first has voted: a leader's vote is stored before
    /// any entry of it, and to vote once more in the same term would make two leaders.
    pub fn check_vote(&self) -> io::Result<()> {
        let has_voted = self.last().is_some_and(|last| last.index > 0);
        if has_voted && self.shared.memory.lock().vote.is_none() {
            let path = self.shared.dir.join(VOTE_FILE);
            return Err(damaged(&path, "the vote is missing"));
        }
        Ok(())
    }

    /// Whether there are no entries and there never were. A vote alone does not count: where no voter has an entry,
    /// nothing was ever committed.
    pub fn is_empty(&self) -> bool {
        let memory = self.shared.memory.lock();
        memory.entries.is_empty() && memory.purged.is_none()
    }

    /// The last entry, or where a snapshot took its place.
    pub fn last(&self) -> Option<LogId> {
        let memory = self.shared.memory.lock();
        let last = memory.entries.last_key_value().map(|(_, e)| e.log_id);
        last.or(memory.purged)
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

fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    memory: &mut Memory,
    recovered: &mut Recovered,
) -> io::Result<Files> {
    let mut listed = disk.list(dir)?;
    listed.retain(|entry| entry.name.ends_with(".raft"));
    listed.sort();
    let (mut segments, mut superseded): (Vec<Segment>, Vec<Segment>) = Default::default();
    for (at, entry) in listed.iter().enumerate() {
        let path = dir.join(&entry.name);
        let is_last = at + 1 == listed.len();
        let Some(opened) = segment::Segment::open(disk, &path, is_last)? else {
            // A file that was being created when the machine stopped.
            if is_last {
                disk.remove_file(&path)?;
                let bytes = entry.len;
                recovered.cut = Some(Cut {
                    path,
                    position: 0,
                    bytes,
                });
                continue;
            }
            return Err(damaged(&path, "no head"));
        };
        let next = segments.last().map_or(opened.segment.first, Segment::next);
        if next > opened.segment.first {
            return Err(damaged(&path, "it does not continue the file before it"));
        }
        if next < opened.segment.first {
            // A purge makes the file that comes after the purged entries before it removes those that hold them.
            // Whether a snapshot has the entries is seen later: by `complete_purge`.
            superseded.append(&mut segments);
            memory.entries.clear();
        }
        if segments.is_empty() {
            memory.purged = opened.segment.before;
        }
        recovered.entries += opened.entries.len();
        recovered.cut = opened.cut;
        memory
            .entries
            .extend(opened.entries.into_iter().map(|e| (e.log_id.index, e)));
        segments.push(opened.segment);
    }
    Ok(Files {
        segments,
        superseded,
    })
}

impl Log {
    pub fn fsyncs(&self) -> Histogram {
        self.shared.fsyncs.clone()
    }
}

impl Shared {
    /// Appends to the newest file, or to a new one.
    fn append(&self, files: &mut Files, entries: &[Entry]) -> io::Result<()> {
        with_reserve(&*self.disk, &self.dir, || self.append_once(files, entries))
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
        let began = self.clock.now();
        let appended = segment.append(entries);
        self.fsyncs.observe(self.clock.now().duration_since(began));
        appended
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
            let create = || Segment::create(&*self.disk, &self.dir, Some(upto), upto.index + 1);
            let keep = with_reserve(&*self.disk, &self.dir, create)?;
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
        let last_log_id = self.last();
        let last_purged_log_id = self.shared.memory.lock().purged;
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        self.write(move |shared, _| {
            let path = shared.dir.join(VOTE_FILE);
            with_reserve(&*shared.disk, &shared.dir, || {
                write_checked(&*shared.disk, &path, &vote)
            })
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
        if let Some(saved) = &self.saved {
            saved.reaches(log_id).await.map_err(write_failed)?;
        }
        self.write(move |shared, files| shared.purge(files, log_id))
            .await
            .map_err(write_failed)?;
        let mut memory = self.shared.memory.lock();
        memory.entries = memory.entries.split_off(&next_index(Some(&log_id)));
        memory.purged = Some(log_id);
        Ok(())
    }
}
