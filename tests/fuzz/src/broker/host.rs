//! The broker's outside world: all of it in memory, and a function of the seed.

use std::io;
use std::sync::Arc;

use broker::env::{BoxFuture, Env, Listener, Outside, Pool, Stream};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use storage::memory::MemoryDisk;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::network::Network;

/// When the world begins, milliseconds since the Unix epoch.
const EPOCH_MS: i64 = 1_800_000_000_000;

/// Clones are the same host.
#[derive(Clone)]
pub struct Host {
    disk: MemoryDisk,
    network: Network,
    random: Arc<Mutex<StdRng>>,
    began: Arc<Mutex<Option<Instant>>>,
    boot: &'static str,
}

impl Host {
    /// A host with an empty disk.
    pub fn new(seed: u64) -> Host {
        Host::with_disk(seed, MemoryDisk::new(), "boot")
    }

    /// A host on which a broker may have lived, perhaps on another boot.
    pub fn with_disk(seed: u64, disk: MemoryDisk, boot: &'static str) -> Host {
        Host {
            disk,
            boot,
            network: Network::default(),
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            began: Arc::default(),
        }
    }

    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The handle for a broker; called within a runtime.
    pub fn env(&self) -> Env {
        let handle = Handle::current();
        Env::new(handle.clone(), handle, Arc::new(self.clone()))
    }
}

impl Outside for Host {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { self.network.listen(address) })
    }

    fn connect<'a>(&'a self, _host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move { Ok(Box::new(self.network.connect(port)?) as Stream) })
    }

    fn wall_ms(&self) -> i64 {
        let now = Instant::now();
        let began = *self.began.lock().get_or_insert(now);
        EPOCH_MS + now.duration_since(began).as_millis() as i64
    }

    fn random_u64(&self) -> u64 {
        self.random.lock().next_u64()
    }

    fn disk(&self) -> Arc<dyn storage::Disk> {
        Arc::new(self.disk.clone())
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.boot.to_owned())
    }

    fn run_blocking(&self, _pool: Pool, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}
