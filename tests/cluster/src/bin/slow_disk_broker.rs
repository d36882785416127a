//! `slow-disk-broker CONFIG`: the broker on a disk that is as slow as the file says that CHAOS_SLOWNESS names.

// The machine's own clock and threads: what is slow here is no part of the broker.
#![allow(clippy::disallowed_methods)]

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use broker::config;
use cluster::chaos::slowness::{Slowness, VARIABLE};
use storage::RealDisk;
use storage::disk::{Disk, Entry, File};

/// How often the file is read.
const LOOK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slow-disk-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    telemetry::init_logs("slow-disk-broker")?;
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let (config, _) = config::load(file.as_deref(), std::env::vars())?;
    let slowness = std::env::var_os(VARIABLE).context(VARIABLE)?;
    let delays = Arc::new(Delays::default());
    let read = delays.clone();
    thread::spawn(move || {
        loop {
            // Without the file, or while it is none, nothing changes.
            if let Ok(slowness) = Slowness::read(Path::new(&slowness)) {
                read.set(slowness);
            }
            thread::sleep(LOOK);
        }
    });
    broker::process::run(config, Arc::new(SlowDisk { delays }))
}

/// How much longer each operation takes now, in milliseconds.
#[derive(Debug, Default)]
struct Delays {
    read: AtomicU64,
    append: AtomicU64,
    sync: AtomicU64,
}

impl Delays {
    fn set(&self, slowness: Slowness) {
        self.read.store(slowness.read_ms, Ordering::Relaxed);
        self.append.store(slowness.append_ms, Ordering::Relaxed);
        self.sync.store(slowness.sync_ms, Ordering::Relaxed);
    }
}

/// Waits as long as one operation takes longer; ends early when the disk is fast again.
fn wait(delay: &AtomicU64) {
    let mut waited = Duration::ZERO;
    loop {
        let left = Duration::from_millis(delay.load(Ordering::Relaxed)).saturating_sub(waited);
        if left.is_zero() {
            return;
        }
        let step = left.min(LOOK);
        thread::sleep(step);
        waited += step;
    }
}

/// The machine's disk, later.
struct SlowDisk {
    delays: Arc<Delays>,
}

struct SlowFile {
    file: Arc<dyn File>,
    delays: Arc<Delays>,
}

impl SlowDisk {
    fn slow(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(SlowFile {
            file,
            delays: self.delays.clone(),
        })
    }
}

impl Disk for SlowDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.slow(RealDisk.open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.slow(RealDisk.create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        wait(&self.delays.sync);
        RealDisk.sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<u64> {
        RealDisk.modified_ms(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }
}

impl File for SlowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        wait(&self.delays.read);
        self.file.read_at(buf, offset)
    }

    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        wait(&self.delays.append);
        self.file.append(bufs)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        wait(&self.delays.sync);
        self.file.sync_data()
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        self.file.forget_cached(offset, len);
    }
}
