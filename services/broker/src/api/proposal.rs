//! Changes of the metadata on behalf of a client: deadlines, and refusals as error code and message.

use std::time::Duration;

use engine::metadata::{Command, Image, Outcome, Rejection};
use wire::{ErrorCode, Str};

use crate::metrics::waits::waiting;
use crate::quorum::{self, Quorum};

/// A client that gives no time at all still has its change proposed once.
const LEAST: Duration = Duration::from_millis(100);
/// No client holds a request open for longer.
const MOST: Duration = Duration::from_secs(300);

/// The time that a client gives to a change.
pub fn deadline(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)).clamp(LEAST, MOST)
}

/// Why something was not done, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub error: ErrorCode,
    /// In words.
    pub message: String,
}

impl Refusal {
    /// A refusal with a message.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal {
            error,
            message: message.into(),
        }
    }

    /// A malformed request.
    pub fn invalid_request(message: impl Into<String>) -> Refusal {
        Refusal::new(ErrorCode::InvalidRequest, message)
    }

    /// The message as a field.
    pub fn text(&self) -> Option<Str> {
        Some(Str::from(self.message.clone()))
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Refusal {
        Refusal::new(rejection.error_code(), rejection.to_string())
    }
}

impl From<&quorum::Error> for Refusal {
    fn from(error: &quorum::Error) -> Refusal {
        Refusal::new(error.error_code(), error.to_string())
    }
}

/// What `command` would do now, without doing it.
pub fn rehearse(image: &Image, command: &Command) -> Result<Outcome, Refusal> {
    let (_, outcome) = image.apply(command, image.index() + 1);
    Ok(outcome?)
}

/// Carries `command` out, or only rehearses it.
pub async fn carry_out(
    quorum: &Quorum,
    command: Command,
    validate_only: bool,
    deadline: Duration,
) -> Result<Outcome, Refusal> {
    if validate_only {
        return rehearse(&quorum.image(), &command);
    }
    waiting(quorum.propose(command, deadline))
        .await
        .map_err(|error| Refusal::from(&error))
}

/// The answers of a command that has one per item; every item gets the refusal of the whole.
pub fn each(outcome: Result<Outcome, Refusal>, count: usize) -> Vec<Result<(), Refusal>> {
    match outcome {
        Ok(Outcome::Each(each)) if each.len() == count => each
            .into_iter()
            .map(|one| one.map_err(Refusal::from))
            .collect(),
        Ok(_) => vec![Err(unexpected()); count],
        Err(refusal) => vec![Err(refusal); count],
    }
}

/// The controller has answered something else than what it was asked for.
pub fn unexpected() -> Refusal {
    Refusal::new(
        ErrorCode::UnknownServerError,
        "the controller's answer does not fit the request",
    )
}
