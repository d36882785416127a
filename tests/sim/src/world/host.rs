//! One simulated machine, as a broker's `Outside`.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use broker::env::{BoxFuture, Env, Listener, Outside, Pool, Stream};
use broker::quorum::{DIRECTORY, Quorum};
use broker::spans::{AppendSpan, NoSpans, SpanSink};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use storage::Disk;
use storage::disk::memory::MemoryDisk;
use telemetry::Registry;
use tokio::runtime::Handle;

use super::network::Connections;

/// What outlives a crash of the machine's process: its disk, its clock, and the randomness that it has left.
#[derive(Clone)]
pub struct Host {
    disk: Arc<MemoryDisk>,
    random: Arc<Mutex<StdRng>>,
    connections: Connections,
    /// How far its clock is ahead of the world's.
    skew_ms: Arc<AtomicI64>,
    /// The metadata quorum's part in its process, while that serves.
    quorum: Arc<Mutex<Weak<Quorum>>>,
    /// How often its process has begun to serve.
    lives: Arc<AtomicU64>,
    /// How often it has lost its memory.
    losses: Arc<AtomicU64>,
    /// How long its disk lets every piece of work on a pool wait.
    usual: Duration,
    /// How much longer while something is wrong with it.
    stall_ms: Arc<AtomicU64>,
}

impl Host {
    /// A machine with an empty disk that takes no time.
    pub fn new(seed: u64) -> Host {
        Host {
            disk: Arc::default(),
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            connections: Connections::default(),
            skew_ms: Arc::default(),
            quorum: Arc::default(),
            lives: Arc::default(),
            losses: Arc::default(),
            usual: Duration::ZERO,
            stall_ms: Arc::default(),
        }
    }

    /// The same where cold reads and fsyncs take so long.
    #[must_use]
    pub fn with_disk_of(self, usual: Duration) -> Host {
        Host { usual, ..self }
    }

    /// Its disk.
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// The connections that its process has.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The power fails: what was not synced is lost or torn.
    pub fn lose_power(&self) {
        let seed = self.random.lock().next_u64();
        if seed.is_multiple_of(4) {
            // An append to the metadata log is one step here, so no power fails amid it by chance.
            // A disk that is full takes none, and brokers that do not vote have no log.
            let _ = self.begin_entry();
        }
        self.disk.crash(seed);
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// The beginning of one more entry is written to the metadata log: a length, a CRC and a byte, as the file itself begins.
    fn begin_entry(&self) -> io::Result<()> {
        let directory = Path::new("/data").join(DIRECTORY);
        let files = self.disk.list(&directory)?;
        let Some(newest) = files.iter().rfind(|file| file.name.ends_with(".raft")) else {
            return Ok(());
        };
        let file = self.disk.open(&directory.join(&newest.name))?;
        let mut entry = vec![0; 9];
        let read = file.read_at(&mut entry, 0)?;
        entry.truncate(read);
        file.append(&mut [IoSlice::new(&entry)])
    }

    /// Its process serves.
    pub fn serves(&self, quorum: &Arc<Quorum>) {
        self.lives.fetch_add(1, Ordering::Relaxed);
        *self.quorum.lock() = Arc::downgrade(quorum);
    }

    /// How often its process has begun to serve.
    pub fn lives(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// The metadata quorum's part in its process, if that serves.
    pub fn quorum(&self) -> Option<Arc<Quorum>> {
        self.quorum.lock().upgrade()
    }

    /// Sets its clock, ahead of the world's by so much.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// From now on, cold reads and fsyncs take so much longer.
    pub fn set_stall(&self, stall: Duration) {
        self.stall_ms
            .store(stall.as_millis() as u64, Ordering::Relaxed);
    }

    /// The handle for a broker; called inside of the simulated host.
    pub fn env(&self) -> Env {
        let handle = Handle::current();
        Env::new(handle.clone(), handle, Arc::new(self.clone()))
    }
}

impl Outside for Host {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(self.connections.listen(address))
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(self.connections.connect(host, port))
    }

    fn wall_ms(&self) -> i64 {
        let world = turmoil::since_epoch().map_or(0, |since| since.as_millis() as i64);
        // Files are as old as the machine takes them for.
        self.disk.set_now_ms(world.max(0) as u64);
        world + self.skew_ms.load(Ordering::Relaxed)
    }

    fn random_u64(&self) -> u64 {
        self.random.lock().next_u64()
    }

    fn boot_id(&self) -> Option<String> {
        Some(format!("boot-{}", self.losses.load(Ordering::Relaxed)))
    }

    fn disk(&self) -> Arc<dyn storage::Disk> {
        self.disk.clone()
    }

    fn spans(&self) -> Arc<dyn SpanSink> {
        Arc::new(Noted)
    }

    fn run_blocking(&self, _pool: Pool, work: Box<dyn FnOnce() + Send>) {
        let stall = Duration::from_millis(self.stall_ms.load(Ordering::Relaxed)) + self.usual;
        if stall.is_zero() {
            return work();
        }
        // Where the process dies meanwhile, the work is never done.
        Handle::current().spawn(async move {
            tokio::time::sleep(stall).await;
            work();
        });
    }
}

/// Notes half of the spans in the log, and with it in the trace that two runs of a seed are compared by.
struct Noted;

impl SpanSink for Noted {
    fn ratio(&self) -> f64 {
        0.5
    }

    fn record(&self, span: AppendSpan) {
        tracing::info!(?span, "span");
    }

    fn register(&self, registry: &Registry) {
        NoSpans.register(registry);
    }
}
