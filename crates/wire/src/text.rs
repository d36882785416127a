//! `Str`: checked UTF-8 that shares the frame it was read from.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::DecodeError;

/// Immutable text, cheap to clone. A decoded `Str` keeps its whole frame alive: what outlives the request
/// goes through [`Str::copy_from`] (or `to_string`).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str(Bytes);

impl Str {
    pub const fn from_static(text: &'static str) -> Str {
        Str(Bytes::from_static(text.as_bytes()))
    }

    /// A `Str` with memory of its own.
    pub fn copy_from(text: &str) -> Str {
        Str(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Checks that the bytes are UTF-8 and keeps them without a copy.
    pub fn from_utf8(bytes: Bytes) -> Result<Str, DecodeError> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Str(bytes)),
            Err(_) => Err(DecodeError::Utf8),
        }
    }

    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor checks the bytes or takes them from a str, and `Bytes` never changes.
        #[allow(unsafe_code)]
        unsafe {
            std::str::from_utf8_unchecked(&self.0)
        }
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Str {
    fn from(text: &'static str) -> Str {
        Str::from_static(text)
    }
}

impl From<String> for Str {
    fn from(text: String) -> Str {
        Str(Bytes::from(text))
    }
}

impl From<&String> for Str {
    fn from(text: &String) -> Str {
        Str::copy_from(text)
    }
}

impl From<Str> for String {
    fn from(text: Str) -> String {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Str {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
