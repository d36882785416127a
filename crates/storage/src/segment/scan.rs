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

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use wire::record::BatchBuilder;

    use super::*;
    use crate::disk::Disk;
    use crate::disk::memory::MemoryDisk;

    /// A file that counts how often it is read.
    struct Counted {
        file: Arc<dyn File>,
        reads: AtomicUsize,
    }

    impl File for Counted {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.file.read_at(buf, offset)
        }

        fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
            self.file.append(bufs)
        }

        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn truncate(&self, len: u64) -> io::Result<()> {
            self.file.truncate(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.file.sync_data()
        }
    }

    const LENGTH_AT: usize = 8;

    /// One batch whose value has so many bytes.
    fn batch(offset: i64, value_bytes: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0).base_offset(offset).leader_epoch(0);
        builder.append(Some(b"key"), Some(&vec![b'v'; value_bytes]));
        builder.build().stored_bytes().to_vec()
    }

    fn file(bytes: &[u8]) -> Counted {
        let file = MemoryDisk::new().create(Path::new("/segment"));
        let file = file.expect("creates");
        file.append(&mut [IoSlice::new(bytes)]).expect("writes");
        Counted {
            file,
            reads: AtomicUsize::new(0),
        }
    }

    fn header(scanner: &mut Scanner<'_>, at: u64) -> Result<BatchHeader, Option<BatchError>> {
        match scanner.header(at).expect("it can be read") {
            Found::Batch(header) => Ok(header),
            Found::End => Err(None),
            Found::Broken(why) => Err(Some(why)),
        }
    }

    #[test]
    fn batches_are_found_and_their_crc_is_checked_however_long_they_are() {
        let batches = [batch(0, 1), batch(1, 3 * WINDOW_BYTES), batch(2, 100)];
        let bytes = batches.concat();
        let end = bytes.len() as u64;
        let wrong = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            file(&bytes)
        };
        let sound = file(&bytes);
        for mut scanner in [
            Scanner::sequential(&sound, end),
            Scanner::sparse(&sound, end),
        ] {
            let mut at = 0;
            for offset in 0..3 {
                let header = header(&mut scanner, at).expect("a batch");
                assert_eq!(header.base_offset, offset);
                assert!(scanner.crc_matches(at, &header).expect("it can be read"));
                at += header.size_bytes() as u64;
            }
            assert!(matches!(header(&mut scanner, at), Err(None)));
            assert!(matches!(header(&mut scanner, at + 1), Err(None)));
        }
        let second = batches[0].len();
        let third = second + batches[1].len();
        // The first byte that the CRC covers, and the last.
        for changed in [second + CRC_FROM as usize, third - 1] {
            let file = wrong(changed);
            for mut scanner in [Scanner::sequential(&file, end), Scanner::sparse(&file, end)] {
                let header = header(&mut scanner, second as u64).expect("a batch");
                let matches = scanner.crc_matches(second as u64, &header);
                assert!(!matches.expect("it can be read"), "{changed}");
            }
        }
    }

    #[test]
    fn a_batch_that_ends_beyond_the_file_is_none() {
        let bytes = [batch(0, 10), batch(1, 10)].concat();
        let second = bytes.len() as u64 / 2;
        for missing in [1, second - 1] {
            let end = bytes.len() as u64 - missing;
            let file = file(&bytes[..end as usize]);
            let mut scanner = Scanner::sequential(&file, end);
            let first = header(&mut scanner, 0).expect("a batch");
            assert_eq!(first.size_bytes() as u64, second);
            assert!(matches!(
                header(&mut scanner, second),
                Err(Some(BatchError::Partial))
            ));
        }
        // What has been listed is missing when it is read.
        let cut = file(&bytes[..bytes.len() - 1]);
        let mut scanner = Scanner::sequential(&cut, bytes.len() as u64);
        let listed = header(&mut scanner, second).expect("a batch");
        let matches = scanner.crc_matches(second, &listed);
        assert!(!matches.expect("it can be read"));
    }

    #[test]
    fn a_batch_is_whole_but_for_its_length_if_its_bytes_up_to_the_end_are_what_was_written() {
        let whole = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = [batch(0, 10), batch(1, 1_000)].concat();
            let second = batch(0, 10).len();
            bytes[second + LENGTH_AT] ^= 1;
            change(&mut bytes);
            let file = file(&bytes);
            let mut scanner = Scanner::sequential(&file, bytes.len() as u64);
            let whole = scanner.is_whole_but_for_length(second as u64);
            whole.expect("it can be read")
        };
        assert!(whole(&|_| ()));
        assert!(!whole(&|bytes| *bytes.last_mut().expect("bytes") ^= 1));
        assert!(!whole(&|bytes| {
            bytes.pop();
        }));
        let magic = batch(0, 10).len() + 16;
        assert!(!whole(&|bytes| bytes[magic] = 9));
    }

    #[test]
    fn who_looks_for_something_gets_what_is_there_and_no_more_than_a_window() {
        let bytes: Vec<u8> = (0..2 * WINDOW_BYTES).map(|at| (at % 251) as u8).collect();
        let file = file(&bytes);
        let end = bytes.len() as u64;
        let mut scanner = Scanner::sequential(&file, end);
        for (at, len, given) in [
            (0, 10, 10),
            (5, WINDOW_BYTES as u64, WINDOW_BYTES),
            (7, u64::MAX, WINDOW_BYTES),
            (3, 4, 4),
            (end - 3, 10, 3),
            (end, 10, 0),
            (end + 1, 10, 0),
        ] {
            let read = scanner.read(at, len).expect("it can be read");
            let from = at.min(end) as usize;
            assert!(read == bytes[from..from + given], "{at} {len}");
        }
    }

    #[test]
    fn what_has_been_read_ahead_is_not_read_again() {
        let bytes = (0..100).map(|offset| batch(offset, 10)).collect::<Vec<_>>();
        let size = bytes[0].len() as u64;
        let file = file(&bytes.concat());
        let end = 100 * size;
        let reads = |mut scanner: Scanner<'_>| {
            let before = file.reads.load(Ordering::Relaxed);
            for batch in 0..100 {
                let header = header(&mut scanner, batch * size).expect("a batch");
                let matches = scanner.crc_matches(batch * size, &header);
                assert!(matches.expect("it can be read"));
            }
            file.reads.load(Ordering::Relaxed) - before
        };
        assert_eq!(reads(Scanner::sequential(&file, end)), 1);
        assert!(reads(Scanner::sparse(&file, end)) >= 100);
    }
}
