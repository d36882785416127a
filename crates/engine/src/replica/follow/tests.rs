//! What a follower takes of a leader's answers, and what it refuses.

use super::*;
use crate::epochs::{EpochStart, Epochs};
use crate::ids::PartitionEpoch;
use crate::metadata::PartitionState;
use crate::replica::sample::{batch, state};
use crate::replica::{Acks, AppendPlan, Options};

/// Broker 1 follows broker 2 in epoch 3, with records from 10 to 20 of these epochs.
fn following(isr: &[i32], elr: &[i32], epochs: &[(i32, i64)]) -> Replica {
    let options = Options {
        min_insync_replicas: 1,
        flush_each: false,
        lag_max_ms: 1,
    };
    let found = Opened {
        log_start: Offset(10),
        log_end: Offset(20),
        flushed: Offset(20),
        high_watermark: Offset(20),
        epochs: Epochs::new(epochs.iter().map(|(epoch, start)| EpochStart {
            epoch: LeaderEpoch(*epoch),
            start: Offset(*start),
        })),
        producers: Producers::default(),
    };
    let mut replica = Replica::open(BrokerId(1), options, found);
    let state = PartitionState {
        replicas: vec![BrokerId(1), BrokerId(2)],
        isr: isr.iter().copied().map(BrokerId).collect(),
        leader: Some(BrokerId(2)),
        leader_epoch: LeaderEpoch(3),
        partition_epoch: PartitionEpoch(3),
        adding: vec![],
        removing: vec![],
        elr: elr.iter().copied().map(BrokerId).collect(),
        last_known_elr: vec![],
    };
    replica.on_metadata(&state, 0);
    replica
}

#[test]
fn what_no_leader_can_compare_goes_where_nobody_relies_on_it() {
    let log_start = Offset(3);
    let refused = Err(FollowError::OutOfRange {
        offset: Offset(20),
        log_start,
    });
    let impossible = [(1, 10), (4096, 15)];
    for (isr, elr, epochs, expected) in [
        (
            &[2][..],
            &[][..],
            &[][..],
            Ok(FollowPlan::RestartAt(log_start)),
        ),
        (
            &[2],
            &[],
            &impossible,
            Ok(FollowPlan::TruncateTo(Offset(15))),
        ),
        (
            &[2],
            &[],
            &[(4096, 5)],
            Ok(FollowPlan::TruncateTo(Offset(10))),
        ),
        // The leader's own epoch is a possible one.
        (&[2], &[], &[(1, 10), (3, 15)], refused.clone()),
        (&[2], &[], &[(1, 10)], refused.clone()),
        (&[2], &[1], &[], refused.clone()),
        (&[2, 1], &[], &[], refused.clone()),
        (&[2, 1], &[], &impossible, refused.clone()),
    ] {
        let replica = following(isr, elr, epochs);
        let asked = replica.fetch_position().expect("it follows");
        let plan = replica.plan_follow(&asked, Fetched::OutOfRange { log_start });
        assert_eq!(plan, expected, "{isr:?} {elr:?} {epochs:?}");
    }
}

#[test]
fn a_log_that_begins_after_the_leaders_end_is_begun_anew() {
    let replica = following(&[2], &[], &[(1, 10)]);
    let asked = replica.fetch_position().expect("it follows");
    let diverging = Fetched::Diverging(EpochEnd {
        epoch: LeaderEpoch(0),
        end: Offset(5),
    });
    let plan = replica.plan_follow(&asked, diverging);
    assert_eq!(plan, Ok(FollowPlan::RestartAt(Offset(5))));
}

/// Five records of producer 7 in the leader's log.
fn led(epoch: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: offset,
        partition_leader_epoch: epoch,
        ..batch(0, 0)
    }
}

fn plan(replica: &Replica, answer: Fetched<'_>) -> Result<FollowPlan, FollowError> {
    let asked = replica.fetch_position().expect("it follows");
    replica.plan_follow(&asked, answer)
}

/// Takes what the leader has behind the records of before.
fn take(
    replica: &mut Replica,
    headers: &[BatchHeader],
    high_watermark: i64,
    log_start: i64,
) -> Replicated {
    let records = Fetched::Records {
        headers,
        high_watermark: Offset(high_watermark),
        log_start: Offset(log_start),
    };
    match plan(replica, records) {
        Ok(FollowPlan::Append(batches)) => {
            replica.on_replicated(&batches);
            batches
        }
        other => panic!("it continues the log: {other:?}"),
    }
}

/// Elects it; whether it takes the first batch of producer 7 then, or knows it.
fn takes_the_first_batch(mut replica: Replica) -> bool {
    let elected = PartitionState {
        leader_epoch: LeaderEpoch(4),
        ..state(&[1, 2], &[1, 2], 4)
    };
    replica.on_metadata(&elected, 0);
    match replica.plan_append(&batch(0, 0), Acks::Leader, 0) {
        Ok(AppendPlan::Write(_)) => true,
        Ok(AppendPlan::Duplicate(_)) => false,
        Err(error) => panic!("nothing speaks against it: {error}"),
    }
}

#[test]
fn a_log_that_is_begun_anew_knows_nothing_of_what_it_had() {
    let mut replica = following(&[2], &[], &[(1, 10)]);
    let _ = take(&mut replica, &[led(3, 20)], 25, 10);
    replica.on_restarted_at(Offset(40));
    let asked = replica.fetch_position().expect("it follows");
    assert_eq!((asked.offset, asked.log_start), (Offset(40), Offset(40)));
    assert_eq!(asked.last_fetched_epoch, None);
    assert_eq!(replica.high_watermark(), Offset(40));
    assert_eq!(replica.flushed(), Offset(40));
    // It is a leader later of what it may never have had.
    assert!(takes_the_first_batch(replica));
}

