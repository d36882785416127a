//! The leader's side of Fetch, ListOffsets and OffsetForLeaderEpoch: what may be shown to whom.

use super::leader::Progress;
use super::{Error, Replica, Role};
use crate::epochs::EpochEnd;
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Consumer {
        read_committed: bool,
    },
    Follower {
        id: BrokerId,
        broker_epoch: Option<BrokerEpoch>,
    },
    /// Whoever asks for what is committed in just this replica, whether it leads or not: another one whose disk has changed
    /// something, or a tool that compares replicas (replica id -2 in Kafka's protocol).
    AnyReplica,
}

/// One partition of a Fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchQuery {
    pub reader: Reader,
    pub offset: Offset,
    /// The leader epoch that the reader knows; none is not checked.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the record before `offset`, from which a diverging log is recognised.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchPlan {
    /// Whole batches from `from` on, none that reaches `below`.
    Serve { from: Offset, below: Offset },
    /// The reader's log differs: it shall cut it to here and ask again (KIP-595).
    Diverging(EpochEnd),
}

impl Replica {
    /// The checks that each request with a leader epoch passes first (KIP-320).
    pub fn check_leader_epoch(&self, asked: Option<LeaderEpoch>) -> Result<(), Error> {
        match asked {
            Some(epoch) if epoch < self.leader_epoch => Err(Error::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(Error::UnknownLeaderEpoch),
            _ => self.leader_or_refuse().map(|_| ()),
        }
    }

    /// Decides on a fetch. Changes nothing: a follower's progress is noted with [`Replica::on_follower_fetch`].
    pub fn plan_fetch(&self, query: &FetchQuery) -> Result<FetchPlan, Error> {
        if query.reader == Reader::AnyReplica {
            return self.plan_comparison(query);
        }
        self.check_leader_epoch(query.leader_epoch)?;
        if let Reader::Follower { id, broker_epoch } = query.reader {
            self.check_follower(id, broker_epoch)?;
        }
        if let Some(epoch) = query.last_fetched_epoch {
            let end = self
                .epochs
                .end_of(epoch, self.log_end)
                .ok_or(Error::OffsetOutOfRange)?;
            // Below the log start no epoch is known: that is out of range, not divergence.
            if query.offset >= self.log_start && (end.epoch < epoch || end.end < query.offset) {
                return Ok(FetchPlan::Diverging(end));
            }
        }
        if query.offset < self.log_start || query.offset > self.log_end {
            return Err(Error::OffsetOutOfRange);
        }
        Ok(FetchPlan::Serve {
            from: query.offset,
            below: self.visible_end(query.reader),
        })
    }

    /// A follower serves what it knows to be committed. A reader that names the leader epoch wants one that has heard of the
    /// same leader.
    fn plan_comparison(&self, query: &FetchQuery) -> Result<FetchPlan, Error> {
        match query.leader_epoch {
            Some(epoch) if epoch < self.leader_epoch => return Err(Error::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => return Err(Error::UnknownLeaderEpoch),
            _ if matches!(self.role, Role::Idle) => return Err(Error::NotLeader),
            _ => {}
        }
        if query.offset < self.log_start || query.offset > self.high_watermark {
            return Err(Error::OffsetOutOfRange);
        }
        Ok(FetchPlan::Serve {
            from: query.offset,
            below: self.high_watermark,
        })
    }

    fn check_follower(&self, id: BrokerId, broker_epoch: Option<BrokerEpoch>) -> Result<(), Error> {
        let known = self
            .leader_or_refuse()?
            .followers
            .get(&id)
            .ok_or(Error::NotReplica)?;
        if broker_epoch.is_some() && broker_epoch < known.broker_epoch {
            return Err(Error::StaleBrokerEpoch);
        }
        Ok(())
    }

    fn visible_end(&self, reader: Reader) -> Offset {
        match reader {
            Reader::Consumer {
                read_committed: false,
            }
            | Reader::AnyReplica => self.high_watermark,
            Reader::Consumer {
                read_committed: true,
            } => self.last_stable_offset(),
            Reader::Follower { .. } => self.log_end,
        }
    }

    /// A follower's fetch has been found to agree with this log up to `offset`, so it has everything below, and where
    /// `flush.messages=1` it has it on disk: a follower asks for more only then.
    pub fn on_follower_fetch(
        &mut self,
        id: BrokerId,
        broker_epoch: Option<BrokerEpoch>,
        offset: Offset,
        now_ms: u64,
    ) {
        let log_end = self.log_end;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(follower) = leader.followers.get_mut(&id) else {
            return;
        };
        if follower
            .broker_epoch
            .is_some_and(|known| Some(known) != broker_epoch)
        {
            // What an earlier incarnation had reached says nothing about this one.
            *follower = Progress::new(None);
        }
        follower.broker_epoch = broker_epoch;
        Progress::on_fetch(follower, offset, log_end, now_ms);
        self.advance_high_watermark(now_ms);
    }

    /// What ListOffsets calls the latest offset. None until this leadership has committed what came before it:
    /// the old leader may have shown a higher one (KIP-207).
    pub fn latest_offset(&self, reader: Reader) -> Result<Offset, Error> {
        if matches!(reader, Reader::Consumer { .. }) && self.is_settling()? {
            return Err(Error::OffsetNotAvailable);
        }
        Ok(self.visible_end(reader))
    }

    /// Whether the high watermark may still be behind what the leader before has shown.
    pub fn is_settling(&self) -> Result<bool, Error> {
        Ok(self.high_watermark < self.leader_or_refuse()?.epoch_start)
    }

    /// Answers OffsetForLeaderEpoch.
    pub fn end_of_epoch(
        &self,
        asked: LeaderEpoch,
        current: Option<LeaderEpoch>,
    ) -> Result<Option<EpochEnd>, Error> {
        self.check_leader_epoch(current)?;
        Ok(self.epochs.end_of(asked, self.log_end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::PartitionState;
    use crate::replica::sample::state;
    use crate::replica::{Opened, Options};

    /// Ten records, eight of them known to be committed.
    fn replica(told: Option<PartitionState>) -> Replica {
        let options = Options {
            min_insync_replicas: 2,
            flush_each: false,
            lag_max_ms: 1,
        };
        let log = Opened {
            log_start: Offset(2),
            log_end: Offset(10),
            high_watermark: Offset(8),
            ..Opened::default()
        };
        let mut replica = Replica::open(BrokerId(2), options, log);
        if let Some(state) = told {
            replica.on_metadata(&state, 0);
        }
        replica
    }

    fn ask(replica: &Replica, offset: i64, epoch: Option<i32>) -> Result<FetchPlan, Error> {
        replica.plan_fetch(&FetchQuery {
            reader: Reader::AnyReplica,
            offset: Offset(offset),
            leader_epoch: epoch.map(LeaderEpoch),
            last_fetched_epoch: None,
        })
    }

    #[test]
    fn a_follower_shows_what_is_committed_to_who_compares_replicas() {
        let follower = replica(Some(state(&[1, 2, 3], &[1, 2, 3], 1)));
        let served = |from| {
            Ok(FetchPlan::Serve {
                from: Offset(from),
                below: Offset(8),
            })
        };
        assert_eq!(ask(&follower, 2, Some(1)), served(2));
        assert_eq!(ask(&follower, 8, None), served(8));
        for offset in [1, 9] {
            assert_eq!(ask(&follower, offset, None), Err(Error::OffsetOutOfRange));
        }
        let consumer = Reader::Consumer {
            read_committed: false,
        };
        let query = FetchQuery {
            reader: consumer,
            offset: Offset(2),
            leader_epoch: None,
            last_fetched_epoch: None,
        };
        assert_eq!(follower.plan_fetch(&query), Err(Error::NotLeader));
    }

    #[test]
    fn replicas_are_compared_under_one_leader() {
        let follower = replica(Some(state(&[1, 2, 3], &[1, 2, 3], 1)));
        assert_eq!(ask(&follower, 2, Some(0)), Err(Error::FencedLeaderEpoch));
        assert_eq!(ask(&follower, 2, Some(2)), Err(Error::UnknownLeaderEpoch));
        assert_eq!(ask(&replica(None), 2, None), Err(Error::NotLeader));
        let leading = PartitionState {
            leader: Some(BrokerId(2)),
            ..state(&[1, 2, 3], &[1, 2, 3], 1)
        };
        assert!(ask(&replica(Some(leading)), 2, Some(1)).is_ok());
    }
}
