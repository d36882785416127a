//! What can go wrong with a log on disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::salvage;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An earlier write or fsync failed, so what is on disk is unknown: nothing is written until a recovery.
    #[error("the log directory is out of service after a failed write or fsync: {0}")]
    Poisoned(String),
    /// Its topic is deleted, and its directory's name may be another log's by now.
    #[error("the log has been deleted")]
    Retired,
    /// The disk is full. Nothing of the append was kept; appends work again when there is room.
    #[error("no space left for {path}")]
    NoSpace { path: PathBuf },
    #[error("{action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The offset is below the log start or beyond the log end.
    #[error("offset {offset} is outside of [{log_start}, {log_end}]")]
    OutOfRange {
        offset: i64,
        log_start: i64,
        log_end: i64,
    },
    /// Bytes that are not what they must be, at a place where they cannot be repaired.
    #[error("{path}: {reason}")]
    Corrupt { path: PathBuf, reason: String },
    /// The batch that holds the offset is not what was written. What is before and behind it can be read.
    #[error("{path}: offset {offset} cannot be read: {reason}")]
    Damaged {
        path: PathBuf,
        offset: i64,
        reason: String,
    },
    /// What another replica has of a damaged range cannot take its place.
    #[error("what another replica has at offset {offset} does not fit: {reason}")]
    Unfit { offset: i64, reason: String },
    /// The caller's batches do not continue the log.
    #[error("batch at offset {base_offset} does not continue the log, which ends at {log_end}")]
    NotNext { base_offset: i64, log_end: i64 },
}

impl Error {
    /// An I/O error of `action` ("read", "rename") on `path`; a full disk becomes [`Error::NoSpace`].
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        if is_no_space(&source) {
            return Error::NoSpace {
                path: path.to_path_buf(),
            };
        }
        Error::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Where in a log the disk has changed something, if that is what has failed a read: an offset of its segment.
    pub fn damaged_at(&self) -> Option<i64> {
        match self {
            Error::Damaged { offset, .. } => Some(*offset),
            Error::Corrupt { path, .. } => path.file_stem()?.to_str()?.parse().ok(),
            _ => None,
        }
    }

    /// Where in a log the medium has failed a read: an offset of the segment.
    pub fn unreadable_at(&self) -> Option<i64> {
        match self {
            Error::Io { path, source, .. } if salvage::is_of_medium(source) => {
                path.file_stem()?.to_str()?.parse().ok()
            }
            _ => None,
        }
    }

    pub fn corrupt(path: &Path, reason: impl Into<String>) -> Error {
        Error::Corrupt {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }
}

/// A full disk or an exhausted quota: the two write errors after which the disk still is what it was.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
