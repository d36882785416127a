//! The real world: two tokio runtimes, the system's sockets and clocks, bounded blocking pools.

// What is forbidden elsewhere is what this file provides.
#![allow(clippy::disallowed_methods)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::{BoxFuture, Env, Listener, Outside, Pool, Stream};
use crate::spans::{NoSpans, SpanSink};

/// A quiet connection to another broker is probed after so long, and so often.
const PROBE: Duration = Duration::from_secs(1);
/// What another broker's machine has not acknowledged after so long ends the connection.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// What the system takes of an answer before it can be sent. Without this it takes megabytes from whoever writes to a peer
/// that does not read, where no budget counts them.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 256 << 10;

/// How many threads each plane and pool may use.
#[derive(Clone, Debug)]
pub struct Threads {
    /// Workers of the data runtime (`num.network.threads`).
    pub data: usize,
    /// Concurrent cold reads (`num.io.threads`).
    pub read: usize,
    /// Concurrent flushes.
    pub sync: usize,
    /// Pending connections that the system queues per listener (`socket.listen.backlog.size`).
    pub backlog: u32,
}

/// Owns the two runtimes; the process ends when it is shut down.
pub struct Production {
    data: Runtime,
    control: Runtime,
    outside: System,
}

impl Production {
    /// Starts both runtimes; log directories are on `disk`.
    pub fn start(threads: &Threads, disk: Arc<dyn storage::Disk>) -> io::Result<Production> {
        let data = Builder::new_multi_thread()
            .worker_threads(threads.data)
            .max_blocking_threads(threads.read + threads.sync + 4)
            .thread_keep_alive(Duration::from_secs(30))
            .thread_name("data")
            .enable_all()
            .build()?;
        let control = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("control")
            .enable_all()
            .build()?;
        let outside = System {
            backlog: threads.backlog,
            read: Arc::new(Semaphore::new(threads.read)),
            sync: Arc::new(Semaphore::new(threads.sync)),
            control_log: Arc::new(Semaphore::new(1)),
            data: data.handle().clone(),
            control: control.handle().clone(),
            disk,
            spans: Arc::new(NoSpans),
        };
        Ok(Production {
            data,
            control,
            outside,
        })
    }

    /// Calls `work` where tasks can be started on the control runtime.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.control.enter();
        work()
    }

    /// The handle to give to the broker, whose spans go to `spans`.
    pub fn env(&self, spans: Arc<dyn SpanSink>) -> Env {
        let outside = System {
            spans,
            ..self.outside.clone()
        };
        let (data, control) = (self.data.handle().clone(), self.control.handle().clone());
        Env::new(data, control, Arc::new(outside))
    }

    /// Runs `main` on the control runtime until it ends, then stops both runtimes. Work that is
    /// still blocked on a disk gets a second, no more.
    pub fn run<T>(self, main: impl Future<Output = T>) -> T {
        let result = self.control.block_on(main);
        self.data.shutdown_timeout(Duration::from_secs(1));
        self.control.shutdown_timeout(Duration::from_secs(1));
        result
    }
}

#[derive(Clone)]
struct System {
    backlog: u32,
    read: Arc<Semaphore>,
    sync: Arc<Semaphore>,
    control_log: Arc<Semaphore>,
    data: tokio::runtime::Handle,
    control: tokio::runtime::Handle,
    disk: Arc<dyn storage::Disk>,
    spans: Arc<dyn SpanSink>,
}

impl Outside for System {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for addr in lookup_host(address).await? {
                let bound = (|| {
                    let socket = if addr.is_ipv4() {
                        TcpSocket::new_v4()?
                    } else {
                        TcpSocket::new_v6()?
                    };
                    socket.set_reuseaddr(true)?;
                    socket.bind(addr)?;
                    socket.listen(self.backlog)
                })();
                match bound {
                    Ok(listener) => return Ok(Box::new(Tcp(listener)) as Box<dyn Listener>),
                    Err(e) => last = e,
                }
            }
            Err(last)
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            notice_silence(&stream)?;
            Ok(Box::new(stream) as Stream)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            match lookup_host((host, 0)).await?.next() {
                Some(_) => Ok(()),
                None => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "the name has no address",
                )),
            }
        })
    }

    fn wall_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64)
    }

    fn random_u64(&self) -> u64 {
        rand::rng().next_u64()
    }

    fn spans(&self) -> Arc<dyn SpanSink> {
        self.spans.clone()
    }

    fn boot_id(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_string()).filter(|id| !id.is_empty())
    }

    fn disk(&self) -> Arc<dyn storage::Disk> {
        self.disk.clone()
    }

    fn run_blocking(&self, pool: Pool, work: Box<dyn FnOnce() + Send>) {
        let (slots, runtime) = match pool {
            Pool::Read => (&self.read, &self.data),
            Pool::Sync => (&self.sync, &self.data),
            Pool::Control => (&self.control_log, &self.control),
        };
        let slots = slots.clone();
        let blocking = runtime.clone();
        runtime.spawn(async move {
            let permit = slots
                .acquire_owned()
                .await
                .expect("the pools are never closed");
            blocking.spawn_blocking(move || {
                work();
                drop(permit);
            });
        });
    }
}

/// Has a connection to another broker end when its machine acknowledges nothing any more. A process that is starved or
/// stopped is not affected: its kernel acknowledges for it.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(PROBE)
        .with_interval(PROBE);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

struct Tcp(TcpListener);

impl Listener for Tcp {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            #[cfg(target_os = "linux")]
            socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
            Ok((Box::new(stream) as Stream, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
