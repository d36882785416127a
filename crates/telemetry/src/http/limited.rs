//! A listener with a bound on its connections: when one more comes, the oldest goes, once it has had its time.
//!
//! Nobody has a right to stay here. Whoever scrapes or probes asks at once and may connect again, so that a crowd which
//! connects and says nothing, or never takes its answer, locks nobody out. A crowd that comes and goes must not push out
//! who is being answered either: whoever has been let in stays for [`STAY`], and newcomers wait before the door.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Connections that are open at a time.
pub const MAX_CONNECTIONS: usize = 64;
/// How long nobody has to go: enough for an answer on a busy machine, and little for those who wait meanwhile.
pub const STAY: Duration = Duration::from_millis(100);

pub struct Limited<L> {
    inner: L,
    /// The oldest first.
    open: VecDeque<Guest>,
    /// Told whenever a connection ends.
    gone: Arc<Notify>,
}

struct Guest {
    since: Instant,
    /// Ends the connection.
    end: oneshot::Sender<()>,
}

impl<L: Listener> Limited<L> {
    pub fn new(inner: L) -> Limited<L> {
        Limited {
            inner,
            open: VecDeque::new(),
            gone: Arc::new(Notify::new()),
        }
    }

    /// Waits until one more may come in: one has gone by itself, or the oldest must.
    async fn make_room(&mut self) {
        loop {
            self.open.retain(|guest| !guest.end.is_closed());
            let oldest = match self.open.front() {
                Some(guest) if self.open.len() >= MAX_CONNECTIONS => guest.since,
                _ => return,
            };
            tokio::select! {
                () = self.gone.notified() => {}
                () = tokio::time::sleep_until(oldest + STAY) => {
                    if let Some(guest) = self.open.pop_front() {
                        // It may have ended by itself just now.
                        let _ = guest.end.send(());
                    }
                }
            }
        }
    }
}

impl<L: Listener> Listener for Limited<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Room is made for somebody who is there: nobody has to go before.
        let (io, addr) = self.inner.accept().await;
        self.make_room().await;
        let (end, ended) = oneshot::channel();
        let since = Instant::now();
        self.open.push_back(Guest { since, end });
        let connection = Connection {
            io,
            ended: Some(ended),
            is_over: false,
            gone: self.gone.clone(),
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
    gone: Arc<Notify>,
}

impl<Io> Drop for Connection<Io> {
    fn drop(&mut self) {
        // First, for it is how the listener sees that there is room.
        self.ended = None;
        self.gone.notify_one();
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream};
    use tokio::time::timeout;

    use super::*;

    /// Has somebody at its door whenever it is asked.
    struct Crowded;

    impl Listener for Crowded {
        type Io = DuplexStream;
        type Addr = ();

        async fn accept(&mut self) -> (DuplexStream, ()) {
            // The other end is gone: what reads here ends, and the connection is there until it is dropped.
            (tokio::io::duplex(1).0, ())
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn full() -> (Limited<Crowded>, VecDeque<Connection<DuplexStream>>) {
        let mut limited = Limited::new(Crowded);
        let mut guests = VecDeque::new();
        for _ in 0..MAX_CONNECTIONS {
            guests.push_back(limited.accept().await.0);
        }
        (limited, guests)
    }

    async fn was_ended(guest: &mut Connection<DuplexStream>) -> bool {
        guest.read_u8().await.expect_err("nobody writes").kind() == io::ErrorKind::ConnectionAborted
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_in_has_its_time_before_it_must_go() {
        let (mut limited, mut guests) = full().await;
        let began = Instant::now();
        guests.push_back(limited.accept().await.0);
        // The clock is a millisecond coarse.
        assert!(began.elapsed() >= STAY && began.elapsed() < 2 * STAY);
        assert!(was_ended(&mut guests[0]).await);
        for guest in guests.iter_mut().skip(1) {
            assert!(!was_ended(guest).await);
        }
        // The others have had theirs by now.
        let next = timeout(STAY / 2, limited.accept());
        next.await.expect("nobody waits for long");
        assert!(was_ended(&mut guests[1]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn where_one_goes_by_itself_nobody_waits_and_nobody_must_go() {
        let (mut limited, mut guests) = full().await;
        let began = Instant::now();
        let leaving = guests.pop_back();
        let (next, ()) = tokio::join!(limited.accept(), async {
            tokio::task::yield_now().await;
            drop(leaving);
        });
        guests.push_back(next.0);
        assert!(began.elapsed() < STAY, "{:?}", began.elapsed());
        for guest in &mut guests {
            assert!(!was_ended(guest).await);
        }
    }
}
