//! Counts the records of a chain of batches by their headers alone.

use crate::Records;

use super::{BatchHeader, HEADER_LEN};

/// How many records the whole batches of `records` say that they hold. Wherever the chain is cut, nothing is gathered
/// but one header at a time. Ends at the first thing that is no header.
pub fn count_records(records: &Records) -> u64 {
    let mut counted = 0;
    let mut at = 0;
    let mut cursor = Cursor {
        records,
        chunk: 0,
        begins: 0,
    };
    while let Some(header) = cursor.header(at) {
        let next = at + header.size_bytes();
        if next > records.len() {
            break;
        }
        counted += u64::try_from(header.record_count).unwrap_or(0);
        at = next;
    }
    counted
}

/// Walks forward over a chain.
struct Cursor<'a> {
    records: &'a Records,
    chunk: usize,
    /// Where `chunk` begins.
    begins: usize,
}

impl Cursor<'_> {
    fn header(&mut self, at: usize) -> Option<BatchHeader> {
        let chunks = self.records.chunks();
        while at >= self.begins + chunks.get(self.chunk)?.len() {
            self.begins += chunks[self.chunk].len();
            self.chunk += 1;
        }
        let mut gathered = [0; HEADER_LEN];
        let mut filled = 0;
        let mut from = at - self.begins;
        for chunk in &chunks[self.chunk..] {
            let part = &chunk[from..];
            let taken = part.len().min(HEADER_LEN - filled);
            gathered[filled..filled + taken].copy_from_slice(&part[..taken]);
            filled += taken;
            from = 0;
            if filled == HEADER_LEN {
                break;
            }
        }
        BatchHeader::parse(&gathered[..filled]).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::BatchBuilder;

    /// Batches of 1, 2 and 3 records.
    fn three() -> Bytes {
        let mut all = Vec::new();
        for records in 1..=3 {
            let mut builder = BatchBuilder::new(1_000);
            for _ in 0..records {
                builder.append(None, Some(b"a value"));
            }
            all.extend_from_slice(&builder.build().bytes);
        }
        all.into()
    }

    #[test]
    fn records_are_counted_wherever_the_chain_is_cut() {
        let all = three();
        for size in 1..all.len() + 1 {
            let chunks: Vec<Bytes> = all.chunks(size).map(Bytes::copy_from_slice).collect();
            assert_eq!(count_records(&Records::from(chunks)), 6, "chunks of {size}");
        }
    }

    #[test]
    fn a_batch_that_is_not_whole_is_not_counted() {
        let all = three();
        let short = all.slice(..all.len() - 1);
        assert_eq!(count_records(&Records::from(short)), 3);
        assert_eq!(count_records(&Records::default()), 0);
    }
}
