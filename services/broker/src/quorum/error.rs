//! Why something cannot be had of the quorum.

use std::io;

use engine::metadata::Rejection;
use wire::ErrorCode;

use super::message::Refusal;
use super::peer;

/// Why something cannot be had of the quorum.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The active controller has refused it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No active controller has answered in time. Whether the command was carried out is unknown.
    #[error("the active controller does not answer: {0}")]
    Unavailable(String),
    /// Another process with this node id is alive.
    #[error("another broker with this node.id is running")]
    Duplicate,
    /// The files cannot be used.
    #[error("metadata log: {0}")]
    Storage(#[from] io::Error),
    /// The consensus could not start.
    #[error("metadata quorum: {0}")]
    Consensus(String),
}

impl Error {
    /// What Kafka's protocol calls it.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Error::Rejected(rejection) => rejection.error_code(),
            Error::Unavailable(_) => ErrorCode::RequestTimedOut,
            Error::Duplicate => ErrorCode::DuplicateBrokerRegistration,
            Error::Storage(_) | Error::Consensus(_) => ErrorCode::UnknownServerError,
        }
    }
}

impl From<peer::Error> for Error {
    fn from(error: peer::Error) -> Error {
        match error {
            peer::Error::Refused(Refusal::Rejected(rejection)) => Error::Rejected(rejection),
            peer::Error::Refused(Refusal::DuplicateBroker) => Error::Duplicate,
            other => Error::Unavailable(other.to_string()),
        }
    }
}
