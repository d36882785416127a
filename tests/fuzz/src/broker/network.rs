//! Connections within this process: pipes between two tasks.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use broker::env::{BoxFuture, Listener, Stream};
use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

/// What the kernel would hold of a connection, in each direction.
const PIPE_BYTES: usize = 16 << 10;
/// Connections that nobody has accepted yet.
const BACKLOG: usize = 64;

type Waiting = mpsc::Sender<DuplexStream>;

/// The listeners, by port.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<BTreeMap<u16, Waiting>>>);

impl Network {
    pub fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or(io::ErrorKind::InvalidInput)?;
        let (sender, waiting) = mpsc::channel(BACKLOG);
        self.0.lock().insert(port, sender);
        Ok(Box::new(Bound { port, waiting }))
    }

    pub fn connect(&self, port: u16) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (near, far) = duplex(PIPE_BYTES);
        let listeners = self.0.lock();
        let listener = listeners.get(&port).ok_or_else(refused)?;
        listener.try_send(far).map_err(|_| refused())?;
        Ok(near)
    }
}

struct Bound {
    port: u16,
    waiting: mpsc::Receiver<DuplexStream>,
}

impl Listener for Bound {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            match self.waiting.recv().await {
                Some(stream) => Ok((Box::new(stream) as Stream, ([127, 0, 0, 1], 1).into())),
                // Somebody else listens on this port now; nobody comes here any more.
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], self.port).into())
    }
}
