//! Takes numbers and bytes off the front of an input; what is missing is zero.

pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Up to `length` bytes.
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes behind their length, which has two bytes.
    pub fn chunk(&mut self) -> &'a [u8] {
        let length = self.u16();
        self.bytes(usize::from(length))
    }
}
