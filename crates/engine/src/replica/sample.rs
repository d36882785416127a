//! A leader for the tests of this room.

use super::{Opened, Options, Replica};
use crate::ids::{BrokerId, LeaderEpoch, PartitionEpoch};
use crate::metadata::PartitionState;

/// The leader of a partition with these replicas and this ISR, of a topic with `min.insync.replicas=2`.
pub fn leading(replicas: &[i32], isr: &[i32]) -> Replica {
    let options = Options {
        min_insync_replicas: 2,
        flush_each: false,
        lag_max_ms: 1,
    };
    let mut replica = Replica::open(BrokerId(1), options, Opened::default());
    replica.on_metadata(&state(replicas, isr, 1), 0);
    replica
}

/// What the metadata says of it, in its version `partition_epoch`.
pub fn state(replicas: &[i32], isr: &[i32], partition_epoch: i32) -> PartitionState {
    let ids = |all: &[i32]| all.iter().copied().map(BrokerId).collect();
    PartitionState {
        replicas: ids(replicas),
        isr: ids(isr),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(partition_epoch),
        adding: vec![],
        removing: vec![],
        elr: vec![],
        last_known_elr: vec![],
    }
}