#[test]
fn who_has_written_is_known_from_the_leaders_batches_and_from_what_was_read_again() {
    let mut read = Producers::default();
    read.on_appended(&led(1, 10));
    let mut replica = following(&[2], &[], &[(1, 10)]);
    assert!(takes_the_first_batch(replica.clone()));
    let mut told = replica.clone();
    let _ = take(&mut told, &[led(3, 20)], 25, 10);
    assert!(!takes_the_first_batch(told.clone()));
    replica.on_producers_read(read);
    assert!(!takes_the_first_batch(replica));
    told.on_truncated(Offset(20), Producers::default());
    assert!(takes_the_first_batch(told));
}

#[test]
fn what_a_leader_calls_committed_is_so_as_far_as_it_is_here_and_its_log_start_no_further() {
    for (high_watermark, log_start, committed, start) in [
        (22, 23, 22, Some(22)),
        (22, 11, 22, Some(11)),
        (22, 10, 22, None),
        (99, 0, 25, None),
        // A new leader may know less yet.
        (5, 30, 20, Some(20)),
    ] {
        let mut replica = following(&[2], &[], &[(1, 10)]);
        let batches = take(&mut replica, &[led(3, 20)], high_watermark, log_start);
        assert_eq!(replica.high_watermark(), Offset(committed));
        let told = replica.log_start_to_follow(&batches);
        assert_eq!(told, start.map(Offset), "{high_watermark} {log_start}");
    }
}

#[test]
fn what_does_not_continue_the_log_is_not_taken() {
    let replica = following(&[2], &[], &[(1, 10), (2, 15)]);
    let gap = |expected, got| FollowError::Gap {
        expected: Offset(expected),
        got: Offset(got),
    };
    let epoch = |got, low| FollowError::Epoch {
        got: LeaderEpoch(got),
        low: LeaderEpoch(low),
        high: LeaderEpoch(3),
    };
    for (headers, refused) in [
        (vec![led(2, 20), led(3, 25)], None),
        // Compaction leaves holes.
        (vec![led(3, 22), led(3, 30)], None),
        (vec![led(3, 19)], Some(gap(20, 19))),
        (vec![led(2, 20), led(3, 24)], Some(gap(25, 24))),
        (vec![led(1, 20)], Some(epoch(1, 2))),
        (vec![led(4, 20)], Some(epoch(4, 2))),
        (vec![led(3, 20), led(2, 25)], Some(epoch(2, 3))),
    ] {
        let records = Fetched::Records {
            headers: &headers,
            high_watermark: Offset(20),
            log_start: Offset(10),
        };
        assert_eq!(plan(&replica, records).err(), refused, "{headers:?}");
    }
}

#[test]
fn a_log_is_cut_to_where_both_may_still_agree() {
    let replica = following(&[2], &[], &[(1, 10), (3, 15)]);
    for (epoch, end, cut) in [
        (1, 12, 12),
        (1, 18, 15),
        (3, 17, 17),
        (3, 30, 20),
        // An epoch that is not here: the one before it ends where both may differ.
        (2, 18, 15),
        (2, 12, 15),
        // Later than all that is known here.
        (4, 18, 18),
        // Earlier: nothing here is of it.
        (0, 12, 10),
    ] {
        let diverging = Fetched::Diverging(EpochEnd {
            epoch: LeaderEpoch(epoch),
            end: Offset(end),
        });
        let expected = Ok(FollowPlan::TruncateTo(Offset(cut)));
        assert_eq!(plan(&replica, diverging), expected, "{epoch} to {end}");
    }
}

#[test]
fn after_a_cut_nothing_is_known_of_what_is_gone() {
    for (end, last) in [(20, Some(2)), (15, Some(1)), (10, None)] {
        let mut replica = following(&[2], &[], &[(1, 10), (2, 15)]);
        replica.on_truncated(Offset(end), Producers::default());
        let asked = replica.fetch_position().expect("it follows");
        assert_eq!(asked.offset, Offset(end));
        assert_eq!(asked.last_fetched_epoch, last.map(LeaderEpoch));
        assert_eq!(replica.flushed(), Offset(end));
        assert_eq!(replica.high_watermark(), Offset(end));
    }
}

#[test]
#[should_panic(expected = "a cut is within the log")]
fn a_cut_does_not_make_a_log_longer() {
    following(&[2], &[], &[]).on_truncated(Offset(21), Producers::default());
}

#[test]
fn where_the_leader_has_deleted_what_comes_next_the_log_is_begun_anew() {
    let out_of_range = |replica: &Replica, log_start: i64| {
        let log_start = Offset(log_start);
        plan(replica, Fetched::OutOfRange { log_start })
    };
    // Although it is in the ISR.
    let mut replica = following(&[2, 1], &[], &[(1, 10)]);
    let restart = |at| Ok(FollowPlan::RestartAt(Offset(at)));
    assert_eq!(out_of_range(&replica, 21), restart(21));
    assert!(out_of_range(&replica, 20).is_err());
    // There is nothing to be lost then.
    replica.on_restarted_at(Offset(40));
    assert_eq!(out_of_range(&replica, 20), restart(20));
}

#[test]
fn a_follower_that_has_to_flush_does_so_before_it_asks_for_more() {
    let mut replica = following(&[2], &[], &[(1, 10)]);
    let _ = take(&mut replica, &[led(3, 20)], 20, 10);
    replica.on_options(Options {
        flush_each: true,
        ..replica.options()
    });
    assert_eq!(replica.fetch_position(), None);
    replica.on_flushed(Offset(25), 0);
    let asked = replica.fetch_position().expect("all is on disk");
    assert_eq!(asked.offset, Offset(25));
}
