//! Walks the batches of a segment file, by header alone or with their CRC, in bounded memory whatever the lengths claim.

use std::io;

use wire::batch::{BatchError, BatchHeader, HEADER_LEN};

use crate::disk::File;

const WINDOW_BYTES: usize = 256 << 10;
/// Where the bytes begin that the CRC covers.
const CRC_FROM: u64 = 21;

pub(crate) struct Scanner<'a> {
    file: &'a dyn File,
    /// Where the file ends for this scan.
    end: u64,
    window: Vec<u8>,
    /// How much of the window has been read.
    filled: usize,
    window_at: u64,
    read_ahead: usize,
}

/// What is at a position.
pub(crate) enum Found {
    Batch(BatchHeader),
    End,
    /// Not a whole batch, and why.
    Broken(BatchError),
}

impl<'a> Scanner<'a> {
    /// For reading all of it.
    pub fn sequential(file: &'a dyn File, end: u64) -> Scanner<'a> {
        Scanner::new(file, end, WINDOW_BYTES)
    }

    /// For a look at a few headers.
    pub fn sparse(file: &'a dyn File, end: u64) -> Scanner<'a> {
        Scanner::new(file, end, HEADER_LEN)
    }

    fn new(file: &'a dyn File, end: u64, read_ahead: usize) -> Scanner<'a> {
        Scanner {
            file,
            end,
            window: Vec::new(),
            filled: 0,
            window_at: 0,
            read_ahead,
        }
    }

    /// Up to `len` bytes (not more than the window) at a position; short at the end.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(self.end.saturating_sub(at) as usize);
        let inside = at >= self.window_at && at + len as u64 <= self.window_at + self.filled as u64;
        if !inside {
            let wanted = self.read_ahead.max(len);
            let wanted = wanted.min(self.end.saturating_sub(at) as usize);
            if self.window.len() < wanted {
                self.window = vec![0; wanted];
            }
            // Empty, should the read fail.
            self.filled = 0;
            self.filled = self.file.read_at(&mut self.window[..wanted], at)?;
            self.window_at = at;
        }
        let from = ((at - self.window_at) as usize).min(self.filled);
        let to = (from + len).min(self.filled);
        Ok(&self.window[from..to])
    }

    /// Up to `len` bytes at a position, for who looks for something.
    pub fn read(&mut self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let len = len.min(WINDOW_BYTES as u64) as usize;
        Ok(self.bytes(at, len)?.to_vec())
    }

    pub fn header(&mut self, at: u64) -> io::Result<Found> {
        if at >= self.end {
            return Ok(Found::End);
        }
        let room = self.end - at;
        match BatchHeader::parse(self.bytes(at, HEADER_LEN)?) {
            Ok(header) if header.size_bytes() as u64 > room => {
                Ok(Found::Broken(BatchError::Partial))
            }
            Ok(header) => Ok(Found::Batch(header)),
            Err(e) => Ok(Found::Broken(e)),
        }
    }

    pub fn crc_matches(&mut self, at: u64, header: &BatchHeader) -> io::Result<bool> {
        Ok(self.crc(at, at + header.size_bytes() as u64)? == Some(header.crc))
    }

    /// Whether a batch that claims to be longer than the file would be whole if it ended where the file does.
    pub fn is_whole_but_for_length(&mut self, at: u64) -> io::Result<bool> {
        let Ok(header) = BatchHeader::parse(self.bytes(at, HEADER_LEN)?) else {
            return Ok(false);
        };
        Ok(self.crc(at, self.end)? == Some(header.crc))
    }

    /// The CRC of a batch that ends at `end`; none if the file does not reach so far.
    fn crc(&mut self, at: u64, end: u64) -> io::Result<Option<u32>> {
        let mut position = at + CRC_FROM;
        let mut crc = 0;
        while position < end {
            let len = (end - position).min(self.read_ahead.max(HEADER_LEN) as u64) as usize;
            let bytes = self.bytes(position, len)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            crc = crc32c::crc32c_append(crc, bytes);
            position += bytes.len() as u64;
        }
        Ok(Some(crc))
    }
}
