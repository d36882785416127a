//! Decodes and encodes a message that is known by its name.

use bytes::Bytes;
use wire::{DecodeError, Message, Reader, Writer};

/// What became of the bytes: the encoding of what was decoded, and how many bytes were left over.
pub fn recode(name: &str, bytes: Bytes, version: i16) -> Result<(Bytes, usize), DecodeError> {
    macro_rules! call {
        ($($kind:ident $key:literal $name:ident)*) => {
            match name {
                $(stringify!($name) => recode_as::<wire::messages::$name>(bytes, version),)*
                other => panic!("{other} is not a message"),
            }
        };
    }
    wire::for_each_message!(call)
}

fn recode_as<M: Message>(bytes: Bytes, version: i16) -> Result<(Bytes, usize), DecodeError> {
    let mut r = Reader::new(bytes);
    let message = M::decode(&mut r, version)?;
    let mut w = Writer::new();
    message
        .encode(&mut w, version)
        .expect("what was decoded can be encoded");
    Ok((w.finish_contiguous(), r.remaining()))
}
