//! The four codecs of record batches, in the framings that Kafka clients write. Decompression is bounded: what a batch
//! claims to become is not believed.

use std::io::{self, Read, Write};

use bytes::Bytes;
use wire::batch::Compression;

/// Header of snappy-java's stream: magic, version, compatible version.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_LEN: usize = 16;
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("codec {0} does not exist")]
    Codec(u8),
    #[error("more than {0} bytes when decompressed")]
    TooLarge(usize),
    #[error("not valid {0:?} data: {1}")]
    Invalid(Compression, String),
}

/// The payload of a batch without its compression; an error if that is more than `limit_bytes`.
pub fn decompress(codec: Compression, payload: &Bytes, limit_bytes: usize) -> Result<Bytes, Error> {
    match codec {
        Compression::None if payload.len() > limit_bytes => Err(Error::TooLarge(limit_bytes)),
        Compression::None => Ok(payload.clone()),
        Compression::Gzip => {
            let decoder = flate2::read::MultiGzDecoder::new(&payload[..]);
            read_all(codec, decoder, limit_bytes)
        }
        Compression::Lz4 => {
            let decoder = lz4_flex::frame::FrameDecoder::new(&payload[..]);
            read_all(codec, decoder, limit_bytes)
        }
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&payload[..]);
            read_all(codec, decoder.map_err(|e| invalid(codec, e))?, limit_bytes)
        }
        Compression::Snappy => unsnap(payload, limit_bytes),
        Compression::Unknown(bits) => Err(Error::Codec(bits)),
    }
}

/// Compresses records as a Kafka producer would.
pub fn compress(codec: Compression, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |e: io::Error| invalid(codec, e);
    match codec {
        Compression::None => Ok(payload.to_vec()),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(payload).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        Compression::Lz4 => {
            // Kafka's own decoder wants independent blocks.
            let info = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(payload).map_err(failed)?;
            encoder.finish().map_err(|e| invalid(codec, e))
        }
        Compression::Zstd => zstd::stream::encode_all(payload, 0).map_err(failed),
        Compression::Snappy => snap(payload),
        Compression::Unknown(bits) => Err(Error::Codec(bits)),
    }
}

fn invalid(codec: Compression, why: impl std::fmt::Display) -> Error {
    Error::Invalid(codec, why.to_string())
}

fn read_all(codec: Compression, decoder: impl Read, limit_bytes: usize) -> Result<Bytes, Error> {
    let mut out = Vec::new();
    let mut bounded = decoder.take(limit_bytes as u64 + 1);
    bounded
        .read_to_end(&mut out)
        .map_err(|e| invalid(codec, e))?;
    if out.len() > limit_bytes {
        return Err(Error::TooLarge(limit_bytes));
    }
    Ok(Bytes::from(out))
}

/// Snappy as snappy-java frames it (the Java client, kafka-python), or as one plain block (librdkafka).
fn unsnap(payload: &[u8], limit_bytes: usize) -> Result<Bytes, Error> {
    let mut out = Vec::new();
    if !payload.starts_with(&XERIAL_MAGIC) {
        unsnap_block(payload, &mut out, limit_bytes)?;
        return Ok(Bytes::from(out));
    }
    let mut rest = payload.get(XERIAL_HEADER_LEN..).unwrap_or_default();
    while !rest.is_empty() {
        let block = rest.split_first_chunk::<4>().and_then(|(length, after)| {
            let length = u32::from_be_bytes(*length) as usize;
            Some((after.get(..length)?, after.get(length..)?))
        });
        let Some((block, after)) = block else {
            return Err(invalid(Compression::Snappy, "a block is cut short"));
        };
        unsnap_block(block, &mut out, limit_bytes)?;
        rest = after;
    }
    Ok(Bytes::from(out))
}

fn unsnap_block(block: &[u8], out: &mut Vec<u8>, limit_bytes: usize) -> Result<(), Error> {
    let failed = |e: snap::Error| invalid(Compression::Snappy, e);
    let length = snap::raw::decompress_len(block).map_err(failed)?;
    if length > limit_bytes.saturating_sub(out.len()) {
        return Err(Error::TooLarge(limit_bytes));
    }
    let decoded = snap::raw::Decoder::new().decompress_vec(block);
    out.extend_from_slice(&decoded.map_err(failed)?);
    Ok(())
}

fn snap(payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = XERIAL_MAGIC.to_vec();
    out.extend_from_slice(&1u32.to_be_bytes());
    out.extend_from_slice(&1u32.to_be_bytes());
    for chunk in payload.chunks(XERIAL_BLOCK_BYTES) {
        let block = snap::raw::Encoder::new().compress_vec(chunk);
        let block = block.map_err(|e| invalid(Compression::Snappy, e))?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    #[test]
    fn every_codec_reads_back_within_its_limit_only() {
        let text: Vec<u8> = (0..200_000u32)
            .flat_map(|i| (i / 64).to_le_bytes())
            .collect();
        for codec in CODECS {
            let packed = Bytes::from(compress(codec, &text).unwrap());
            assert_eq!(
                decompress(codec, &packed, text.len()).unwrap(),
                text,
                "{codec:?}"
            );
            assert!(
                matches!(
                    decompress(codec, &packed, text.len() - 1),
                    Err(Error::TooLarge(_))
                ),
                "{codec:?}"
            );
            let empty = Bytes::from(compress(codec, &[]).unwrap());
            assert!(decompress(codec, &empty, 0).unwrap().is_empty());
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let garbage = Bytes::from_static(&[0xff; 64]);
        for codec in &CODECS[1..] {
            assert!(decompress(*codec, &garbage, 1 << 20).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn a_plain_snappy_block_is_understood() {
        let block = snap::raw::Encoder::new()
            .compress_vec(b"as librdkafka")
            .unwrap();
        let plain = decompress(Compression::Snappy, &Bytes::from(block), 100).unwrap();
        assert_eq!(plain, &b"as librdkafka"[..]);
    }
}
