//! Files of the metadata that are not what was written there, told apart from those that another version has written.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::quorum::codec;

/// A checksum is wrong, or something is missing that was durable.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
struct Damage {
    path: PathBuf,
    why: String,
}

/// The error that says so.
pub(in crate::quorum) fn damaged(path: &Path, why: impl Display) -> io::Error {
    let damage = Damage {
        path: path.into(),
        why: why.to_string(),
    };
    io::Error::new(io::ErrorKind::InvalidData, damage)
}

/// Whether an error is of that kind.
pub(in crate::quorum) fn is_damage(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Damage>())
}

/// The checksum is right, but what it covers cannot be read.
pub(in crate::quorum) fn unreadable(path: &Path, error: &codec::Error) -> io::Error {
    let kind = match error {
        // Nothing is wrong with the file: another version of the program reads it.
        codec::Error::Newer { .. } | codec::Error::Older { .. } => io::ErrorKind::Unsupported,
        codec::Error::Body { .. } | codec::Error::Length { .. } => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, format!("{}: {error}", path.display()))
}
