//! Why a replica refuses a request, and what Kafka's protocol calls it.

use thiserror::Error;
use wire::ErrorCode;

use crate::producer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("the request's leader epoch is older than the partition's (KIP-320)")]
    FencedLeaderEpoch,
    #[error("the request's leader epoch is newer than what this broker knows (KIP-320)")]
    UnknownLeaderEpoch,
    #[error("the follower is not a replica of the partition")]
    NotReplica,
    #[error("the follower has registered again since it sent this fetch (KIP-903)")]
    StaleBrokerEpoch,
    #[error("the offset is outside the log")]
    OffsetOutOfRange,
    #[error("the high watermark has not passed the start of the leader's epoch (KIP-207)")]
    OffsetNotAvailable,
    #[error("fewer in-sync replicas than min.insync.replicas")]
    NotEnoughReplicas,
    #[error(
        "a batch of this producer comes before this one, which was refused or is still under way"
    )]
    BehindRefused,
    #[error(transparent)]
    Producer(#[from] producer::Error),
}

impl Error {
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::NotLeader | Error::StaleBrokerEpoch => ErrorCode::NotLeaderOrFollower,
            Error::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            // The leader's view of the assignment may be the older one: the follower shall try again.
            Error::UnknownLeaderEpoch | Error::NotReplica => ErrorCode::UnknownLeaderEpoch,
            Error::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
            Error::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
            // The plainest of those that a client answers by sending the batch again.
            Error::NotEnoughReplicas | Error::BehindRefused => ErrorCode::NotEnoughReplicas,
            Error::Producer(producer::Error::OutOfOrderSequence { .. }) => {
                ErrorCode::OutOfOrderSequenceNumber
            }
            Error::Producer(producer::Error::InvalidEpoch { .. }) => {
                ErrorCode::InvalidProducerEpoch
            }
        }
    }
}
