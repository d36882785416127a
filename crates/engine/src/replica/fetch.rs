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
    use crate::epochs::{EpochStart, Epochs};
    use crate::metadata::PartitionState;
    use crate::replica::Opened;
    use crate::replica::sample::{ALL, INCARNATION, OPTIONS, fetch, progress, state};

    /// Ten records, eight of them known to be committed.
    fn replica(told: Option<PartitionState>) -> Replica {
        let log = Opened {
            log_start: Offset(2),
            log_end: Offset(10),
            high_watermark: Offset(8),
            ..Opened::default()
        };
        let mut replica = Replica::open(BrokerId(2), OPTIONS, log);
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

    /// Broker 1 leads in epoch 4. Of the ten records up to 10, which are of older epochs, those below 8 are known to be
    /// committed.
    fn led() -> Replica {
        let epochs = [(0, 2), (3, 6)].map(|(epoch, start)| EpochStart {
            epoch: LeaderEpoch(epoch),
            start: Offset(start),
        });
        let log = Opened {
            log_start: Offset(2),
            log_end: Offset(10),
            high_watermark: Offset(8),
            epochs: Epochs::new(epochs),
            ..Opened::default()
        };
        let mut leader = Replica::open(BrokerId(1), OPTIONS, log);
        let told = PartitionState {
            leader_epoch: LeaderEpoch(4),
            ..state(ALL, ALL, 1)
        };
        leader.on_metadata(&told, 0);
        leader
    }

    const CONSUMER: Reader = Reader::Consumer {
        read_committed: false,
    };

    fn follower(id: i32, epoch: Option<BrokerEpoch>) -> Reader {
        Reader::Follower {
            id: BrokerId(id),
            broker_epoch: epoch,
        }
    }

    /// What the leader answers, in short: up to where it serves, or which epoch ends where.
    #[derive(Debug, PartialEq)]
    enum Answer {
        Below(i64),
        Ends(i32, i64),
    }

    fn answer(
        leader: &Replica,
        reader: Reader,
        offset: i64,
        last: Option<i32>,
    ) -> Result<Answer, Error> {
        let plan = leader.plan_fetch(&FetchQuery {
            reader,
            offset: Offset(offset),
            leader_epoch: Some(LeaderEpoch(4)),
            last_fetched_epoch: last.map(LeaderEpoch),
        })?;
        Ok(match plan {
            FetchPlan::Serve { from, below } => {
                assert_eq!(from, Offset(offset));
                Answer::Below(below.0)
            }
            FetchPlan::Diverging(end) => Answer::Ends(end.epoch.0, end.end.0),
        })
    }

    #[test]
    fn only_followers_are_shown_what_is_not_committed_and_nobody_what_there_is_not() {
        let leader = led();
        let committed = Reader::Consumer {
            read_committed: true,
        };
        for (reader, below) in [
            (CONSUMER, 8),
            (committed, 8),
            (follower(2, Some(INCARNATION)), 10),
        ] {
            for offset in [2, 10] {
                let seen = answer(&leader, reader, offset, None);
                assert_eq!(seen, Ok(Answer::Below(below)), "{reader:?}");
            }
            for offset in [1, 11] {
                let seen = answer(&leader, reader, offset, None);
                assert_eq!(seen, Err(Error::OffsetOutOfRange), "{reader:?} {offset}");
            }
        }
    }

    #[test]
    fn whose_log_differs_is_told_where_the_epoch_ends_that_both_may_have() {
        let leader = led();
        for (offset, last, expected) in [
            (10, 4, Ok(Answer::Below(10))),
            (10, 3, Ok(Answer::Below(10))),
            (6, 0, Ok(Answer::Below(10))),
            // More of the epoch than there is.
            (7, 0, Ok(Answer::Ends(0, 6))),
            // An epoch that is not in this log, however little of it the follower has.
            (7, 2, Ok(Answer::Ends(0, 6))),
            (5, 2, Ok(Answer::Ends(0, 6))),
            (2, 2, Ok(Answer::Ends(0, 6))),
            // Of what is below the log start no epoch is known.
            (1, 2, Err(Error::OffsetOutOfRange)),
            (10, 5, Err(Error::OffsetOutOfRange)),
        ] {
            let reader = follower(2, Some(INCARNATION));
            let seen = answer(&leader, reader, offset, Some(last));
            assert_eq!(seen, expected, "{offset} of epoch {last}");
        }
    }

    #[test]
    fn a_follower_without_a_replica_or_of_an_earlier_incarnation_is_refused() {
        let mut leader = led();
        fetch(&mut leader, 2, 10, 0);
        let ask = |id, epoch: Option<i64>| {
            let reader = follower(id, epoch.map(BrokerEpoch));
            answer(&leader, reader, 10, None).err()
        };
        assert_eq!(ask(9, Some(5)), Some(Error::NotReplica));
        assert_eq!(ask(2, Some(4)), Some(Error::StaleBrokerEpoch));
        assert_eq!(ask(2, Some(5)), None);
        assert_eq!(ask(2, Some(6)), None);
        // It may be of before KIP-903.
        assert_eq!(ask(2, None), None);
    }

    #[test]
    fn what_an_earlier_incarnation_had_does_not_count_for_the_next() {
        let mut leader = led();
        fetch(&mut leader, 2, 10, 7);
        fetch(&mut leader, 2, 9, 8);
        let known = progress(&leader, 2);
        assert_eq!(known.log_end, Some(Offset(9)));
        assert_eq!(known.caught_up_ms, Some(7));
        let next = BrokerEpoch(6);
        leader.on_follower_fetch(BrokerId(2), Some(next), Offset(9), 8);
        let known = progress(&leader, 2);
        assert_eq!(known.log_end, Some(Offset(9)));
        assert_eq!(known.caught_up_ms, None);
        assert_eq!(known.broker_epoch, Some(next));
    }

    #[test]
    fn the_latest_offset_is_not_told_before_all_is_committed_that_was_there_at_the_election() {
        let mut leader = led();
        let fetcher = follower(2, Some(INCARNATION));
        for end in [8, 9] {
            fetch(&mut leader, 2, 10, 0);
            fetch(&mut leader, 3, end, 0);
            assert_eq!(leader.high_watermark(), Offset(end));
            assert_eq!(leader.is_settling(), Ok(true));
            let told = leader.latest_offset(CONSUMER);
            assert_eq!(told, Err(Error::OffsetNotAvailable));
            assert_eq!(leader.latest_offset(fetcher), Ok(Offset(10)));
        }
        fetch(&mut leader, 3, 10, 0);
        assert_eq!(leader.is_settling(), Ok(false));
        assert_eq!(leader.latest_offset(CONSUMER), Ok(Offset(10)));
        let other = replica(Some(state(ALL, ALL, 1)));
        assert_eq!(other.latest_offset(CONSUMER), Err(Error::NotLeader));
    }

    #[test]
    fn where_an_epoch_ends_is_told_by_the_leader_of_whom_asks_for_it() {
        let leader = led();
        let ask = |asked: i32, current: Option<i32>| {
            leader
                .end_of_epoch(LeaderEpoch(asked), current.map(LeaderEpoch))
                .map(|end| end.map(|end| (end.epoch.0, end.end.0)))
        };
        assert_eq!(ask(2, None), Ok(Some((0, 6))));
        assert_eq!(ask(3, Some(4)), Ok(Some((3, 10))));
        assert_eq!(ask(9, Some(4)), Ok(None));
        assert_eq!(ask(3, Some(3)), Err(Error::FencedLeaderEpoch));
        assert_eq!(ask(3, Some(5)), Err(Error::UnknownLeaderEpoch));
        let follower = replica(Some(state(ALL, ALL, 1)));
        let refused = follower.end_of_epoch(LeaderEpoch(0), Some(LeaderEpoch(1)));
        assert_eq!(refused, Err(Error::NotLeader));
    }
}
