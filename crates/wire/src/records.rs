//! `Records`: the content of a records field, as a chain of `Bytes`.

use bytes::{Bytes, BytesMut};

/// Record batches as they are on the wire. A decoded field is one slice of its frame; a field to be sent may be
/// a chain (cached batches, patched headers) that is written without gathering it first.
#[derive(Clone, Debug, Default)]
pub struct Records {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Records {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push(chunk);
        }
    }

    /// Puts others in the place of the last chunk.
    pub fn map_last(&mut self, map: impl FnOnce(Bytes) -> Bytes) {
        if let Some(last) = self.chunks.last_mut() {
            let bytes = std::mem::take(last);
            self.len -= bytes.len();
            *last = map(bytes);
            self.len += last.len();
        }
    }

    /// All of it as one slice; copies only when there is more than one chunk.
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            many => {
                let mut all = BytesMut::with_capacity(self.len);
                many.iter().for_each(|chunk| all.extend_from_slice(chunk));
                all.freeze()
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        let mut records = Records::default();
        records.push(bytes);
        records
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(chunks: Vec<Bytes>) -> Records {
        let mut records = Records {
            chunks: Vec::with_capacity(chunks.len()),
            len: 0,
        };
        chunks.into_iter().for_each(|chunk| records.push(chunk));
        records
    }
}

/// Equal when the bytes are, however they are cut.
impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.len == other.len && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Records {}
