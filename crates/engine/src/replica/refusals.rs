//! Producers whose next batch a leader has refused for a reason that passes.
//!
//! What such a producer has under way behind that batch is out of order for no other reason, and must not be told so: an
//! idempotent client may begin a new epoch then, and send again under it whatever has no answer yet, to other
//! partitions too, where it may have arrived and nobody knows it any more. And where the refused batch would have been
//! the first of its producer, the one behind it would be taken, as an unknown producer may begin with any sequence; the
//! first could never follow.
//!
//! Clients send again in order: what comes a second time, and the refused batch not in between, is of a client that has given
//! that one up. It hears of the gap, which has it go on in a new epoch; what it sends in this one all the same is judged as
//! if nothing had been refused.

use std::collections::BTreeMap;

use wire::batch::BatchHeader;

use super::error::Error;
use crate::ids::ProducerId;
use crate::producer::{self, is_behind};

/// A client that has not sent a batch again for so long has given it up, as Java's does by default.
const REMEMBERED_MS: u64 = 120_000;
/// How many producers are remembered at most; of others a batch behind is judged as if nothing had been refused.
const MOST: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Refusal {
    epoch: i16,
    sequence: i32,
    at_ms: u64,
    /// The furthest that came behind it since.
    furthest: Option<i32>,
    /// The client has been told of the gap since.
    is_told: bool,
}

impl Refusal {
    /// What comes before the refused batch is not held back by it: it may have been under way to the leader before.
    fn holds_back(&self, header: &BatchHeader, now_ms: u64) -> bool {
        self.epoch == header.producer_epoch
            && now_ms.saturating_sub(self.at_ms) < REMEMBERED_MS
            && is_behind(header.base_sequence, self.sequence)
    }

    /// Whether the refused batch may still come when this one is in the log.
    fn outlives(&self, header: &BatchHeader) -> bool {
        self.epoch == header.producer_epoch && is_behind(self.sequence, header.last_sequence())
    }

    /// Its client has it still: it comes again, or what is before it.
    fn expect_again(&mut self) {
        self.furthest = None;
        self.is_told = false;
    }
}

/// Of a leader, for as long as it leads.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    by_id: BTreeMap<ProducerId, Refusal>,
}

impl Refusals {
    /// A batch was refused that was its producer's turn. The earliest of them counts.
    pub fn note(&mut self, header: &BatchHeader, now_ms: u64) {
        let id = ProducerId(header.producer_id);
        let is_behind = |r: &Refusal| r.holds_back(header, now_ms);
        if !header.has_producer_id() || self.by_id.get(&id).is_some_and(is_behind) {
            return;
        }
        if self.by_id.len() >= MOST {
            self.by_id
                .retain(|_, r| now_ms.saturating_sub(r.at_ms) < REMEMBERED_MS);
        }
        if self.by_id.len() < MOST || self.by_id.contains_key(&id) {
            let refusal = Refusal {
                epoch: header.producer_epoch,
                sequence: header.base_sequence,
                at_ms: now_ms,
                furthest: None,
                is_told: false,
            };
            self.by_id.insert(id, refusal);
        }
    }

    /// Holds a batch back while another of its producer, before it, was refused and has not come again.
    pub fn check(&mut self, header: &BatchHeader, now_ms: u64) -> Result<(), Error> {
        let id = ProducerId(header.producer_id);
        let Some(refusal) = self.by_id.get_mut(&id) else {
            return Ok(());
        };
        if !refusal.holds_back(header, now_ms) {
            return Ok(());
        }
        let is_new = |furthest| is_behind(header.base_sequence, furthest);
        if !refusal.furthest.is_none_or(is_new) {
            refusal.is_told = true;
            return Err(Error::Producer(producer::Error::OutOfOrderSequence {
                producer: id,
                got: header.base_sequence,
                expected: refusal.sequence,
            }));
        }
        if refusal.is_told {
            self.by_id.remove(&id);
            return Ok(());
        }
        refusal.furthest = Some(header.base_sequence);
        Err(Error::BehindRefused)
    }

    /// A batch was held back for another reason: if it is the refused one, that has come again.
    pub fn on_held_back(&mut self, header: &BatchHeader) {
        if let Some(refusal) = self.by_id.get_mut(&ProducerId(header.producer_id))
            && refusal.epoch == header.producer_epoch
            && refusal.sequence == header.base_sequence
        {
            refusal.expect_again();
        }
    }

