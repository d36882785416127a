//! A disk whose appends, reads and fsyncs are timed: the age of the oldest one that has not ended tells a disk that
//! hangs from one that is idle (gray failure).

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::disk::Entry;
use storage::{Disk, File};
use telemetry::metrics::Histogram;

use crate::env::Env;
use crate::metrics::families::own::FSYNC_BOUNDS;

/// Operations that are watched at the same time; more than the threads that can be in one.
const SLOTS: usize = 64;
const FREE: u64 = u64::MAX;

/// When each operation under way began.
pub(super) struct InFlight {
    env: Env,
    began_ms: [AtomicU64; SLOTS],
    /// How long fsyncs took.
    pub fsyncs: Histogram,
}

impl InFlight {
    pub fn new(env: Env) -> Arc<InFlight> {
        Arc::new(InFlight {
            env,
            fsyncs: Histogram::new(FSYNC_BOUNDS),
            began_ms: [const { AtomicU64::new(FREE) }; SLOTS],
        })
    }

    /// The age of the oldest operation that has not ended; zero if there is none.
    pub fn oldest(&self) -> Duration {
        let oldest = self
            .began_ms
            .iter()
            .map(|began| began.load(Ordering::Relaxed))
            .min();
        match oldest {
            Some(began) if began != FREE => {
                Duration::from_millis(self.env.elapsed_ms().saturating_sub(began))
            }
            _ => Duration::ZERO,
        }
    }

    fn begin(&self) -> Option<Running<'_>> {
        let now = self.env.elapsed_ms();
        let take = |slot: &&AtomicU64| {
            slot.compare_exchange(FREE, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        self.began_ms.iter().find(take).map(Running)
    }
}

struct Running<'a>(&'a AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(FREE, Ordering::Relaxed);
    }
}

/// The disk of the partition logs.
pub(super) struct WatchedDisk {
    pub inner: Arc<dyn Disk>,
    pub in_flight: Arc<InFlight>,
}

struct WatchedFile {
    inner: Arc<dyn File>,
    in_flight: Arc<InFlight>,
}

impl WatchedDisk {
    fn watched(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WatchedFile {
            inner: file,
            in_flight: self.in_flight.clone(),
        })
    }
}

impl Disk for WatchedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.open(path).map(|file| self.watched(file))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.inner.create(path).map(|file| self.watched(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let _running = self.in_flight.begin();
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

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let _running = self.in_flight.begin();
        self.inner.read_at(buf, offset)
    }

    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        let _running = self.in_flight.begin();
        self.inner.append(bufs)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let _running = self.in_flight.begin();
        self.inner.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let _running = self.in_flight.begin();
        let began = self.in_flight.env.now();
        let synced = self.inner.sync_data();
        self.in_flight
            .fsyncs
            .observe(self.in_flight.env.now().duration_since(began));
        synced
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        self.inner.forget_cached(offset, len);
    }
}
