//! `Writer`: builds a message as a chain of `Bytes` for one vectored write.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{EncodeError, Records, Str, Uuid};

/// Bytes up to this length are copied between their neighbours: cheaper than one more slice in a vectored write.
const COPY_MAX: usize = 256;
/// Room for the frame's size in front of the message.
const PREFIX_LEN: usize = 4;

/// Small fields are gathered; big ones are chained by reference.
#[derive(Debug)]
pub struct Writer {
    /// The frame's size (until `finish` zero), then fields until the first chunk that is chained.
    first: BytesMut,
    /// What follows `first`, complete.
    chunks: Vec<Bytes>,
    /// Fields after the last chained chunk.
    tail: BytesMut,
    /// Bytes in `chunks`.
    chained: usize,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

impl Writer {
    pub fn new() -> Writer {
        let mut first = BytesMut::with_capacity(128);
        first.put_bytes(0, PREFIX_LEN);
        Writer {
            first,
            chunks: Vec::new(),
            tail: BytesMut::new(),
            chained: 0,
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.first.len() - PREFIX_LEN + self.chained + self.tail.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message.
    pub fn finish(mut self) -> Vec<Bytes> {
        let _ = self.first.split_to(PREFIX_LEN);
        self.into_chunks()
    }

    /// The message with its size in front, as frames are on a connection.
    pub fn finish_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let length = self.len();
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong {
            length,
            max: i32::MAX as usize,
        })?;
        self.first[..PREFIX_LEN].copy_from_slice(&size.to_be_bytes());
        Ok(self.into_chunks())
    }

    /// The message in one piece; copies when it has several.
    pub fn finish_contiguous(self) -> Bytes {
        Records::from(self.finish()).to_bytes()
    }

    pub fn i8(&mut self, value: i8) {
        self.gather().put_i8(value);
    }

