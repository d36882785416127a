//! Everything that reaches the broker from outside: sockets, clocks, randomness, disks, threads.
//!
//! One [`Env`] is given to the broker when it is built. Production maps it to two tokio runtimes
//! and bounded pools ([`production`]); a simulation maps it to one simulated host. Nothing else in
//! the broker opens a socket, reads a clock, draws a random number or starts a thread, so the same
//! code runs in both, and a simulated run is a function of its seed.

pub mod production;
pub mod watch;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::spans::{NoSpans, SpanSink};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which runtime a task belongs to.
///
/// Quorum, heartbeats, health and metrics run on `Control`, so that a flood of produce requests
/// can neither look like a dead broker nor delay an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Client connections, replication, coordinators.
    Data,
    /// Metadata quorum, heartbeats, health and metrics.
    Control,
}

/// Which bounded pool a blocking call is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Cold reads of partition logs, and recovery.
    Read,
    /// Flushes of partition logs.
    Sync,
    /// The metadata log: its fsyncs never queue behind those of partitions.
    Control,
}

/// A connected byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// A connected byte stream with Nagle's algorithm off.
pub type Stream = Box<dyn ByteStream>;

/// A bound socket that accepts connections.
pub trait Listener: Send + Sync + 'static {
    /// Waits for the next connection.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>>;
    /// The address it is bound to, with the port that the system chose for port 0.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// What production and simulation each provide.
pub trait Outside: Send + Sync + 'static {
    /// Binds `address` (`host:port`).
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
    /// Connects to `host:port`. The caller bounds the wait.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>>;
    /// Looks the name of a host up. A simulated world knows every name.
    fn resolve<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;
    /// The next random number.
    fn random_u64(&self) -> u64;
    /// The disk that holds the log directories.
    fn disk(&self) -> Arc<dyn storage::Disk>;
    /// Another one each time that the machine begins with empty memory; none where the system does not tell.
    fn boot_id(&self) -> Option<String> {
        None
    }
    /// Where spans go; by default none are wanted.
    fn spans(&self) -> Arc<dyn SpanSink> {
        Arc::new(NoSpans)
    }
    /// Runs `work` on `pool`; a simulation runs it at once.
    fn run_blocking(&self, pool: Pool, work: Box<dyn FnOnce() + Send>);
}

/// The handle on the outside world that every part of a broker holds.
#[derive(Clone)]
pub struct Env {
    data: Handle,
    control: Handle,
    outside: Arc<dyn Outside>,
    started: Instant,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

impl Env {
    /// Builds the handle from the runtimes of both planes and the outside world. Both handles may
    /// be the same runtime, as in a simulation.
    pub fn new(data: Handle, control: Handle, outside: Arc<dyn Outside>) -> Env {
        let started = {
            let _guard = control.enter();
            Instant::now()
        };
        Env {
            data,
            control,
            outside,
            started,
        }
    }

    /// Starts a task on the runtime of `plane`. `name` appears in its tracing span.
    pub fn spawn<F>(&self, plane: Plane, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        use tracing::Instrument;
        let task = task.instrument(tracing::debug_span!("task", name));
        match plane {
            Plane::Data => self.data.spawn(task),
            Plane::Control => self.control.spawn(task),
        }
    }

    /// Runs a blocking closure on a bounded pool and waits for its result.
    ///
    /// # Panics
    /// If `work` panics: the panic has been reported on its thread and the result is gone.
    pub async fn blocking<T: Send + 'static>(
        &self,
        pool: Pool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (done, result) = oneshot::channel();
        let work = move || {
            // The receiver is gone only if the waiting task was dropped: nobody wants the result.
            let _ = done.send(work());
        };
        self.outside.run_blocking(pool, Box::new(work));
        result.await.expect("a blocking closure ends by returning")
    }

    /// Binds `address`, written `host:port`.
    pub async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.outside.listen(address).await
    }

    /// Connects to `host:port`. The wait is not bounded here.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        self.outside.connect(host, port).await
    }

    /// Whether the name of a host, or its address, can be resolved.
    pub async fn resolve(&self, host: &str) -> io::Result<()> {
        self.outside.resolve(host).await
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Milliseconds on the monotonic clock since this handle was built.
    pub fn elapsed_ms(&self) -> u64 {
        self.now().duration_since(self.started).as_millis() as u64
    }

    /// Milliseconds since the Unix epoch; may jump.
    pub fn wall_ms(&self) -> i64 {
        self.outside.wall_ms()
    }

    /// The next random number.
    pub fn random_u64(&self) -> u64 {
        self.outside.random_u64()
    }

    /// A random (version 4) UUID, never one that Kafka reserves.
    pub fn random_uuid(&self) -> wire::Uuid {
        loop {
            let mut bytes = [0u8; 16];
            bytes[..8].copy_from_slice(&self.random_u64().to_be_bytes());
            bytes[8..].copy_from_slice(&self.random_u64().to_be_bytes());
            bytes[6] = (bytes[6] & 0x0f) | 0x40;
            bytes[8] = (bytes[8] & 0x3f) | 0x80;
            let uuid = wire::Uuid(bytes);
            // Kafka's tools take a leading dash for an option, so Kafka never hands one out.
            if !uuid.to_string().starts_with('-') {
                return uuid;
            }
        }
    }

    /// How many workers the data plane has, and how long they have worked, added up.
    pub fn data_plane_busy(&self) -> (usize, Duration) {
        let metrics = self.data.metrics();
        let workers = metrics.num_workers();
        let busy = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker));
        (workers, busy.sum())
    }

    /// Where spans go.
    pub fn spans(&self) -> Arc<dyn SpanSink> {
        self.outside.spans()
    }

    /// Another one each time that the machine begins with empty memory; none where the system does not tell.
    pub fn boot_id(&self) -> Option<String> {
        self.outside.boot_id()
    }

    /// The disk that holds the log directories.
    pub fn disk(&self) -> Arc<dyn storage::Disk> {
        self.outside.disk()
    }
}
