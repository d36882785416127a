//! Reading frames: a size, checked before memory is taken, then that many bytes.
//!
//! Memory is taken, and counted against the budget, as bytes arrive and not as a size announces them: whoever announces
//! much and sends little keeps nobody out.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::limits::ByteBudget;
use super::share::{Cut, Held, Need, Transfer};

/// Read ahead of the current frame; small requests arrive several to a read.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// What a connection may have of a frame that is not whole without room in the budget: what one read brings with its size.
const FREE_BYTES: usize = READ_AHEAD_BYTES - 4;
/// Memory is taken in pieces up to this size, whose pages cost nothing before they are written; beyond it doubles.
const PIECE_BYTES: usize = 1 << 20;

/// One request as it arrived, with its share of the byte budget.
#[derive(Debug)]
pub struct Frame {
    /// Header and body, without the size.
    pub bytes: Bytes,
    /// Given back when the request has been answered.
    pub budget: Held,
}

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The size is negative or above `socket.request.max.bytes`.
    #[error("a frame of {size} bytes is outside of 0..={max} (socket.request.max.bytes)")]
    Size {
        /// The size as sent.
        size: i32,
        /// The limit.
        max: usize,
    },
    /// The peer closed in the middle of a frame.
    #[error("the connection ended in the middle of a request")]
    Torn,
    /// A frame that had begun did not arrive in time.
    #[error("a request did not arrive whole within {0:?} (request.partial.timeout.ms)")]
    Slow(Duration),
    /// No request arrived for `connections.max.idle.ms`.
    #[error("no request for {0:?} (connections.max.idle.ms)")]
    Idle(Duration),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> io::Error {
        match error {
            FrameError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Reads frames; what has arrived of one is kept when a read is cancelled.
#[derive(Debug)]
pub struct FrameReader {
    max_bytes: usize,
    idle: Duration,
    partial: Duration,
    /// Of its connection, which goes where others need what a slow frame keeps.
    cut: Arc<Cut>,
    ahead: BytesMut,
    current: Option<Partial>,
    since: Instant,
}

#[derive(Debug)]
struct Partial {
    size: usize,
    bytes: BytesMut,
    /// How many of its bytes may be read without more of the budget.
    granted: usize,
    budget: Held,
    /// It has some of the budget, and its peer is waited for.
    transfer: Option<Transfer>,
    /// Since when it has been waiting for the budget.
    waits_since: Option<Instant>,
}

impl FrameReader {
    /// A reader with these limits, for a connection that began at `now`.
    pub fn new(
        max_bytes: usize,
        idle: Duration,
        partial: Duration,
        now: Instant,
        cut: Arc<Cut>,
    ) -> FrameReader {
        FrameReader {
            max_bytes,
            idle,
            partial,
            cut,
            ahead: BytesMut::new(),
            current: None,
            since: now,
        }
    }

    /// The time the current wait began; called when an answer has been sent, so that a connection
    /// whose request takes long is not idle.
    pub fn touch(&mut self, now: Instant) {
        self.since = now;
    }

    /// The next frame, or `None` when the peer has closed between two frames. Cancel-safe.
    pub async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        budget: &ByteBudget,
    ) -> Result<Option<Frame>, FrameError> {
        while self.current.is_none() {
            if self.begin_frame()? {
                break;
            }
            let (limit, error) = self.deadline();
            let read = timeout_at(limit, read_ahead(stream, &mut self.ahead)).await;
            if read.map_err(|_| error)?? == 0 {
                return if self.ahead.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Torn)
                };
            }
            if self.ahead.len() < 4 {
                self.since = Instant::now();
            }
        }
        self.fill(stream, budget).await?;
        let done = self.current.take().expect("the frame was begun above");
        Ok(Some(Frame {
            bytes: done.bytes.freeze(),
            budget: done.budget,
        }))
    }

    /// How long the current wait may last: idle between frames, shorter within one.
    fn deadline(&self) -> (Instant, FrameError) {
        if self.ahead.is_empty() && self.current.is_none() {
            (self.since + self.idle, FrameError::Idle(self.idle))
        } else {
            (self.since + self.partial, FrameError::Slow(self.partial))
        }
    }

    /// Starts a frame if its size has arrived.
    fn begin_frame(&mut self) -> Result<bool, FrameError> {
        if self.ahead.len() < 4 {
            return Ok(false);
        }
        let size = self.ahead.get_i32();
        let max = self.max_bytes;
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= max)
            .ok_or(FrameError::Size { size, max })?;
        self.current = Some(Partial {
            size,
            bytes: BytesMut::new(),
            granted: size.min(FREE_BYTES),
            budget: Held::default(),
            transfer: None,
            waits_since: None,
        });
        self.since = Instant::now();
        Ok(true)
    }

    /// Reads until the frame is whole and has its share of the budget. It gets memory of its own, so that a batch that
    /// stays in memory never keeps a larger buffer alive.
    async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        budget: &ByteBudget,
    ) -> Result<(), FrameError> {
        loop {
            let current = self.current.as_mut().expect("called within a frame");
            current.take_ahead(&mut self.ahead);
            let is_whole = current.bytes.len() == current.size;
            if is_whole || current.bytes.len() == current.granted {
                self.grant(budget).await;
                if is_whole {
                    return Ok(());
                }
                continue;
            }
            let (limit, error) = self.deadline();
            let current = self.current.as_mut().expect("called within a frame");
            match timeout_at(limit, current.read(stream)).await {
                Ok(Ok(0)) => return Err(FrameError::Torn),
                Ok(read) => {
                    read?;
                }
                Err(_) => return Err(error),
            }
        }
    }

    /// Waits for room for twice of what is there, or for all of a frame that is whole, or where there is plenty. That is the broker's delay, not
    /// the peer's, whose time is longer by it.
    async fn grant(&mut self, budget: &ByteBudget) {
        let current = self.current.as_mut().expect("called within a frame");
        let is_whole = current.bytes.len() == current.size;
        let (share, need) = budget.share_of(current.size);
        let need = if is_whole { need } else { Need::Patient };
        let waits_since = *current.waits_since.get_or_insert_with(Instant::now);
        // Each further step costs a read, so there is but one while there is room for everybody.
        let room = if share.is_roomy(current.size) {
            current.size
        } else {
            current.size.min(2 * current.granted)
        };
        if let Some(transfer) = &current.transfer {
            transfer.pause();
        }
        share.extend(&mut current.budget, room, need).await;
        current.granted = room;
        current.waits_since = None;
        self.since += waits_since.elapsed();
        if is_whole {
            return;
        }
        // With the passage alone it holds nothing, and others wait for it all the same.
        let holds = current.budget.bytes().max(1);
        match &current.transfer {
            Some(transfer) => transfer.resume(holds),
            None => current.transfer = Some(share.begin(&self.cut, holds)),
        }
    }
}

