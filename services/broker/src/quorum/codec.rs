//! How metadata is written, on disk and between nodes: the layout's version, who wrote it, then postcard.
//!
//! Postcard writes neither names nor types: a field or a variant more, and other bytes mean other things. Each kind of
//! thing therefore has a version of its own, which rises with any change of its bytes; `layouts/golden.txt` holds the
//! bytes of every version, and a test compares. The first byte is the version. From version 2 on the next three are
//! the version of the program that wrote it, so that who meets a version that is too new for it can say which one
//! reads it.
//!
//! A version that has only added kinds of things is written where one of them occurs, and the one before elsewhere: while
//! the nodes of a cluster are replaced one after the other, the older ones read everything as long as nobody uses what
//! they do not know.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Something that is stored or sent.
pub trait Layout: Serialize + DeserializeOwned {
    /// What an error calls it.
    const NAME: &'static str;
    /// The newest version, 2 or greater.
    const VERSION: u8 = 2;

    /// The version in which this program writes the value.
    fn version(&self) -> u8 {
        Self::VERSION
    }

    /// Reads the body of an older version; none where that version is not read any more.
    fn decode_older(version: u8, body: &[u8]) -> Option<Result<Self, Error>>;
}

/// Bytes that are not what they should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Written by a newer program.
    #[error(
        "the {name} was written by version {writer} of this program, in layout {version}; version {PROGRAM} reads \
         layouts up to {known}: start version {writer} or a newer one"
    )]
    Newer {
        name: &'static str,
        version: u8,
        known: u8,
        writer: Writer,
    },
    /// Written by a program that is too old.
    #[error(
        "the {name} has layout {version}, which version {PROGRAM} of this program does not read any more"
    )]
    Older { name: &'static str, version: u8 },
    /// The body is not what it should be.
    #[error("the {name} (layout {version}) cannot be read: {source}")]
    Body {
        name: &'static str,
        version: u8,
        source: postcard::Error,
    },
    /// There is more than there should be, or less.
    #[error("the {name} has not the length that it should have")]
    Length { name: &'static str },
}

/// The version of a program: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer(pub [u8; 3]);

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Writer([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// This program.
pub const PROGRAM: Writer = Writer([
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
]);

const fn number(text: &str) -> u8 {
    let digits = text.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < digits.len() {
        value = value * 10 + (digits[at] - b'0');
        at += 1;
    }
    value
}

/// Writes a value.
pub fn encode<T: Layout>(value: &T) -> Result<Vec<u8>, Error> {
    let [major, minor, patch] = PROGRAM.0;
    let version = value.version();
    let head = vec![version, major, minor, patch];
    postcard::to_extend(value, head).map_err(|source| Error::Body {
        name: T::NAME,
        version,
        source,
    })
}

/// Reads a value. Postcard never takes more memory than the bytes can hold elements.
pub fn decode<T: Layout>(bytes: &[u8]) -> Result<T, Error> {
    let name = T::NAME;
    let (&version, rest) = bytes.split_first().ok_or(Error::Length { name })?;
    let older = Error::Older { name, version };
    if version < 2 {
        return T::decode_older(version, rest).unwrap_or(Err(older));
    }
    let (writer, body) = rest
        .split_first_chunk::<3>()
        .ok_or(Error::Length { name })?;
    if version > T::VERSION {
        return Err(Error::Newer {
            name,
            version,
            known: T::VERSION,
            writer: Writer(*writer),
        });
    }
    if version < T::VERSION {
        return T::decode_older(version, body).unwrap_or(Err(older));
    }
    decode_body::<T, T>(version, body)
}

/// Reads the body of a `T` as it was laid out as an `Old`.
pub fn decode_body<T: Layout, Old: DeserializeOwned>(
    version: u8,
    body: &[u8],
) -> Result<Old, Error> {
    let name = T::NAME;
    let (value, rest) = postcard::take_from_bytes(body).map_err(|source| Error::Body {
        name,
        version,
        source,
    })?;
    rest.is_empty()
        .then_some(value)
        .ok_or(Error::Length { name })
}

/// What has changed in nothing but the program's version before the body.
macro_rules! same_since_version_1 {
    ($($layout:ty, $name:literal;)*) => {
        $(impl $crate::quorum::codec::Layout for $layout {
            const NAME: &'static str = $name;

            fn decode_older(
                version: u8,
                body: &[u8],
            ) -> Option<Result<Self, $crate::quorum::codec::Error>> {
                (version == 1).then(|| $crate::quorum::codec::decode_body::<Self, Self>(version, body))
            }
        })*
    };
}

pub(super) use same_since_version_1;
