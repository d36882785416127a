//! How metadata is written, on disk and between nodes: a version byte, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The layout that this broker writes.
const VERSION: u8 = 1;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Written by a broker that is newer, or not by a broker at all.
    #[error("layout version {0} is not known")]
    Version(u8),
    /// There is no version byte.
    #[error("empty")]
    Empty,
    /// The body is not what it should be.
    #[error(transparent)]
    Body(#[from] postcard::Error),
}

/// Writes a value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    Ok(postcard::to_extend(value, vec![VERSION])?)
}

/// Reads a value. Postcard never takes more memory than the bytes can hold elements.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
        Some((&version, _)) => Err(Error::Version(version)),
        None => Err(Error::Empty),
    }
}
