//! A listener with a bound on its connections: when one more comes, the oldest goes.
//!
//! Nobody has a right to stay here. Whoever scrapes or probes asks at once and may connect again, so that a crowd which
//! connects and says nothing, or never takes its answer, locks nobody out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Connections that are open at a time.
pub const MAX_CONNECTIONS: usize = 64;

pub struct Limited<L> {
    inner: L,
    /// What ends each connection, the oldest first.
    open: VecDeque<oneshot::Sender<()>>,
}

impl<L: Listener> Limited<L> {
    pub fn new(inner: L) -> Limited<L> {
        Limited {
            inner,
            open: VecDeque::new(),
        }
    }
}

impl<L: Listener> Listener for Limited<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, addr) = self.inner.accept().await;
        self.open.retain(|end| !end.is_closed());
        if self.open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            // It may have ended by itself just now.
            let _ = oldest.send(());
        }
        let (end, ended) = oneshot::channel();
        self.open.push_back(end);
        let connection = Connection {
            io,
            ended: Some(ended),
            is_over: false,
        };
        (connection, addr)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

pub struct Connection<Io> {
    io: Io,
    /// None once nobody will end it any more: it has been ended, or the listener is gone and answers under way stay.
    ended: Option<oneshot::Receiver<()>>,
    is_over: bool,
}

impl<Io> Connection<Io> {
    /// An error once others need the room. Whoever waits for its peer is woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(ended) = &mut self.ended
            && let Poll::Ready(told) = Pin::new(ended).poll(cx)
        {
            self.ended = None;
            self.is_over = told.is_ok();
        }
        match self.is_over {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Connection<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Connection<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
