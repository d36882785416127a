//! Reading a file of which the medium does not give everything any more.

use std::io::{self, IoSlice};

use super::File;

/// What a read of a bad place of the medium fails with. What passes (EINTR, ENOMEM, EMFILE) is another error.
pub const EIO: i32 = 5;
/// What a medium gives or refuses at a time.
pub const BLOCK_BYTES: u64 = 4096;

/// Whether it is the medium that has failed a read.
pub fn is_of_medium(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO)
}

/// A file whose blocks that cannot be read are zeros, so that no CRC of what was in them matches.
pub struct Salvaged<'a>(pub &'a dyn File);

impl Salvaged<'_> {
    fn read_blocks(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.len()?.saturating_sub(offset);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let to_boundary = (BLOCK_BYTES - at % BLOCK_BYTES) as usize;
            let block = &mut buf[done..][..to_boundary.min(len - done)];
            match self.0.read_at(block, at) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if is_of_medium(&error) => {
                    block.fill(0);
                    done += block.len();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl File for Salvaged<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.0.read_at(buf, offset) {
            Err(error) if is_of_medium(&error) => self.read_blocks(buf, offset),
            read => read,
        }
    }

    fn append(&self, bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.0.append(bufs)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        self.0.forget_cached(offset, len);
    }
}
