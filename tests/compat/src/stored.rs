//! What lies on a broker's disk.

use std::path::Path;

use wire::batch::{BatchError, Compression, split};

/// The codec of each batch in the directory of a partition, in order.
pub fn codecs_of(directory: &Path) -> Vec<Compression> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut segments: Vec<_> = entries
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    segments.sort();
    let mut codecs = Vec::new();
    for segment in segments {
        let bytes = std::fs::read(&segment).expect("a segment can be read");
        for batch in split(bytes.into()) {
            match batch {
                Ok(batch) => codecs.push(batch.header.compression()),
                // Being written at this moment, or preallocated.
                Err(BatchError::Partial) => break,
                Err(error) => panic!("{}: {error}", segment.display()),
            }
        }
    }
    codecs
}
