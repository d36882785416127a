//! A leader for the tests of this room, and what is sent to it.

use wire::batch::BatchHeader;

use super::{Acks, AppendPlan, Opened, Options, Progress, Replica};
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};
use crate::metadata::PartitionState;

pub const ALL: &[i32] = &[1, 2, 3];

/// Of a topic with `min.insync.replicas=2`.
pub const OPTIONS: Options = Options {
    min_insync_replicas: 2,
    flush_each: false,
    lag_max_ms: 1,
};

/// The leader of a partition with these replicas and this ISR.
pub fn leading(replicas: &[i32], isr: &[i32]) -> Replica {
    let mut replica = Replica::open(BrokerId(1), OPTIONS, Opened::default());
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

/// Five records of producer 7.
pub fn batch(producer_epoch: i16, sequence: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        batch_length: 100,
        partition_leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: 4,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: 7,
        producer_epoch,
        base_sequence: sequence,
        record_count: 5,
    }
}

/// Five records more in a leader's log.
pub fn append(leader: &mut Replica, sequence: i32, now_ms: u64) {
    match leader.plan_append(&batch(0, sequence), Acks::Leader, now_ms) {
        Ok(AppendPlan::Write(write)) => leader.on_appended(&write, now_ms),
        other => panic!("nothing speaks against it: {other:?}"),
    }
}

/// A follower has everything below `offset`, in the incarnation that it always fetches in here.
pub fn fetch(leader: &mut Replica, follower: i32, offset: i64, now_ms: u64) {
    let epoch = Some(INCARNATION);
    leader.on_follower_fetch(BrokerId(follower), epoch, Offset(offset), now_ms);
}

pub const INCARNATION: BrokerEpoch = BrokerEpoch(5);

/// What the leader knows of a follower.
pub fn progress(leader: &Replica, follower: i32) -> Progress {
    let mut all = leader.leader().into_iter().flat_map(|l| l.followers());
    let found = all.find(|(id, _)| *id == BrokerId(follower));
    *found.expect("it has a replica").1
}

/// The metadata calls these active, in the incarnation that they fetch in.
pub fn activate(leader: &mut Replica, active: &[i32], now_ms: u64) {
    let epoch = |id: BrokerId| active.contains(&id.0).then_some(INCARNATION);
    leader.on_active_brokers(epoch, now_ms);
}
