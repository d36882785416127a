//! One broker: its disk, and while it lives its replica, driven as production drives it.

use engine::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};
use engine::metadata::{Image, PartitionChange};
use engine::replica::{
    Acks, AppendPlan, Commitment, Error, FetchPlan, FetchPosition, FetchQuery, Fetched, FollowPlan,
    IsrProposal, Options, Reader, Replica,
};
use wire::batch::BatchHeader;

use crate::controller::PARTITION;
use crate::disk::Disk;
use crate::network::{FetchAnswer, Produced};

/// Batches in one answer.
const ANSWER_MAX: usize = 3;

pub struct Broker {
    pub id: BrokerId,
    pub disk: Disk,
    pub life: Option<Life>,
    /// It has lost records that it had, and the controller does not know yet.
    pub tainted: bool,
    /// How often its machine has lost its memory.
    pub memory: u32,
    pub incarnations: u8,
    pub flush_each: bool,
}

/// A process.
pub struct Life {
    pub incarnation: u8,
    pub epoch: Option<BrokerEpoch>,
    /// The newest version of the metadata that it has seen.
    pub seen: usize,
    pub replica: Replica,
    pub proposal: Option<IsrProposal>,
    pub waiting: Vec<Waiting>,
}

/// A producer that waits for its records to be committed.
pub struct Waiting {
    pub next_offset: Offset,
    pub produced: Produced,
}

impl Broker {
    pub fn start(&mut self, options: Options) {
        self.incarnations += 1;
        self.life = Some(Life {
            incarnation: self.incarnations,
            epoch: None,
            seen: 0,
            replica: Replica::open(self.id, options, self.disk.open()),
            proposal: None,
            waiting: Vec::new(),
        });
    }

    /// What has been decided as leader or follower is carried out on the disk; nothing else writes to it.
    /// Says whether the log was deleted, because there is no replica here any more.
    pub fn on_image(
        &mut self,
        version: usize,
        image: &Image,
        options: Options,
        now_ms: u64,
    ) -> bool {
        let Some(life) = &mut self.life else {
            return false;
        };
        let ours = life
            .epoch
            .is_some_and(|epoch| image.has_epoch(self.id, epoch));
        if version <= life.seen || !ours {
            return false;
        }
        life.seen = version;
        let state = image.partition(PARTITION.topic, PARTITION.index);
        if state.is_some_and(|state| !state.has_replica(self.id)) {
            let had_any = !self.disk.batches.is_empty();
            self.disk = Disk::default();
            life.replica = Replica::open(self.id, options, self.disk.open());
            life.proposal = None;
            life.waiting.clear();
            return had_any;
        }
        if let Some(state) = state {
            life.replica.on_metadata(state, now_ms);
            let active = |id| image.broker(id).filter(|b| b.is_active()).map(|b| b.epoch);
            life.replica.on_active_brokers(active, now_ms);
        }
        false
    }

    /// Appends as leader. An answer comes at once, or with the commit.
    pub fn produce(
        &mut self,
        header: &BatchHeader,
        produced: Produced,
        now_ms: u64,
    ) -> Option<Result<(), Error>> {
        let life = self.life.as_mut()?;
        let next_offset = match life.replica.plan_append(header, Acks::All, now_ms) {
            Err(error) => return Some(Err(error)),
            Ok(AppendPlan::Duplicate(original)) => original.next_offset,
            Ok(AppendPlan::Write(write)) => {
                self.disk.append(BatchHeader {
                    base_offset: write.base_offset.0,
                    partition_leader_epoch: write.leader_epoch.0,
                    ..*header
                });
                life.replica.on_appended(&write, now_ms);
                write.next_offset()
            }
        };
        life.waiting.push(Waiting {
            next_offset,
            produced,
        });
        None
    }

    /// The producers that need not wait any longer, and whether their records are committed.
    pub fn released(&mut self) -> Vec<(Produced, bool)> {
        let Some(life) = &mut self.life else {
            return Vec::new();
        };
        let mut released = Vec::new();
        life.waiting.retain(
            |waiting| match life.replica.commitment(waiting.next_offset) {
                Ok(Commitment::Waiting) => true,
                Ok(Commitment::Committed) => {
                    released.push((waiting.produced, true));
                    false
                }
                Ok(Commitment::NotEnoughReplicas) | Err(_) => {
                    released.push((waiting.produced, false));
                    false
                }
            },
        );
        released
    }

