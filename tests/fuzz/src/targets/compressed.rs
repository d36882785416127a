//! Compressed bodies, bombs among them: what comes out is bounded by what the caller allows, and so is the memory.

use bytes::Bytes;
use storage::compression::{Error, compress, decompress};
use wire::batch::Compression;

use crate::memory;

const CODECS: [Compression; 5] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
    Compression::Unknown(7),
];
/// What a caller allows at most, here; the broker allows 64 MiB.
const LIMIT: usize = 1 << 20;
/// What a decoder holds beside its output. What zstd's own C code takes is not seen here: a window of up to 128 MiB, of which
/// only what comes out is ever written to.
const DECODER: usize = 256 << 10;
/// The same for lz4, whose frames may have blocks of 8 MiB.
const LZ4_DECODER: usize = 24 << 20;
/// The output doubles as it grows, and is there a second time while it is made smaller.
const GROWTH: usize = 4;

/// A codec, how much may come out (in steps of 4 KiB), and the payload.
pub fn compressed(input: &[u8]) {
    let Some((&[codec, steps], payload)) = input.split_first_chunk::<2>() else {
        return;
    };
    let codec = CODECS[usize::from(codec) % CODECS.len()];
    let limit = (usize::from(steps) << 12).min(LIMIT);
    let payload = Bytes::copy_from_slice(payload);
    let decoder = match codec {
        Compression::Lz4 => LZ4_DECODER,
        _ => DECODER,
    };
    let bound = decoder + GROWTH * limit;
    let out = memory::within(bound, "decompression", || {
        decompress(codec, &payload, limit)
    });
    match out {
        Ok(out) => {
            assert!(out.len() <= limit);
            let packed = Bytes::from(compress(codec, &out).expect("a codec that exists"));
            let again = decompress(codec, &packed, limit).expect("what was compressed");
            assert_eq!(again, out);
        }
        Err(Error::TooLarge(told)) => assert_eq!(told, limit),
        Err(Error::Codec(_) | Error::Invalid(..)) => {}
    }
}