/// Reads what there is, up to [`READ_AHEAD_BYTES`]. A connection that waits has no buffer: there may be ten thousand.
async fn read_ahead(
    stream: &mut (impl AsyncRead + Unpin),
    ahead: &mut BytesMut,
) -> io::Result<usize> {
    poll_fn(|context| {
        let mut buffer = [const { MaybeUninit::uninit() }; READ_AHEAD_BYTES];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        ahead.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

impl Partial {
    /// Takes over what of the frame has been read ahead.
    fn take_ahead(&mut self, ahead: &mut BytesMut) {
        let ready = ahead.len().min(self.granted - self.bytes.len());
        if ready > 0 {
            self.reserve();
            self.bytes.extend_from_slice(&ahead[..ready]);
            ahead.advance(ready);
            if ahead.is_empty() {
                *ahead = BytesMut::new();
            }
        }
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        self.reserve();
        let room = self.granted - self.bytes.len();
        let into = &mut bytes::BufMut::limit(&mut self.bytes, room);
        let read = stream.read_buf(into).await?;
        if let Some(transfer) = &self.transfer {
            transfer.moved(read);
        }
        Ok(read)
    }

    /// Takes memory for what comes next, if there is none left.
    fn reserve(&mut self) {
        let (has, size) = (self.bytes.len(), self.size);
        if self.bytes.capacity() == has {
            let more = if has < FREE_BYTES.min(size) {
                FREE_BYTES
            } else {
                PIECE_BYTES.max(has)
            };
            self.bytes.reserve(more.min(size - has));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test is the outside
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn reader(max: usize) -> FrameReader {
        FrameReader::new(
            max,
            Duration::from_secs(60),
            Duration::from_secs(5),
            Instant::now(),
            Arc::default(),
        )
    }

    fn impatient() -> FrameReader {
        let limit = Duration::from_millis(20);
        FrameReader::new(100, limit, limit, Instant::now(), Arc::default())
    }

    #[tokio::test]
    async fn frames_arrive_whole_however_they_are_cut() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let budget = ByteBudget::new(1 << 20);
        let big = vec![b'x'; 40_000];
        let mut sent = Vec::new();
        for body in [&b"hello"[..], b"", &big] {
            sent.extend_from_slice(&(body.len() as i32).to_be_bytes());
            sent.extend_from_slice(body);
        }
        tokio::spawn(async move { far.write_all(&sent).await });
        let mut reader = reader(1 << 20);
        for want in [&b"hello"[..], b"", &big] {
            let frame = reader.next(&mut near, &budget).await.unwrap().unwrap();
            assert_eq!(&frame.bytes[..], want);
        }
        assert!(reader.next(&mut near, &budget).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_size_beyond_the_limit_is_refused_before_memory_is_taken() {
        for size in [i32::MAX, -1, 101] {
            let budget = ByteBudget::new(1 << 20);
            let mut reader = reader(100);
            let mut input = &size.to_be_bytes()[..];
            let error = reader.next(&mut input, &budget).await.unwrap_err();
            assert!(matches!(error, FrameError::Size { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_frame_that_does_not_arrive_whole_times_out() {
        let (mut near, mut far) = tokio::io::duplex(64);
        far.write_all(&[0, 0, 0, 9, 1, 2]).await.unwrap();
        let error = impatient()
            .next(&mut near, &ByteBudget::new(1024))
            .await
            .unwrap_err();
        assert!(matches!(error, FrameError::Slow(_)), "{error}");
    }

    #[tokio::test]
    async fn who_announces_much_and_sends_little_keeps_nobody_out() {
        // Given peers that announce all of the budget many times over, small and large, and send a few bytes of it
        let budget = ByteBudget::new(1 << 20);
        let mut slow = Vec::new();
        for size in [60_000u32, 1 << 20].repeat(40) {
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            far.write_all(&size.to_be_bytes()).await.unwrap();
            far.write_all(&[7; 10_000]).await.unwrap();
            slow.push((reader(1 << 20), near, far));
        }
        for (reader, near, _) in &mut slow {
            let read = reader.next(near, &budget);
            let waited = tokio::time::timeout(Duration::from_millis(1), read).await;
            assert!(waited.is_err(), "it is not whole");
        }

        // Then others are read as before
        for size in [50_000u32, 500_000] {
            let (mut near, mut far) = tokio::io::duplex(1 << 20);
            far.write_all(&size.to_be_bytes()).await.unwrap();
            far.write_all(&vec![1; size as usize]).await.unwrap();
            let frame = reader(1 << 20).next(&mut near, &budget).await.unwrap();
            assert_eq!(frame.unwrap().bytes.len(), size as usize);
        }
        let taken: usize = budget.shares().iter().map(|(_, u)| u.used_bytes).sum();
        assert_eq!(taken, 0, "what was announced is not counted");
    }

    /// A socket that has all that is asked for, and counts how often it is.
    struct Eager<'a> {
        bytes: &'a [u8],
        reads: usize,
    }

    impl AsyncRead for Eager<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            let (now, later) = self.bytes.split_at(into.remaining().min(self.bytes.len()));
            into.put_slice(now);
            self.bytes = later;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_large_frame_costs_no_more_reads_than_it_needs_where_there_is_room() {
        let size = 1_000_000u32;
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.resize(4 + size as usize, 7);
        for (budget, reads) in [(64 << 20, 2), (1 << 20, 7)] {
            let mut stream = Eager {
                bytes: &bytes,
                reads: 0,
            };
            let budget = ByteBudget::new(budget);
            let frame = reader(1 << 20).next(&mut stream, &budget).await.unwrap();
            assert_eq!(frame.unwrap().bytes, bytes[4..]);
            assert_eq!(stream.reads, reads);
        }
    }

    #[tokio::test]
    async fn an_idle_connection_times_out() {
        let (mut near, _far) = tokio::io::duplex(64);
        let error = impatient()
            .next(&mut near, &ByteBudget::new(1024))
            .await
            .unwrap_err();
        assert!(matches!(error, FrameError::Idle(_)), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_within_a_frame_is_torn() {
        let mut input = &[0u8, 0, 0, 9, 1][..];
        let error = reader(100)
            .next(&mut input, &ByteBudget::new(1024))
            .await
            .unwrap_err();
        assert!(matches!(error, FrameError::Torn), "{error}");
    }
}
