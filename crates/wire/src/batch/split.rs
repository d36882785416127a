//! Cuts a run of batches into its batches.

use bytes::Bytes;

use super::{Batch, BatchError, BatchHeader};

/// The batches of `records` in order, sharing its memory. Ends after the first error; bytes that end within a
/// batch give [`BatchError::Partial`].
pub fn split(records: Bytes) -> Split {
    Split {
        rest: records,
        position: 0,
    }
}

#[derive(Clone, Debug)]
pub struct Split {
    rest: Bytes,
    position: usize,
}

impl Split {
    /// Bytes of the whole batches that have been returned so far.
    pub fn position(&self) -> usize {
        self.position
    }

    fn take(&mut self) -> Result<Batch, BatchError> {
        let header = BatchHeader::parse(&self.rest)?;
        let size = header.size_bytes();
        if size > self.rest.len() {
            return Err(BatchError::Partial);
        }
        self.position += size;
        Ok(Batch {
            header,
            bytes: self.rest.split_to(size),
        })
    }
}

impl Iterator for Split {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = self.take();
        if batch.is_err() {
            self.rest.clear();
        }
        Some(batch)
    }
}
