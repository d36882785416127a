//! Why a command, or a part of one, is not carried out.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wire::ErrorCode;

/// The reason, with the words that Kafka's clients are shown.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Rejection {
    #[error("the broker has registered again since")]
    StaleBrokerEpoch,
    #[error("the broker is not registered")]
    BrokerNotRegistered,
    #[error("the broker belongs to cluster {theirs}, this is cluster {ours}")]
    InconsistentClusterId { ours: String, theirs: String },
    #[error("{0}")]
    InvalidTopic(String),
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    #[error("This server does not host this topic-partition.")]
    UnknownTopicOrPartition,
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    #[error("{0}")]
    InvalidPartitions(String),
    #[error("{0}")]
    InvalidReplicationFactor(String),
    #[error("{0}")]
    InvalidAssignment(String),
    #[error("{0}")]
    PolicyViolation(String),
    #[error("{0}")]
    InvalidConfig(String),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("the leader epoch is older than the partition's")]
    FencedLeaderEpoch,
    #[error("the request knows a newer state of the partition than this controller")]
    NotController,
    #[error("the partition has changed since the request was made")]
    InvalidUpdateVersion,
    #[error("a member of the proposed ISR may not join it")]
    IneligibleReplica,
    #[error("the preferred replica leads already")]
    ElectionNotNeeded,
    #[error("the preferred replica is not in sync or not alive")]
    PreferredLeaderNotAvailable,
    #[error("all producer ids are used up")]
    NoProducerIds,
    #[error("the proposal came again after its proposer had given it up")]
    ProposalGivenUp,
    #[error("No partition reassignment is in progress.")]
    NoReassignmentInProgress,
    #[error("no replica that is alive may be elected")]
    EligibleLeadersNotAvailable,
}

impl Rejection {
    /// What Kafka's protocol calls it.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Rejection::StaleBrokerEpoch => ErrorCode::StaleBrokerEpoch,
            Rejection::BrokerNotRegistered => ErrorCode::BrokerIdNotRegistered,
            Rejection::InconsistentClusterId { .. } => ErrorCode::InconsistentClusterId,
            Rejection::InvalidTopic(_) => ErrorCode::InvalidTopicException,
            Rejection::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            Rejection::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Rejection::UnknownTopicId => ErrorCode::UnknownTopicId,
            Rejection::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            Rejection::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
            Rejection::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            Rejection::PolicyViolation(_) => ErrorCode::PolicyViolation,
            Rejection::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Rejection::InvalidRequest(_) => ErrorCode::InvalidRequest,
            Rejection::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            Rejection::NotController => ErrorCode::NotController,
            Rejection::InvalidUpdateVersion => ErrorCode::InvalidUpdateVersion,
            Rejection::IneligibleReplica => ErrorCode::IneligibleReplica,
            Rejection::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
            Rejection::PreferredLeaderNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
            Rejection::NoProducerIds => ErrorCode::UnknownServerError,
            Rejection::ProposalGivenUp => ErrorCode::RequestTimedOut,
            Rejection::NoReassignmentInProgress => ErrorCode::NoReassignmentInProgress,
            Rejection::EligibleLeadersNotAvailable => ErrorCode::EligibleLeadersNotAvailable,
        }
    }
}
