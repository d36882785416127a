//! The frames of a client connection: however they are cut on their way, the same ones come out, and memory is taken
//! for what has come, not for what was announced.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use broker::net::{ByteBudget, FrameReader};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::memory;

/// What a reader takes in advance, and what a frame has without room in the budget.
const FLOOR: usize = 192 << 10;
/// From where on memory is taken in larger pieces, and how large they are; a page that nobody writes to costs nothing.
const FREE: usize = 16 << 10;
const PIECE: usize = 1 << 20;
/// A frame's memory doubles as it grows, and read-ahead holds it as well.
const PER_BYTE: usize = 8;
const FRAME_MAX: usize = 100 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// A seed for the cuts (a byte), and what the peer sends before it closes.
pub fn frames(input: &[u8]) {
    let Some((seed, bytes)) = input.split_first() else {
        return;
    };
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let piece = if input.len() > FREE { PIECE } else { 0 };
    let bound = FLOOR + piece + PER_BYTE * input.len();
    let whole = memory::within(bound, "frames", || {
        runtime.block_on(read(bytes, usize::MAX))
    });
    let cut = runtime.block_on(read(bytes, usize::from(*seed) + 1));
    assert_eq!(whole, cut, "cuts change nothing");
    let mut rest = bytes;
    for frame in &whole.0 {
        let (size, after) = rest.split_at(4);
        assert_eq!(size, (frame.len() as u32).to_be_bytes());
        let (content, after) = after.split_at(frame.len());
        assert_eq!(content, frame);
        rest = after;
    }
}

/// The frames, and how it ended.
async fn read(bytes: &[u8], chunk: usize) -> (Vec<Vec<u8>>, String) {
    let budget = ByteBudget::new(256 << 20);
    let mut reader = FrameReader::new(
        FRAME_MAX,
        PATIENCE,
        PATIENCE,
        Instant::now(),
        Arc::default(),
    );
    let mut peer = Peer { bytes, chunk };
    let mut frames = Vec::new();
    loop {
        match reader.next(&mut peer, &budget).await {
            Ok(Some(frame)) => frames.push(frame.bytes.to_vec()),
            Ok(None) => return (frames, "closed".to_owned()),
            Err(error) => return (frames, error.to_string()),
        }
    }
}

/// Hands out so many bytes at a time.
struct Peer<'a> {
    bytes: &'a [u8],
    chunk: usize,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = self.chunk.min(into.remaining()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(length);
        into.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}