    pub fn i16(&mut self, value: i16) {
        self.gather().put_i16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.gather().put_i32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.gather().put_i64(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.gather().put_u16(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.gather().put_u32(value);
    }

    pub fn f64(&mut self, value: f64) {
        self.gather().put_f64(value);
    }

    pub fn bool(&mut self, value: bool) {
        self.gather().put_u8(u8::from(value));
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.gather().put_slice(&value.0);
    }

    pub fn unsigned_varint(&mut self, value: u32) {
        self.base128(u64::from(value));
    }

    /// Zigzag, as record fields are.
    pub fn varint(&mut self, value: i32) {
        self.base128(u64::from(((value << 1) ^ (value >> 31)) as u32));
    }

    /// Zigzag, as record fields are.
    pub fn varlong(&mut self, value: i64) {
        self.base128(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Copies the bytes, without a length before them.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.gather().put_slice(bytes);
    }

    /// Chains the bytes by reference (copies only short ones), without a length before them.
    pub fn chain(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPY_MAX {
            return self.raw(bytes);
        }
        if !self.tail.is_empty() {
            self.chained += self.tail.len();
            let gathered = self.tail.split().freeze();
            self.chunks.push(gathered);
        }
        self.chained += bytes.len();
        self.chunks.push(bytes.clone());
    }

    pub fn string(&mut self, text: &Str, flexible: bool) -> Result<(), EncodeError> {
        self.short_length(text.len(), flexible)?;
        self.chain(text.as_bytes());
        Ok(())
    }

    pub fn nullable_string(
        &mut self,
        text: Option<&Str>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match text {
            Some(text) => self.string(text, flexible),
            None if flexible => {
                self.unsigned_varint(0);
                Ok(())
            }
            None => {
                self.i16(-1);
                Ok(())
            }
        }
    }

    pub fn bytes(&mut self, bytes: &Bytes, flexible: bool) -> Result<(), EncodeError> {
        self.count(bytes.len(), flexible)?;
        self.chain(bytes);
        Ok(())
    }

    pub fn nullable_bytes(
        &mut self,
        bytes: Option<&Bytes>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match bytes {
            Some(bytes) => self.bytes(bytes, flexible)?,
            None => self.null_count(flexible),
        }
        Ok(())
    }

    pub fn nullable_records(
        &mut self,
        records: Option<&Records>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        let Some(records) = records else {
            self.null_count(flexible);
            return Ok(());
        };
        self.count(records.len(), flexible)?;
        records.chunks().iter().for_each(|chunk| self.chain(chunk));
        Ok(())
    }

    /// The number of elements or bytes that follow.
    pub fn count(&mut self, count: usize, flexible: bool) -> Result<(), EncodeError> {
        let too_long = EncodeError::TooLong {
            length: count,
            max: i32::MAX as usize,
        };
        let count = i32::try_from(count).map_err(|_| too_long)?;
        if flexible {
            self.unsigned_varint(count as u32 + 1)
        } else {
            self.i32(count)
        }
        Ok(())
    }

    /// The count that means null.
    pub fn null_count(&mut self, flexible: bool) {
        if flexible {
            self.unsigned_varint(0)
        } else {
            self.i32(-1)
        }
    }

    pub fn tags(&mut self, tags: Tags) -> Result<(), EncodeError> {
        self.unsigned_varint(tags.0.len() as u32);
        for (tag, content) in tags.0 {
            self.unsigned_varint(tag);
            let length = content.len();
            let size = u32::try_from(length).map_err(|_| EncodeError::TooLong {
                length,
                max: u32::MAX as usize,
            })?;
            self.unsigned_varint(size);
            content.finish().iter().for_each(|chunk| self.chain(chunk));
        }
        Ok(())
    }

    fn short_length(&mut self, length: usize, flexible: bool) -> Result<(), EncodeError> {
        let short = i16::try_from(length).map_err(|_| EncodeError::TooLong {
            length,
            max: i16::MAX as usize,
        })?;
        if flexible {
            self.unsigned_varint(short as u32 + 1)
        } else {
            self.i16(short)
        }
        Ok(())
    }

    fn base128(&mut self, mut value: u64) {
        let buffer = self.gather();
        while value >= 0x80 {
            buffer.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        buffer.put_u8(value as u8);
    }

    fn gather(&mut self) -> &mut BytesMut {
        if self.chunks.is_empty() {
            &mut self.first
        } else {
            &mut self.tail
        }
    }

    fn into_chunks(self) -> Vec<Bytes> {
        let mut all = Vec::with_capacity(self.chunks.len() + 2);
        if !self.first.is_empty() {
            all.push(self.first.freeze());
        }
        all.extend(self.chunks);
        if !self.tail.is_empty() {
            all.push(self.tail.freeze());
        }
        all
    }
}

/// The tagged fields of one structure, in the order of their tags.
#[derive(Debug, Default)]
pub struct Tags(Vec<(u32, Writer)>);

impl Tags {
    pub fn put(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut w = Writer::new();
        content(&mut w)?;
        self.0.push((tag, w));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_bytes_are_chained_and_small_ones_gathered() {
        let big = Bytes::from(vec![7; 1000]);
        let mut w = Writer::new();
        w.i32(1);
        w.bytes(&big, true).unwrap();
        w.string(&Str::from("x"), false).unwrap();
        let chunks = w.finish_frame().unwrap();
        assert_eq!(chunks.len(), 3);
        assert_eq!(chunks[0].as_ref(), [0, 0, 3, 0xf1, 0, 0, 0, 1, 0xe9, 7]);
        assert_eq!(chunks[1].as_ptr(), big.as_ptr());
        assert_eq!(chunks[2].as_ref(), [0, 1, b'x']);
    }

    #[test]
    fn a_string_longer_than_its_prefix_is_refused() {
        let long = Str::from("x".repeat(40_000));
        assert!(Writer::new().string(&long, false).is_err());
        assert!(Writer::new().string(&long, true).is_err());
    }
}
