//! One simulated host, as a broker's `Outside`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::env::{BoxFuture, Env, Listener, Outside, Pool, Stream};
use broker::spans::{AppendSpan, NoSpans, SpanSink};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use storage::disk::memory::MemoryDisk;
use telemetry::Registry;
use tokio::runtime::Handle;

/// What outlives a crash of the host's process: its disk, and the randomness that it has left.
#[derive(Clone)]
pub struct Host {
    disk: Arc<MemoryDisk>,
    random: Arc<Mutex<StdRng>>,
}

impl Host {
    /// A host with an empty disk.
    pub fn new(seed: u64) -> Host {
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        Host {
            disk: Arc::new(MemoryDisk::new()),
            random,
        }
    }

    /// Its disk.
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// The power fails: what was not synced is lost or torn.
    pub fn lose_power(&self) {
        let seed = self.random.lock().next_u64();
        self.disk.crash(seed);
    }

    /// The handle for a broker; called inside of the simulated host.
    pub fn env(&self) -> Env {
        let handle = Handle::current();
        Env::new(handle.clone(), handle, Arc::new(self.clone()))
    }
}

impl Outside for Host {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = turmoil::net::TcpListener::bind(address).await?;
            Ok(Box::new(Simulated(listener)) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = turmoil::net::TcpStream::connect((host, port)).await?;
            Ok(Box::new(stream) as Stream)
        })
    }

    fn wall_ms(&self) -> i64 {
        turmoil::since_epoch().map_or(0, |since| since.as_millis() as i64)
    }

    fn random_u64(&self) -> u64 {
        self.random.lock().next_u64()
    }

    fn disk(&self) -> Arc<dyn storage::Disk> {
        self.disk.clone()
    }

    fn spans(&self) -> Arc<dyn SpanSink> {
        Arc::new(Noted)
    }

    fn run_blocking(&self, _pool: Pool, work: Box<dyn FnOnce() + Send>) {
        work();
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

struct Simulated(turmoil::net::TcpListener);

impl Listener for Simulated {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(stream) as Stream, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