    /// Serves a follower.
    pub fn serve(
        &mut self,
        from: BrokerId,
        epoch: BrokerEpoch,
        asked: &FetchPosition,
        now_ms: u64,
    ) -> Option<FetchAnswer> {
        let life = self.life.as_mut()?;
        let query = FetchQuery {
            reader: Reader::Follower {
                id: from,
                broker_epoch: Some(epoch),
            },
            offset: asked.offset,
            leader_epoch: Some(asked.leader_epoch),
            last_fetched_epoch: asked.last_fetched_epoch,
        };
        match life.replica.plan_fetch(&query) {
            Ok(FetchPlan::Serve {
                from: offset,
                below,
            }) => {
                life.replica
                    .on_follower_fetch(from, Some(epoch), asked.offset, now_ms);
                Some(FetchAnswer::Records {
                    headers: self.disk.read(offset, below, ANSWER_MAX),
                    high_watermark: life.replica.high_watermark(),
                })
            }
            Ok(FetchPlan::Diverging(end)) => Some(FetchAnswer::Diverging(end)),
            Err(Error::OffsetOutOfRange) => Some(FetchAnswer::OutOfRange),
            Err(_) => None,
        }
    }

    /// Takes a leader's answer; says whether the log was cut.
    pub fn follow(&mut self, asked: &FetchPosition, answer: &FetchAnswer) -> bool {
        let Some(life) = &mut self.life else {
            return false;
        };
        let fetched = match answer {
            FetchAnswer::Records {
                headers,
                high_watermark,
            } => Fetched::Records {
                headers,
                high_watermark: *high_watermark,
                log_start: Offset(0),
            },
            FetchAnswer::Diverging(end) => Fetched::Diverging(*end),
            FetchAnswer::OutOfRange => Fetched::OutOfRange {
                log_start: Offset(0),
            },
        };
        match life
            .replica
            .plan_follow(asked, fetched)
            .expect("leaders answer sensibly")
        {
            FollowPlan::Stale => false,
            FollowPlan::Append(replicated) => {
                if let FetchAnswer::Records { headers, .. } = answer {
                    self.disk.append_all(headers, &replicated);
                }
                life.replica.on_replicated(&replicated);
                false
            }
            FollowPlan::TruncateTo(offset) => {
                let end = self.disk.truncate_to(offset);
                life.replica.on_truncated(end, self.disk.producers());
                true
            }
            FollowPlan::RestartAt(offset) => {
                panic!("nothing is ever deleted, so nothing restarts at {offset}")
            }
        }
    }

    /// Syncs the log; a follower that had to may fetch on, a leader's high watermark may advance.
    pub fn sync(&mut self, now_ms: u64) {
        self.disk.sync();
        if let Some(life) = &mut self.life {
            life.replica
                .on_flushed(Offset(self.disk.synced_end()), now_ms);
        }
    }

    /// What this broker would ask the controller for.
    pub fn propose(&mut self, now_ms: u64) -> Option<(BrokerEpoch, PartitionChange)> {
        let life = self.life.as_mut()?;
        let epoch = life.epoch?;
        let proposal = life.replica.propose_isr(now_ms)?;
        let change = PartitionChange {
            partition: PARTITION,
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            isr: proposal.isr.clone(),
        };
        life.proposal = Some(proposal);
        Some((epoch, change))
    }

    /// The batches that count for the high watermark: with `flush.messages=1` those on disk.
    pub fn counted(&self) -> &[BatchHeader] {
        let all = &self.disk.batches;
        if self.flush_each {
            &all[..self.disk.synced]
        } else {
            all
        }
    }

    pub fn leads(&self) -> Option<LeaderEpoch> {
        let life = self.life.as_ref()?;
        life.replica
            .is_leader()
            .then(|| life.replica.leader_epoch())
    }
}