    /// A batch of this producer is in the log.
    pub fn on_appended(&mut self, header: &BatchHeader) {
        let id = ProducerId(header.producer_id);
        match self.by_id.get_mut(&id) {
            Some(refusal) if refusal.outlives(header) => refusal.expect_again(),
            _ => drop(self.by_id.remove(&id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::ErrorCode;

    use super::*;
    use crate::ids::LeaderEpoch;
    use crate::metadata::PartitionState;
    use crate::replica::sample::{ALL, batch, leading, state};
    use crate::replica::{Acks, AppendPlan, Error, Replica};

    /// Sends a batch of five records with acks=all, and writes it where that is the answer.
    fn send(leader: &mut Replica, epoch: i16, sequence: i32, now_ms: u64) -> Result<(), ErrorCode> {
        match leader.plan_append(&batch(epoch, sequence), Acks::All, now_ms) {
            Ok(AppendPlan::Write(write)) => leader.on_appended(&write, now_ms),
            Ok(AppendPlan::Duplicate(_)) => {}
            Err(error) => return Err(error.code()),
        }
        Ok(())
    }

    /// A leader without its ISR, which has refused the batch that begins with this sequence, and has what is before it.
    fn refusing(begin: i32) -> Replica {
        let mut leader = leading(ALL, ALL);
        if begin > 0 {
            assert_eq!(send(&mut leader, 0, 0, 0), Ok(()));
        }
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        assert_eq!(send(&mut leader, 0, begin, 1), REFUSED);
        leader
    }

    const REFUSED: Result<(), ErrorCode> = Err(ErrorCode::NotEnoughReplicas);
    const OUT_OF_ORDER: Result<(), ErrorCode> = Err(ErrorCode::OutOfOrderSequenceNumber);

    #[test]
    fn what_was_under_way_behind_a_refused_batch_is_to_be_sent_again_too() {
        // With and without a batch of this producer in the log.
        for begin in [0, 5] {
            let mut leader = refusing(begin);
            assert_eq!(send(&mut leader, 0, begin + 5, 1), REFUSED);
            leader.on_metadata(&state(ALL, ALL, 3), 2);
            assert_eq!(send(&mut leader, 0, begin + 10, 2), REFUSED);
            for sequence in [begin, begin + 5, begin + 10] {
                assert_eq!(send(&mut leader, 0, sequence, 3), Ok(()));
            }
            assert_eq!(send(&mut leader, 0, begin + 20, 3), OUT_OF_ORDER);
        }
    }

    #[test]
    fn what_the_log_could_not_take_is_remembered_as_well() {
        let mut leader = leading(ALL, ALL);
        let Ok(AppendPlan::Write(write)) = leader.plan_append(&batch(0, 0), Acks::All, 0) else {
            panic!("nothing speaks against it")
        };
        leader.on_refused(&write, 0);
        let behind = leader.plan_append(&batch(0, 5), Acks::All, 0);
        assert_eq!(behind, Err(Error::BehindRefused));
        assert_eq!(send(&mut leader, 0, 0, 0), Ok(()));
        assert_eq!(send(&mut leader, 0, 5, 0), Ok(()));
    }

    #[test]
    fn what_comes_before_a_refused_batch_is_not_held_back_by_it() {
        // Sent to the leader before, it comes again only when a later one has been refused here.
        let mut leader = leading(ALL, ALL);
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        assert_eq!(send(&mut leader, 0, 5, 1), REFUSED);
        leader.on_metadata(&state(ALL, ALL, 3), 2);
        assert_eq!(send(&mut leader, 0, 10, 2), REFUSED);
        assert_eq!(send(&mut leader, 0, 0, 3), Ok(()));
        // The refused one is still to come before what is behind it.
        assert_eq!(send(&mut leader, 0, 10, 4), REFUSED);
        assert_eq!(send(&mut leader, 0, 5, 4), Ok(()));
        assert_eq!(send(&mut leader, 0, 10, 4), Ok(()));
    }

    #[test]
    fn what_has_the_refused_batch_within_it_leaves_nothing_to_wait_for() {
        let ten = BatchHeader {
            last_offset_delta: 9,
            record_count: 10,
            ..batch(0, 0)
        };
        let mut refusals = Refusals::default();
        refusals.note(&batch(0, 5), 0);
        refusals.on_appended(&ten);
        assert!(refusals.check(&batch(0, 10), 0).is_ok());
    }

    #[test]
    fn of_several_that_are_refused_the_earliest_is_waited_for() {
        let mut leader = leading(ALL, ALL);
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        assert_eq!(send(&mut leader, 0, 5, 1), REFUSED);
        assert_eq!(send(&mut leader, 0, 0, 1), REFUSED);
        leader.on_metadata(&state(ALL, ALL, 3), 2);
        assert_eq!(send(&mut leader, 0, 5, 2), REFUSED);
        assert_eq!(send(&mut leader, 0, 0, 3), Ok(()));
        assert_eq!(send(&mut leader, 0, 5, 3), Ok(()));
    }

    /// Its first batch was sent to a broker that did not lead yet, or to the leader before; a Java producer of a run of chaos
    /// sent it for ever, since the second had been taken.
    #[test]
    fn a_new_leader_takes_a_producer_that_it_does_not_know_from_its_first_batch_on() {
        let mut leader = leading(ALL, ALL);
        assert_eq!(send(&mut leader, 0, 5, 1), REFUSED);
        for sequence in [0, 5, 10] {
            assert_eq!(send(&mut leader, 0, sequence, 2), Ok(()));
        }
        let again = PartitionState {
            leader_epoch: LeaderEpoch(9),
            ..state(ALL, ALL, 9)
        };
        leader.on_metadata(&again, 100_000);
        let of_another = BatchHeader {
            producer_id: 8,
            ..batch(0, 5)
        };
        let plan =
            |leader: &mut Replica, now_ms| leader.plan_append(&of_another, Acks::All, now_ms);
        assert_eq!(plan(&mut leader, 129_999), Err(Error::BehindRefused));
        assert!(plan(&mut leader, 130_000).is_ok());
    }

    #[test]
    fn a_new_epoch_leaves_behind_what_was_refused_in_the_one_before() {
        let mut leader = leading(ALL, ALL);
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        assert_eq!(send(&mut leader, 0, 5, 1), REFUSED);
        leader.on_metadata(&state(ALL, ALL, 3), 2);
        assert_eq!(send(&mut leader, 1, 0, 3), Ok(()));
        assert_eq!(send(&mut leader, 1, 5, 3), Ok(()));
    }

    #[test]
    fn what_was_sent_before_a_leader_was_one_may_come_behind_what_is_sent_to_it() {
        let mut leader = leading(ALL, ALL);
        assert_eq!(send(&mut leader, 0, 0, 0), Ok(()));
        // A gap of which the leader knows that nothing was under way.
        assert_eq!(send(&mut leader, 0, 10, 1), OUT_OF_ORDER);
        let again = |epoch: i32| PartitionState {
            leader_epoch: LeaderEpoch(epoch),
            ..state(ALL, ALL, epoch)
        };
        leader.on_metadata(&again(7), 10);
        assert_eq!(send(&mut leader, 0, 10, 11), REFUSED);
        assert_eq!(send(&mut leader, 1, 5, 11), REFUSED);
        for sequence in [0, 5, 10] {
            assert_eq!(send(&mut leader, 0, sequence, 12), Ok(()));
        }
        assert_eq!(send(&mut leader, 0, 20, 13), OUT_OF_ORDER);
        leader.on_metadata(&again(8), 20);
        assert_eq!(send(&mut leader, 0, 20, 30_020), OUT_OF_ORDER);
    }

    #[test]
    fn a_client_that_has_given_a_batch_up_is_not_held_back() {
        let mut leader = leading(ALL, ALL);
        assert_eq!(send(&mut leader, 0, 0, 0), Ok(()));
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        assert_eq!(send(&mut leader, 0, 5, 0), REFUSED);
        leader.on_metadata(&state(ALL, ALL, 3), 0);
        assert_eq!(send(&mut leader, 0, 10, REMEMBERED_MS - 1), REFUSED);
        assert_eq!(send(&mut leader, 0, 15, REMEMBERED_MS - 1), REFUSED);
        assert_eq!(send(&mut leader, 0, 15, REMEMBERED_MS), OUT_OF_ORDER);
        // What it does then.
        assert_eq!(send(&mut leader, 1, 0, 1), Ok(()));
        assert_eq!(send(&mut leader, 1, 5, 1), Ok(()));
    }

    #[test]
    fn a_batch_that_comes_twice_without_the_refused_one_is_told_of_the_gap() {
        // With and without a batch of this producer in the log.
        for begin in [0, 5] {
            let mut leader = refusing(begin);
            leader.on_metadata(&state(ALL, ALL, 3), 2);
            assert_eq!(send(&mut leader, 0, begin + 5, 2), REFUSED);
            assert_eq!(send(&mut leader, 0, begin + 10, 2), REFUSED);
            assert_eq!(send(&mut leader, 0, begin + 10, 3), OUT_OF_ORDER);
            assert_eq!(send(&mut leader, 0, begin + 5, 3), OUT_OF_ORDER);
            // It is late, and in time.
            assert_eq!(send(&mut leader, 0, begin, 4), Ok(()));
            assert_eq!(send(&mut leader, 0, begin + 5, 4), Ok(()));
        }
    }

    /// As aiokafka does: the batch that hears of the gap fails, and no new epoch begins.
    #[test]
    fn who_was_told_of_the_gap_and_goes_on_all_the_same_is_judged_without_it() {
        for (begin, judged) in [(0, Ok(())), (5, OUT_OF_ORDER)] {
            let mut leader = refusing(begin);
            leader.on_metadata(&state(ALL, ALL, 3), 2);
            // The time in which the partition may have been led by another is over.
            assert_eq!(send(&mut leader, 0, begin + 5, 40_000), REFUSED);
            assert_eq!(send(&mut leader, 0, begin + 5, 40_000), OUT_OF_ORDER);
            assert_eq!(send(&mut leader, 0, begin + 10, 40_000), judged);
        }
    }

    #[test]
    fn a_refused_batch_that_is_held_back_for_another_reason_has_not_been_given_up() {
        let mut leader = leading(ALL, ALL);
        leader.on_metadata(&state(ALL, &[1], 2), 0);
        assert_eq!(send(&mut leader, 0, 5, 1), REFUSED);
        leader.on_metadata(&state(ALL, ALL, 3), 2);
        for _ in 0..3 {
            // Not the first of its producer, whom the new leader does not know.
            assert_eq!(send(&mut leader, 0, 5, 2), REFUSED);
            assert_eq!(send(&mut leader, 0, 10, 2), REFUSED);
        }
        assert_eq!(send(&mut leader, 0, 10, 2), OUT_OF_ORDER);
    }

    #[test]
    fn who_sends_the_refused_batch_again_has_not_given_it_up() {
        let mut leader = leading(ALL, ALL);
        let refuse = |leader: &mut Replica| {
            let Ok(AppendPlan::Write(write)) = leader.plan_append(&batch(0, 0), Acks::All, 0)
            else {
                panic!("nothing speaks against it")
            };
            leader.on_refused(&write, 0);
        };
        for _ in 0..3 {
            refuse(&mut leader);
            assert_eq!(send(&mut leader, 0, 5, 0), REFUSED);
        }
        assert_eq!(send(&mut leader, 0, 5, 0), OUT_OF_ORDER);
    }

    #[test]
    fn of_too_many_producers_the_first_are_remembered_until_they_have_given_up() {
        let of = |producer_id: i64, sequence: i32| BatchHeader {
            producer_id,
            ..batch(0, sequence)
        };
        let mut refusals = Refusals::default();
        let most = i64::try_from(MOST).expect("a small number");
        for id in 0..most {
            refusals.note(&of(id, 0), 0);
        }
        refusals.note(&of(most, 0), REMEMBERED_MS - 1);
        assert!(refusals.check(&of(most - 1, 5), REMEMBERED_MS - 1).is_err());
        assert!(refusals.check(&of(most, 5), REMEMBERED_MS - 1).is_ok());
        // One that is remembered comes again all the same.
        assert!(refusals.check(&of(1, 5), REMEMBERED_MS - 1).is_err());
        refusals.note(&of(1, 0), REMEMBERED_MS - 1);
        let behind = refusals.check(&of(1, 5), REMEMBERED_MS - 1);
        assert_eq!(behind, Err(Error::BehindRefused));
        refusals.note(&of(most, 0), 2 * REMEMBERED_MS);
        assert!(refusals.check(&of(most, 5), 2 * REMEMBERED_MS).is_err());
        assert_eq!(refusals.by_id.len(), 1);
    }

    #[test]
    fn who_has_no_producer_id_is_behind_nobody() {
        let anonymous = BatchHeader {
            producer_id: -1,
            ..batch(-1, -1)
        };
        let mut refusals = Refusals::default();
        refusals.note(&anonymous, 0);
        assert!(refusals.by_id.is_empty());
    }

    #[test]
    fn a_gap_behind_what_this_leader_has_taken_is_one() {
        let mut leader = leading(ALL, ALL);
        // A single record, the first of this leadership.
        let one = BatchHeader {
            last_offset_delta: 0,
            record_count: 1,
            ..batch(0, 0)
        };
        let Ok(AppendPlan::Write(write)) = leader.plan_append(&one, Acks::All, 0) else {
            panic!("nothing speaks against it")
        };
        leader.on_appended(&write, 0);
        assert_eq!(send(&mut leader, 0, 5, 0), OUT_OF_ORDER);
    }
}
