//! Why bytes are not a message, and why a message cannot be bytes.

use std::fmt;

/// Why bytes from the network or the disk could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the field does.
    Truncated { needed: usize, left: usize },
    /// A count of elements or bytes that the bytes left cannot hold, or a negative one.
    Count { count: i64, left: usize },
    /// The decoded elements would take more memory than a frame of this size may ask for.
    TooManyElements,
    /// A string that is longer than any may be, in bytes.
    TooLong { length: usize },
    /// A variable-length number with more bytes than its type allows.
    Varint,
    /// Text that is not UTF-8.
    Utf8,
    /// Null where the field may not be null at this version.
    Null(&'static str),
    /// A tagged field whose content is shorter or longer than its announced size.
    TagSize { tag: u32 },
    /// A version of the message that does not exist.
    Version(i16),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, left } => {
                write!(f, "{needed} bytes are needed but {left} are left")
            }
            Self::Count { count, left } => {
                write!(f, "a count of {count} cannot be in the {left} bytes left")
            }
            Self::TooManyElements => write!(f, "the elements would take too much memory"),
            Self::TooLong { length } => write!(f, "a string of {length} bytes is too long"),
            Self::Varint => write!(f, "a variable-length number is too long"),
            Self::Utf8 => write!(f, "a string is not UTF-8"),
            Self::Null(field) => write!(f, "{field} must not be null"),
            Self::TagSize { tag } => {
                write!(f, "tagged field {tag} does not have its announced size")
            }
            Self::Version(version) => write!(f, "version {version} does not exist"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a message could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A string, array or byte field too long for its length prefix.
    TooLong { length: usize, max: usize },
    /// Null in a field that may not be null at this version.
    Null(&'static str),
    /// A version of the message that does not exist.
    Version(i16),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, max } => {
                write!(
                    f,
                    "a length of {length} is more than the {max} of its prefix"
                )
            }
            Self::Null(field) => write!(f, "{field} must not be null at this version"),
            Self::Version(version) => write!(f, "version {version} does not exist"),
        }
    }
}

impl std::error::Error for EncodeError {}
