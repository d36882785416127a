//! Frames of the controller listener: size, kind, correlation id, then what [`codec`] writes.

use std::io;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::codec::{self, Layout};

/// The largest frame. Entries and snapshots are sent in parts far below this.
pub const MAX_FRAME_BYTES: usize = 64 << 20;
/// Kind and correlation id.
const HEAD: usize = 9;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request = 0,
    Answer = 1,
}

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: Kind,
    pub correlation: u64,
    body: Bytes,
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Makes the bytes of a frame.
pub fn encode<T: Layout>(kind: Kind, correlation: u64, body: &T) -> io::Result<Vec<u8>> {
    let body = codec::encode(body).map_err(invalid)?;
    let size = HEAD + body.len();
    if size > MAX_FRAME_BYTES {
        return Err(invalid(format!("a frame of {size} bytes is too large")));
    }
    let mut frame = Vec::with_capacity(4 + size);
    frame.extend_from_slice(&(size as u32).to_be_bytes());
    frame.push(kind as u8);
    frame.extend_from_slice(&correlation.to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Writes the bytes of a frame.
pub async fn write<W: AsyncWrite + Unpin>(to: &mut W, frame: &[u8]) -> io::Result<()> {
    to.write_all(frame).await?;
    to.flush().await
}

/// Reads a frame; none at the end of the stream. Memory grows with what arrives, not with what is announced.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Frame>> {
    let mut size = [0u8; 4];
    match from.read_exact(&mut size).await {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    let size = u32::from_be_bytes(size) as usize;
    if !(HEAD..=MAX_FRAME_BYTES).contains(&size) {
        return Err(invalid(format!(
            "a frame of {size} bytes is not acceptable"
        )));
    }
    let mut bytes = Vec::with_capacity(size.min(64 << 10));
    from.take(size as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Frame::parse(bytes.into()).map(Some)
}

impl Frame {
    /// From its bytes without the size.
    pub fn parse(mut bytes: Bytes) -> io::Result<Frame> {
        if bytes.len() < HEAD {
            return Err(invalid(format!(
                "a frame of {} bytes has no head",
                bytes.len()
            )));
        }
        let kind = match bytes.get_u8() {
            0 => Kind::Request,
            1 => Kind::Answer,
            other => return Err(invalid(format!("kind {other} of a frame is not known"))),
        };
        Ok(Frame {
            kind,
            correlation: bytes.get_u64(),
            body: bytes,
        })
    }

    /// What it carries.
    pub fn decode<T: Layout>(&self) -> io::Result<T> {
        codec::decode(&self.body).map_err(invalid)
    }
}
