//! Connections that can be reset or silenced from outside, on top of turmoil's network.
//!
//! turmoil loses and delays messages between hosts, but it has no word for a connection that breaks while both of its
//! ends live, as a rebooted middlebox breaks it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use broker::env::{BoxFuture, Listener, Stream};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// The connections that a host has, weakly: who drops one forgets it.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Vec<Weak<Mutex<Cut>>>>>);

/// Whether a connection is cut, and who wants to know.
#[derive(Default)]
struct Cut {
    is_cut: bool,
    /// Nothing arrives any more, and what is sent goes nowhere.
    is_silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Connections {
    /// Resets each connection for which `chosen` says so, in the order in which they were made; gives their number.
    pub fn reset(&self, chosen: impl FnMut() -> bool) -> usize {
        self.each(chosen, |cut| cut.is_cut = true)
    }

    /// Leaves each of them half open: neither end is told of anything.
    pub fn silence(&self, chosen: impl FnMut() -> bool) -> usize {
        self.each(chosen, |cut| cut.is_silent = true)
    }

    fn each(&self, mut chosen: impl FnMut() -> bool, change: impl Fn(&mut Cut)) -> usize {
        let mut all = self.0.lock();
        all.retain(|cut| cut.strong_count() > 0);
        let mut count = 0;
        for cut in all.iter().filter_map(Weak::upgrade) {
            if !chosen() {
                continue;
            }
            let mut cut = cut.lock();
            change(&mut cut);
            count += 1;
            for waker in [cut.reader.take(), cut.writer.take()].into_iter().flatten() {
                waker.wake();
            }
        }
        count
    }

    fn join(&self, inner: TcpStream) -> Stream {
        let cut = Arc::<Mutex<Cut>>::default();
        let mut all = self.0.lock();
        all.retain(|cut| cut.strong_count() > 0);
        all.push(Arc::downgrade(&cut));
        Box::new(Severable { inner, cut })
    }

    /// Connects to a host.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        Ok(self.join(TcpStream::connect((host, port)).await?))
    }

    /// Listens on an address of the host that it is called on.
    pub async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let inner = TcpListener::bind(address).await?;
        let connections = self.clone();
        Ok(Box::new(Listening { inner, connections }))
    }
}

struct Listening {
    inner: TcpListener,
    connections: Connections,
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.inner.accept().await?;
            Ok((self.connections.join(stream), peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A stream that ends with a reset once it is cut.
struct Severable {
    inner: TcpStream,
    cut: Arc<Mutex<Cut>>,
}

impl Severable {
    fn is_silent(&self) -> bool {
        self.cut.lock().is_silent
    }

    fn check(&self, note: impl FnOnce(&mut Cut)) -> io::Result<()> {
        let mut cut = self.cut.lock();
        if cut.is_cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        note(&mut cut);
        Ok(())
    }

    fn check_writer(&self, context: &Context<'_>) -> io::Result<()> {
        self.check(|cut| cut.writer = Some(context.waker().clone()))
    }
}

impl AsyncRead for Severable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(|cut| cut.reader = Some(context.waker().clone()))?;
        if self.is_silent() {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(context, buf)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_writer(context)?;
        if self.is_silent() {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_writer(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
