//! `Reader`: takes fields off the front of a frame.
//!
//! No count is believed: elements, strings and byte fields must fit in the bytes that are left, and the memory
//! of decoded elements is limited in proportion to the frame, so that a small frame can never take much.

use bytes::{Buf, Bytes};

use crate::{DecodeError, Records, Str, Uuid};

/// Memory for decoded elements that any frame may take, whatever its size.
const ELEMENT_BYTES_FLOOR: usize = 64 * 1024;
/// Memory for decoded elements per byte of frame. The widest that clients send is a topic's name of few letters: five
/// bytes on the wire, 48 in memory.
const ELEMENT_BYTES_PER_BYTE: usize = 16;
/// Memory for decoded elements that no frame may exceed. Half a million partitions in a response stay below it.
const ELEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest string, bytes.
const STRING_MAX: usize = i16::MAX as usize;
/// Elements that a vector reserves before the first one has been decoded.
const RESERVE_MAX: usize = 256;

#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    /// What decoded elements may still take.
    allowance: usize,
}

macro_rules! fixed {
    ($name:ident, $type:ty, $get:ident) => {
        pub fn $name(&mut self) -> Result<$type, DecodeError> {
            self.need(size_of::<$type>())?;
            Ok(self.bytes.$get())
        }
    };
}

