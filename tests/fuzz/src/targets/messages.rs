//! Messages of the protocol. What can be decoded can be encoded, and reads back as the same; memory follows the frame.

use bytes::Bytes;
use wire::messages::RequestHeader;
use wire::{ApiKey, DecodeError, Message, Reader, Writer};

use crate::memory;

/// Memory that any message may take (the reader's floor, with room for what a vector reserves in advance).
const FLOOR: usize = 256 << 10;
/// Memory per byte of a frame: the reader allows elements 16 times the frame, and a vector doubles as it grows; then
/// it is written and read again.
const PER_BYTE: usize = 64;

/// A request as it stands in its frame: key, version, the rest of the header, the body.
pub fn requests(input: &[u8]) {
    let Some(&[a, b, c, d]) = input.first_chunk::<4>() else {
        return;
    };
    let (key, version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
    let Some(api) = ApiKey::from_code(key) else {
        return;
    };
    bounded(input, || {
        let mut frame = Reader::new(Bytes::copy_from_slice(input));
        let header_version = api.request_header_version(version);
        let Ok(header) = RequestHeader::decode(&mut frame, header_version) else {
            return;
        };
        let mut written = Writer::new();
        header
            .encode(&mut written, header_version)
            .expect("what was decoded can be encoded");
        request(key, frame.rest().clone(), version);
    });
}

/// A response to a client of ours (the quorum's observers, followers, tools): key, version, body.
pub fn responses(input: &[u8]) {
    let Some((&[a, b, c, d], body)) = input.split_first_chunk::<4>() else {
        return;
    };
    let (key, version) = (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]));
    bounded(input, || {
        response(key, Bytes::copy_from_slice(body), version);
    });
}

/// A structure of a coordinator's records, or of what clients put into requests: name, 0, version, body.
pub fn structures(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == 0) else {
        return;
    };
    let Some((&[a, b], body)) = input[end + 1..].split_first_chunk::<2>() else {
        return;
    };
    let version = i16::from_be_bytes([a, b]);
    bounded(input, || {
        structure(&input[..end], Bytes::copy_from_slice(body), version);
    });
}

fn bounded(input: &[u8], work: impl FnOnce()) {
    memory::within(FLOOR + PER_BYTE * input.len(), "a message", work);
}

fn request(key: i16, body: Bytes, version: i16) {
    macro_rules! call {
        ($($kind:ident $key:literal $name:ident)*) => {
            match key {
                $(_ if stringify!($kind) == "request" && key == $key => {
                    again::<wire::messages::$name>(body, version)
                })*
                _ => {}
            }
        };
    }
    wire::for_each_message!(call)
}

fn response(key: i16, body: Bytes, version: i16) {
    macro_rules! call {
        ($($kind:ident $key:literal $name:ident)*) => {
            match key {
                $(_ if stringify!($kind) == "response" && key == $key => {
                    again::<wire::messages::$name>(body, version)
                })*
                _ => {}
            }
        };
    }
    wire::for_each_message!(call)
}

fn structure(name: &[u8], body: Bytes, version: i16) {
    macro_rules! call {
        ($($kind:ident $key:literal $name:ident)*) => {
            match name {
                $(_ if stringify!($name).as_bytes() == name => {
                    again::<wire::messages::$name>(body, version)
                })*
                _ => {}
            }
        };
    }
    wire::for_each_message!(call)
}

/// Reads, writes, reads what was written and writes it: both writings are the same.
fn again<M: Message>(body: Bytes, version: i16) {
    let Ok((once, _)) = recode::<M>(body, version) else {
        return;
    };
    let (twice, left) = recode::<M>(once.clone(), version).expect("it reads what it writes");
    assert_eq!(left, 0, "it reads all of what it writes");
    assert_eq!(once, twice);
}

fn recode<M: Message>(body: Bytes, version: i16) -> Result<(Bytes, usize), DecodeError> {
    let mut reader = Reader::new(body);
    let message = M::decode(&mut reader, version)?;
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .expect("what was decoded can be encoded");
    Ok((writer.finish_contiguous(), reader.remaining()))
}
