//! Two flushes of one log at a time, on a disk that tells a failed fsync only once, as Linux does.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use storage::disk::Entry;
use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Error, File, Log, OpenState};

use crate::house::{DIR, batch, config, flush};

/// How long the first fsync waits for a second one to join it.
const PATIENCE: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Fsyncs {
    armed: bool,
    begun: usize,
    failed: bool,
}

/// Of the fsyncs of segments that have been ordered to fail, the first one says so.
#[derive(Clone, Default)]
struct TellsOnce {
    inner: MemoryDisk,
    state: Arc<(Mutex<Fsyncs>, Condvar)>,
}

struct Segment {
    inner: Arc<dyn File>,
    disk: TellsOnce,
}

impl TellsOnce {
    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        if path.extension().is_none_or(|extension| extension != "log") {
            return file;
        }
        Arc::new(Segment {
            inner: file,
            disk: self.clone(),
        })
    }

    fn fsync(&self) -> io::Result<()> {
        let (state, changed) = &*self.state;
        let mut fsyncs = state.lock().expect("no test thread panics here");
        if !fsyncs.armed {
            return Ok(());
        }
        fsyncs.begun += 1;
        changed.notify_all();
        let is_first = fsyncs.begun == 1;
        let wait = |f: &mut Fsyncs| if is_first { f.begun < 2 } else { !f.failed };
        let (mut fsyncs, _) = changed
            .wait_timeout_while(fsyncs, PATIENCE, wait)
            .expect("no test thread panics here");
        if is_first {
            fsyncs.failed = true;
            changed.notify_all();
            return Err(io::Error::other("the pages are lost"));
        }
        Ok(())
    }

    fn wait_for_first(&self) {
        let (state, changed) = &*self.state;
        let fsyncs = state.lock().expect("no test thread panics here");
        let begun = changed.wait_while(fsyncs, |f| f.begun == 0);
        drop(begun.expect("no test thread panics here"));
    }
}

impl Disk for TellsOnce {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.inner.open(path)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.inner.create(path)?))
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

impl File for Segment {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.inner.append(bufs)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.fsync()
    }
}

#[test]
fn a_failed_fsync_is_believed_by_the_flush_beside_it_too() {
    let disk = TellsOnce::default();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let dyn_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let budget = CacheBudget::new(0);
    let start = OpenState::default();
    let opened = Log::open(dyn_disk, Path::new(DIR), config(), budget, start);
    let (mut log, _) = opened.expect("opens");
    log.append(&[batch(0, 3, 0)], 0).unwrap();
    flush(&mut log);
    disk.state
        .0
        .lock()
        .expect("no test thread panics here")
        .armed = true;
    log.append(&[batch(3, 3, 0)], 0).unwrap();
    let (one, other) = (log.flush_plan(), log.flush_plan());
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| one.run());
        disk.wait_for_first();
        let other = scope.spawn(|| other.run());
        (one.join().unwrap(), other.join().unwrap())
    });
    assert!(matches!(one, Err(Error::Io { .. })), "{one:?}");
    assert!(matches!(other, Err(Error::Poisoned(_))), "{other:?}");
}