impl Reader {
    pub fn new(bytes: Bytes) -> Reader {
        let allowance = ELEMENT_BYTES_FLOOR
            .saturating_add(bytes.len().saturating_mul(ELEMENT_BYTES_PER_BYTE))
            .min(ELEMENT_BYTES_MAX);
        Reader { bytes, allowance }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// What is left, without taking it.
    pub fn rest(&self) -> &Bytes {
        &self.bytes
    }

    fixed!(i8, i8, get_i8);
    fixed!(i16, i16, get_i16);
    fixed!(i32, i32, get_i32);
    fixed!(i64, i64, get_i64);
    fixed!(u16, u16, get_u16);
    fixed!(u32, u32, get_u32);
    fixed!(f64, f64, get_f64);

    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.need(16)?;
        let mut id = [0; 16];
        self.bytes.copy_to_slice(&mut id);
        Ok(Uuid(id))
    }

    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let value = self.base128(5)?;
        u32::try_from(value).map_err(|_| DecodeError::Varint)
    }

    /// Zigzag, as record fields are.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// Zigzag, as record fields are.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.base128(10)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// The next `length` bytes, sharing the frame.
    pub fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.need(length)?;
        Ok(self.bytes.split_to(length))
    }

    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Str>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            self.length16()?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        // A compact length could be larger, but no more than an old one may a string be: Kafka refuses it, too.
        if length > STRING_MAX {
            return Err(DecodeError::TooLong { length });
        }
        Ok(Some(Str::from_utf8(self.take(length)?)?))
    }

    pub fn string(&mut self, flexible: bool) -> Result<Str, DecodeError> {
        self.nullable_string(flexible)?
            .ok_or(DecodeError::Null("a string"))
    }

    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            self.length32()?
        };
        length.map(|length| self.take(length)).transpose()
    }

    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flexible)?
            .ok_or(DecodeError::Null("a bytes field"))
    }

    pub fn nullable_records(&mut self, flexible: bool) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes(flexible)?.map(Records::from))
    }

    /// An array, or null. `min_size` is the fewest bytes that one element can have (at least 1).
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        min_size: usize,
        mut element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let count = if flexible {
            self.compact_length()?
        } else {
            self.length32()?
        };
        let Some(count) = count else { return Ok(None) };
        if count > self.bytes.len() / min_size.max(1) {
            return Err(DecodeError::Count {
                count: count as i64,
                left: self.bytes.len(),
            });
        }
        let memory = count.saturating_mul(size_of::<T>());
        self.allowance = self
            .allowance
            .checked_sub(memory)
            .ok_or(DecodeError::TooManyElements)?;
        let mut elements = Vec::with_capacity(count.min(RESERVE_MAX));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    pub fn array<T>(
        &mut self,
        flexible: bool,
        min_size: usize,
        element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flexible, min_size, element)?
            .ok_or(DecodeError::Null("an array"))
    }

    /// Calls `field` for each tagged field with a reader of exactly that field's bytes. `field` returns whether it
    /// knows the tag; what it does not know is skipped.
    pub fn tags(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()?;
        if count as usize > self.bytes.len() / 2 {
            return Err(DecodeError::Count {
                count: i64::from(count),
                left: self.bytes.len(),
            });
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let bytes = self.take(size as usize)?;
            let mut content = Reader {
                bytes,
                allowance: self.allowance,
            };
            let known = field(tag, &mut content)?;
            if known && content.remaining() != 0 {
                return Err(DecodeError::TagSize { tag });
            }
            self.allowance = content.allowance;
        }
        Ok(())
    }

    /// Skips all tagged fields.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|_, _| Ok(false))
    }

    /// A nullable structure has a byte before it: negative for null.
    pub fn is_present(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? >= 0)
    }

    fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let left = self.bytes.len();
        if needed > left {
            Err(DecodeError::Truncated { needed, left })
        } else {
            Ok(())
        }
    }

    /// At most `max` groups of seven bits, lowest first.
    fn base128(&mut self, max: u32) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for i in 0..max {
            self.need(1)?;
            let byte = self.bytes.get_u8();
            if i == 9 && byte > 1 {
                return Err(DecodeError::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    fn length16(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.i16()?;
        self.length(i64::from(length))
    }

    fn length32(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.i32()?;
        self.length(i64::from(length))
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.unsigned_varint()?;
        self.length(i64::from(length) - 1)
    }

    fn length(&self, count: i64) -> Result<Option<usize>, DecodeError> {
        match count {
            -1 => Ok(None),
            0.. if count <= self.bytes.len() as i64 => Ok(Some(count as usize)),
            _ => Err(DecodeError::Count {
                count,
                left: self.bytes.len(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn variable_length_numbers() {
        assert_eq!(reader(&[0xac, 0x02]).unsigned_varint(), Ok(300));
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unsigned_varint(),
            Ok(u32::MAX)
        );
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint(),
            Err(DecodeError::Varint)
        );
        assert_eq!(
            reader(&[0x80; 6]).unsigned_varint(),
            Err(DecodeError::Varint)
        );
        assert_eq!(reader(&[0x01]).varint(), Ok(-1));
        assert_eq!(reader(&[0xff; 10]).varlong(), Err(DecodeError::Varint));
    }

    #[test]
    fn a_compact_string_may_not_be_longer_than_an_old_one() {
        for (length, is_read) in [(32_767u32, true), (32_768, false)] {
            let mut w = crate::Writer::new();
            w.unsigned_varint(length + 1);
            w.raw(&vec![b'x'; length as usize]);
            let mut r = Reader::new(w.finish_contiguous());
            assert_eq!(r.string(true).is_ok(), is_read, "{length}");
        }
    }

    #[test]
    fn counts_are_bounded_by_what_is_left() {
        let counts = [i32::MAX, 3, -2];
        for count in counts {
            let mut bytes = count.to_be_bytes().to_vec();
            bytes.extend([0, 0]);
            let mut r = Reader::new(Bytes::from(bytes));
            assert!(matches!(
                r.array(false, 1, |r| r.i8()),
                Err(DecodeError::Count { .. })
            ));
        }
    }

    #[test]
    fn elements_are_bounded_by_the_memory_they_take() {
        let mut bytes = 1_000_000i32.to_be_bytes().to_vec();
        bytes.resize(1_000_004, 0);
        let mut r = Reader::new(Bytes::from(bytes));
        assert_eq!(
            r.array(false, 1, |_| Ok([0u8; 4096])).err(),
            Some(DecodeError::TooManyElements)
        );
    }
}
