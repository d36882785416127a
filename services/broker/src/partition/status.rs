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
    pub segments: usize,
    /// What cannot be read of the log because the disk has changed it.
    pub damaged_offsets: u64,
    /// Nothing is served: the log is out of service.
    pub closed: bool,
    /// Of the partitions led here.
    pub isr: Vec<BrokerId>,
    pub replicas: usize,
    pub under_min_isr: bool,
    pub at_min_isr: bool,
    pub followers: Vec<FollowerStatus>,
}

#[derive(Clone, Copy, Debug)]
pub struct FollowerStatus {
    pub id: BrokerId,
    /// Records that it does not have yet.
    pub lag: i64,
    /// Since when it has not had everything; 0 if it has.
    pub behind_ms: u64,
}

impl Partition {
    pub fn status(&self) -> Status {
        let now_ms = self.env.elapsed_ms();
        let s = self.state.lock();
        let replica = &s.replica;
        let log_end = replica.log_end();
        let leader = replica.leader();
        let follower = |(id, progress): (BrokerId, &engine::replica::Progress)| {
            let end = progress.log_end.unwrap_or(replica.log_start());
            let lag = (log_end.0 - end.0).max(0);
            // One that never had everything is behind for as long as anybody can tell.
            let caught_up_ms = progress.caught_up_ms.unwrap_or(0);
            FollowerStatus {
                id,
                lag,
                behind_ms: match lag {
                    0 => 0,
                    _ => now_ms.saturating_sub(caught_up_ms),
                },
            }
        };
        let isr = leader.map(|l| l.isr().to_vec()).unwrap_or_default();
        Status {
            is_leader: leader.is_some(),
            log_start: replica.log_start(),
            log_end,
            high_watermark: replica.high_watermark(),
            size_bytes: s.log.size_bytes(),
            segments: s.log.segment_count(),
            damaged_offsets: s.log.damaged_offsets(),
            closed: s.closed,
            replicas: leader.map_or(0, |l| l.factor()),
            under_min_isr: replica.is_under_min_isr(),
            at_min_isr: replica.is_at_min_isr(),
            followers: leader
                .map(|l| l.followers().map(follower).collect())
                .unwrap_or_default(),
            isr,
        }
    }
}
