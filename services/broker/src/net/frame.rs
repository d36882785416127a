//! Reading frames: a size, checked before memory is taken, then that many bytes.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::limits::ByteBudget;

/// Read ahead of the current frame; small requests arrive several to a read.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Memory taken for a frame before its bytes arrive, so that a size alone costs little.
const FIRST_RESERVE_BYTES: usize = 1 << 20;

/// One request as it arrived, with its share of the byte budget.
#[derive(Debug)]
pub struct Frame {
    /// Header and body, without the size.
    pub bytes: Bytes,
    /// Given back when the request has been answered.
    pub budget: OwnedSemaphorePermit,
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

/// Reads frames; what has arrived of one is kept when a read is cancelled.
#[derive(Debug)]
pub struct FrameReader {
    max_bytes: usize,
    idle: Duration,
    partial: Duration,
    ahead: BytesMut,
    current: Option<Partial>,
    since: Instant,
}

#[derive(Debug)]
struct Partial {
    size: usize,
    bytes: BytesMut,
    budget: Option<OwnedSemaphorePermit>,
}

impl FrameReader {
    /// A reader with these limits, for a connection that began at `now`.
    pub fn new(max_bytes: usize, idle: Duration, partial: Duration, now: Instant) -> FrameReader {
        FrameReader {
            max_bytes,
            idle,
            partial,
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
            self.ahead.reserve(READ_AHEAD_BYTES);
            let (limit, error) = self.deadline();
            let read = timeout_at(limit, stream.read_buf(&mut self.ahead)).await;
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
        self.take_budget(budget).await;
        self.fill(stream).await?;
        let done = self.current.take().expect("the frame was begun above");
        Ok(Some(Frame {
            bytes: done.bytes.freeze(),
            budget: done.budget.expect("the budget was taken above"),
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
            budget: None,
        });
        self.since = Instant::now();
        Ok(true)
    }

    async fn take_budget(&mut self, budget: &ByteBudget) {
        let current = self.current.as_mut().expect("called within a frame");
        if current.budget.is_none() {
            current.budget = Some(budget.take(current.size).await);
            // Waiting for the budget is the broker's delay, not the peer's.
            self.since = Instant::now();
        }
    }

    /// Reads until the frame is whole. It gets memory of its own, so that a batch that stays in
    /// memory never keeps a larger buffer alive.
    async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<(), FrameError> {
        let (limit, error) = self.deadline();
        let current = self.current.as_mut().expect("called within a frame");
        if current.bytes.is_empty() {
            current.bytes.reserve(current.size.min(FIRST_RESERVE_BYTES));
            let ready = self.ahead.len().min(current.size);
            current.bytes.extend_from_slice(&self.ahead[..ready]);
            self.ahead.advance(ready);
        }
        let all = async {
            while current.bytes.len() < current.size {
                let missing = current.size - current.bytes.len();
                if current.bytes.capacity() == current.bytes.len() {
                    current
                        .bytes
                        .reserve(missing.min(current.bytes.len().max(1)));
                }
                let room = &mut bytes::BufMut::limit(&mut current.bytes, missing);
                if stream.read_buf(room).await? == 0 {
                    return Err(FrameError::Torn);
                }
            }
            Ok(())
        };
        timeout_at(limit, all).await.map_err(|_| error)?
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
        )
    }

    fn impatient() -> FrameReader {
        let limit = Duration::from_millis(20);
        FrameReader::new(100, limit, limit, Instant::now())
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
