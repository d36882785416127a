//! The classic consumer-group protocol of one partition of `__consumer_offsets`, as a pure state machine.
//!
//! A request makes records; only applying committed records changes durable state (committed offsets, group
//! metadata), and an answer which depends on records waits until they are committed. Time, member ids and the
//! fate of each write come in; replies and writes go out as data in [`Effects`], the next timer as
//! [`Shard::next_deadline`]. What a coordinator may forget in a crash (who waits, sessions, the phase of a
//! rebalance) is soft and lives in `Group`; the rest lives in [`Durable`].
//!
//! Unlike Kafka, a new generation is written down when the join phase completes, not only when the leader has
//! synced: so a generation that any member has seen is never handed out a second time after a fail-over.
//!
//! Sources: KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-211 (offset expiry), KIP-345 and KIP-814
//! (static members), KIP-389 (group size), KIP-394 (member id required), KIP-559 (protocol in SyncGroup).

mod admin;
mod durable;
mod effects;
mod expiry;
mod held;
mod join;
mod leave;
mod member;
mod offsets;
mod rebalance;
mod records;
mod shard;
mod state;
mod subscription;
mod sync;

pub use admin::GroupOverview;
pub use durable::{CommittedOffset, Durable, GroupSnapshot, MemberSnapshot};
pub use effects::{Effects, Reply, Token, Write};
pub use join::JoinCall;
pub use records::{OffsetKey, Record, RecordError};
pub use shard::Shard;

/// Times at which an event happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds since the start of the process: sessions and rebalances.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch: commit timestamps and retention, which outlive a process.
    pub wall_ms: i64,
}

/// Limits and times of the group protocol.
#[derive(Clone, Debug)]
pub struct Config {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`, members; those that only got their id count too, so that a flood of joins is bounded.
    pub max_size: usize,
    /// Most bytes of protocol metadata that one member may bring.
    pub max_member_bytes: usize,
    /// Members that may hold an id without having joined, over all groups of the partition.
    pub max_pending_members: usize,
    /// Most bytes that members and handed-out ids may take, over all groups of the partition: joins cost a client
    /// nothing, and what they bring is kept until sessions end.
    pub max_held_bytes: usize,
    /// `offset.metadata.max.bytes`
    pub max_offset_metadata_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// How long a member which has never completed a join may take to do so, as in Kafka (5 minutes).
    pub new_member_join_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX as usize,
            max_member_bytes: 1 << 20,
            max_pending_members: 10_000,
            max_held_bytes: 64 << 20,
            max_offset_metadata_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            new_member_join_timeout_ms: 300_000,
        }
    }
}

/// The partition of `__consumer_offsets` that holds the group: Java's `String.hashCode` over UTF-16 units, made
/// non-negative by masking (`Utils.abs`), modulo the partition count, which must be positive.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % partitions
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    #[test]
    fn the_partition_of_a_group_is_kafkas() {
        // Java: Utils.abs("...".hashCode()) % 50
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("a", 50), 97 % 50);
        // "polygenelubricants" hashes to i32::MIN, which masks to 0.
        assert_eq!(partition_for("polygenelubricants", 50), 0);
    }
}
