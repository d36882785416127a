//! What metrics and describing requests want to know of a partition.

use engine::ids::{BrokerId, Offset};

use super::Partition;

#[derive(Clone, Debug)]
pub struct Status {
    pub is_leader: bool,
    pub log_start: Offset,
    pub log_end: Offset,
    pub high_watermark: Offset,
    pub size_bytes: u64,
    /// Of the partitions led here.
    pub isr: Vec<BrokerId>,
    pub replicas: usize,
    pub under_min_isr: bool,
    pub followers: Vec<FollowerStatus>,
}

#[derive(Clone, Copy, Debug)]
pub struct FollowerStatus {
    pub id: BrokerId,
    /// Records that it does not have yet.
    pub lag: i64,
}

impl Partition {
    pub fn status(&self) -> Status {
        let s = self.state.lock();
        let replica = &s.replica;
        let log_end = replica.log_end();
        let leader = replica.leader();
        let behind = |end: Option<Offset>| log_end.0 - end.unwrap_or(replica.log_start()).0;
        Status {
            is_leader: leader.is_some(),
            log_start: replica.log_start(),
            log_end,
            high_watermark: replica.high_watermark(),
            size_bytes: s.log.size_bytes(),
            isr: leader.map(|l| l.isr().to_vec()).unwrap_or_default(),
            replicas: leader.map_or(0, |l| l.replicas().len()),
            under_min_isr: replica.is_under_min_isr(),
            followers: leader
                .map(|l| {
                    l.followers()
                        .map(|(id, p)| FollowerStatus {
                            id,
                            lag: behind(p.log_end),
                        })
                        .collect()
                })
                .unwrap_or_default(),
        }
    }
}
