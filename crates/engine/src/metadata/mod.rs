//! The cluster's metadata: brokers, topics, partitions, configs, producer id blocks, the cluster's id.
//!
//! An [`Image`] is all of it at one point of the metadata log. It never changes; [`Image::apply`] makes the next one
//! from a [`Command`], which an entry of the log holds. Every decision of the controller is made there, from the image and the
//! command alone, so that every replica of the log decides alike; what is random or temporal is put into the command
//! by whoever proposes it. One command is one atomic write: fencing a broker and electing the new leaders of all of
//! its partitions is a single command.

mod apply;
mod brokers;
mod command;
mod configs;
mod election;
mod image;
mod leaving;
mod partitions;
mod placement;
mod proposal;
mod reassignment;
mod rejection;
mod snapshot;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod topics;

pub use command::{
    AlteredPartition, Command, ConfigChange, ConfigEdit, CreatedTopic, IsrMember, Memory,
    NewPartitions, NewTopic, Outcome, PartitionChange, PartitionId, Reassignment, Registration,
    Resource, TopicId,
};
pub use election::Elections;
pub use image::Image;
pub use placement::{Assignment, DRAINED};
pub use proposal::{MAX_OPEN_PROPOSALS, Proposal, ProposalId, needs_layout_3};
pub use rejection::Rejection;
pub use snapshot::{Snapshot, SnapshotV1, SnapshotV2, SnapshotV3};
pub use state::{BrokerState, Endpoint, PartitionState, TopicState};

/// How many producer ids one block has, as in Kafka.
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// The most partitions that one command may create; Kafka's controller has the same limit.
pub const MAX_NEW_PARTITIONS: usize = 10_000;
