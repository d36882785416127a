//! For each anomaly: a history that has it is rejected with just that kind, and its innocent neighbour is accepted.

use checker::history::{Event, Place, RecordId, Seen, What};
use checker::{Kind, check};

fn at() -> Place {
    Place::new("t", 0)
}

fn p(producer: u32, n: u64) -> RecordId {
    RecordId { producer, n }
}

fn seen(records: &[(i64, RecordId)]) -> Vec<Seen> {
    records
        .iter()
        .map(|(offset, record)| Seen {
            offset: *offset,
            record: Some(*record),
        })
        .collect()
}

fn sent(n: u64) -> What {
    What::Sent {
        at: at(),
        record: p(1, n),
        acks: -1,
        idempotent: true,
    }
}

fn acked(n: u64, offset: impl Into<Option<i64>>) -> What {
    What::Acked {
        at: at(),
        record: p(1, n),
        offset: offset.into(),
    }
}

fn refused(n: u64, definite: bool) -> What {
    What::Refused {
        at: at(),
        record: p(1, n),
        error: "NOT_ENOUGH_REPLICAS".into(),
        definite,
    }
}

fn last(log_start: i64, end: i64, records: &[(i64, RecordId)]) -> What {
    What::FinalRead {
        at: at(),
        log_start,
        end,
        records: seen(records),
    }
}

fn fetched(from: i64, next: i64, records: &[(i64, RecordId)]) -> What {
    What::Fetched {
        at: at(),
        leader_epoch: None,
        sent_us: 0,
        from,
        next,
        high_watermark: next,
        log_start: 0,
        records: seen(records),
    }
}

fn latest(sent_us: u64, offset: i64) -> What {
    What::Latest {
        at: at(),
        leader_epoch: None,
        sent_us,
        offset,
    }
}

fn assigned(member: &str, generation: i32, partitions: &[i32]) -> What {
    What::Assigned {
        group: "g".into(),
        member: member.into(),
        generation,
        places: partitions.iter().map(|n| Place::new("t", *n)).collect(),
    }
}

fn began(committed: Option<i64>, sent_us: u64, from: i64) -> What {
    What::Began {
        group: "g".into(),
        member: "m".into(),
        at: at(),
        committed,
        sent_us,
        from,
    }
}

fn polled(from: i64, next: i64) -> What {
    What::Polled {
        group: "g".into(),
        member: "m".into(),
        at: at(),
        from,
        next,
        records: Vec::new(),
    }
}

fn committing(offset: i64) -> What {
    What::Committing {
        group: "g".into(),
        member: "m".into(),
        generation: 1,
        at: at(),
        offset,
    }
}

fn committed(offset: i64, sent_us: u64) -> What {
    What::Committed {
        group: "g".into(),
        member: "m".into(),
        generation: 1,
        at: at(),
        offset,
        sent_us,
    }
}

fn told(offset: impl Into<Option<i64>>, sent_us: u64) -> What {
    What::CommittedSeen {
        group: "g".into(),
        at: at(),
        offset: offset.into(),
        sent_us,
    }
}

fn leader(broker: i32, leader_epoch: i32) -> What {
    What::Leader {
        at: at(),
        broker,
        leader_epoch,
    }
}

fn replica(broker: i32, high_watermark: i64, batches: &[(i64, i64, u64)]) -> What {
    What::Replica {
        at: at(),
        broker,
        log_start: 0,
        high_watermark,
        batches: batches.to_vec(),
    }
}

fn start(log_start: i64) -> What {
    What::Start {
        at: at(),
        log_start,
    }
}

fn may_lose() -> What {
    What::MayLose {
        at: at(),
        why: "unclean election".into(),
    }
}

/// Ten microseconds apart, of one client.
fn history(whats: Vec<What>) -> Vec<Event> {
    let event = |(number, what)| Event {
        at_us: 10 * (number as u64 + 1),
        who: "client".into(),
        what,
    };
    whats.into_iter().enumerate().map(event).collect()
}

#[track_caller]
fn rejects(kind: Kind, whats: Vec<What>) {
    let events = history(whats);
    let report = check(&events);
    let kinds: Vec<_> = report.by_kind().into_keys().collect();
    assert_eq!(kinds, [kind], "{}", report.story(&events, 10));
    for anomaly in &report.anomalies {
        assert!(!anomaly.events.is_empty(), "{anomaly} shows no event");
        assert!(anomaly.events.is_sorted(), "{anomaly} is told backwards");
    }
}

#[track_caller]
fn accepts(whats: Vec<What>) {
    let events = history(whats);
    let report = check(&events);
    assert!(report.anomalies.is_empty(), "{}", report.story(&events, 10));
}

#[test]
fn lost_write() {
    rejects(Kind::LostWrite, vec![sent(0), acked(0, 0), last(0, 0, &[])]);
    rejects(
        Kind::LostWrite,
        vec![sent(0), acked(0, None), last(0, 0, &[])],
    );
    // Not acknowledged, taken by retention, or let go by an unclean election: nobody has promised it.
    accepts(vec![sent(0), last(0, 0, &[])]);
    accepts(vec![sent(0), refused(0, false), last(0, 0, &[])]);
    accepts(vec![sent(0), acked(0, 0), start(1), last(1, 1, &[])]);
    accepts(vec![sent(0), acked(0, 0), may_lose(), last(0, 0, &[])]);
}

#[test]
fn a_log_start_that_nobody_has_moved_hides_no_loss() {
    rejects(Kind::LostWrite, vec![sent(0), acked(0, 0), last(1, 1, &[])]);
    rejects(
        Kind::LostWrite,
        vec![
            sent(0),
            acked(0, 0),
            sent(1),
            acked(1, 1),
            start(1),
            last(1, 1, &[]),
        ],
    );
}

#[test]
fn acks_of_the_leader_alone_may_be_lost() {
    let of_leader = What::Sent {
        at: at(),
        record: p(1, 0),
        acks: 1,
        idempotent: false,
    };
    accepts(vec![of_leader, acked(0, 0), last(0, 0, &[])]);
}

#[test]
fn duplicate() {
    let twice = &[(0, p(1, 0)), (1, p(1, 0))];
    rejects(
        Kind::Duplicate,
        vec![sent(0), acked(0, 0), last(0, 2, twice)],
    );
    let plain = What::Sent {
        at: at(),
        record: p(1, 0),
        acks: -1,
        idempotent: false,
    };
    accepts(vec![plain, acked(0, 0), last(0, 2, twice)]);
}

#[test]
fn reordered() {
    rejects(
        Kind::Reordered,
        vec![sent(0), sent(1), last(0, 2, &[(0, p(1, 1)), (1, p(1, 0))])],
    );
    let other = What::Sent {
        at: at(),
        record: p(2, 0),
        acks: -1,
        idempotent: true,
    };
    // Two producers have no order.
    accepts(vec![
        sent(0),
        sent(1),
        other,
        last(0, 3, &[(0, p(1, 0)), (1, p(2, 0)), (2, p(1, 1))]),
    ]);
}

#[test]
fn phantom() {
    rejects(
        Kind::Phantom,
        vec![sent(0), last(0, 2, &[(0, p(1, 0)), (1, p(9, 9))])],
    );
    // Its answer has never come, and it is there all the same.
    accepts(vec![sent(0), last(0, 1, &[(0, p(1, 0))])]);
}

#[test]
fn refused_but_there() {
    let there = || last(0, 1, &[(0, p(1, 0))]);
    rejects(
        Kind::RefusedButThere,
        vec![sent(0), refused(0, true), there()],
    );
    accepts(vec![sent(0), refused(0, false), there()]);
}

#[test]
fn inconsistent_offsets() {
    rejects(
        Kind::InconsistentOffsets,
        vec![sent(0), acked(0, 5), last(0, 1, &[(0, p(1, 0))])],
    );
    rejects(
        Kind::InconsistentOffsets,
        vec![
            sent(0),
            sent(1),
            fetched(0, 1, &[(0, p(1, 1))]),
            last(0, 1, &[(0, p(1, 0))]),
        ],
    );
    accepts(vec![
        sent(0),
        acked(0, 0),
        fetched(0, 1, &[(0, p(1, 0))]),
        last(0, 1, &[(0, p(1, 0))]),
    ]);
}

#[test]
fn missed_read() {
    let there = || last(0, 2, &[(0, p(1, 0)), (1, p(1, 1))]);
    rejects(
        Kind::MissedRead,
        vec![sent(0), sent(1), fetched(0, 2, &[(1, p(1, 1))]), there()],
    );
    rejects(
        Kind::MissedRead,
        vec![sent(0), sent(1), fetched(0, 2, &[(0, p(1, 0))]), there()],
    );
    accepts(vec![
        sent(0),
        sent(1),
        fetched(0, 1, &[(0, p(1, 0))]),
        there(),
    ]);
}

#[test]
fn truncated_read() {
    rejects(
        Kind::TruncatedRead,
        vec![sent(0), fetched(0, 1, &[(0, p(1, 0))]), last(0, 0, &[])],
    );
    rejects(
        Kind::TruncatedRead,
        vec![sent(0), fetched(0, 3, &[]), last(0, 0, &[])],
    );
    // Retention has taken it since.
    accepts(vec![
        sent(0),
        fetched(0, 1, &[(0, p(1, 0))]),
        start(1),
        last(1, 1, &[]),
    ]);
}

#[test]
fn latest_went_back() {
    rejects(Kind::LatestWentBack, vec![latest(1, 5), latest(11, 4)]);
    // A larger answer that comes meanwhile does not hide an earlier one.
    rejects(
        Kind::LatestWentBack,
        vec![latest(1, 5), latest(9, 7), latest(15, 4)],
    );
    // Asked before the earlier answer was there.
    accepts(vec![latest(1, 5), latest(9, 4)]);
    accepts(vec![latest(1, 5), latest(11, 5)]);
}

#[test]
fn non_monotonic_poll() {
    rejects(
        Kind::NonMonotonicPoll,
        vec![assigned("m", 1, &[0]), polled(0, 3), polled(2, 4)],
    );
    rejects(
        Kind::NonMonotonicPoll,
        vec![committing(5), committed(5, 10), began(Some(5), 20, 4)],
    );
    accepts(vec![
        committing(5),
        committed(5, 10),
        began(Some(5), 20, 5),
        polled(5, 9),
    ]);
    accepts(vec![
        assigned("m", 1, &[0]),
        polled(0, 3),
        assigned("m", 2, &[0]),
        polled(2, 4),
    ]);
}

#[test]
fn two_owners() {
    rejects(
        Kind::TwoOwners,
        vec![assigned("m", 1, &[0, 1]), assigned("n", 1, &[1])],
    );
    accepts(vec![
        assigned("m", 1, &[0, 1]),
        assigned("m", 2, &[0]),
        assigned("n", 2, &[1]),
    ]);
}

#[test]
fn generation_went_back() {
    rejects(
        Kind::GenerationWentBack,
        vec![assigned("m", 2, &[0]), assigned("m", 1, &[0])],
    );
    accepts(vec![assigned("m", 1, &[0]), assigned("m", 3, &[0])]);
}

#[test]
fn lost_commit() {
    let acknowledged = || vec![committing(5), committed(5, 10)];
    let then = |what| acknowledged().into_iter().chain([what]).collect();
    rejects(Kind::LostCommit, then(told(None, 20)));
    rejects(Kind::LostCommit, then(told(4, 20)));
    rejects(Kind::LostCommit, then(began(Some(4), 20, 4)));
    accepts(then(told(5, 20)));
    // Asked before the commit was acknowledged.
    accepts(then(told(None, 19)));
    // Another commit was under way.
    accepts(vec![
        committing(5),
        committed(5, 10),
        committing(7),
        told(7, 31),
        told(5, 31),
    ]);
    // An old one may not come back after a newer one was acknowledged.
    rejects(
        Kind::LostCommit,
        vec![
            committing(5),
            committed(5, 10),
            committing(7),
            committed(7, 30),
            told(5, 40),
        ],
    );
}

#[test]
fn two_leaders() {
    rejects(Kind::TwoLeaders, vec![leader(1, 4), leader(2, 4)]);
    accepts(vec![leader(1, 4), leader(2, 5), leader(1, 4)]);
}

#[test]
fn replicas_differ() {
    let batches = &[(0, 2, 7), (2, 4, 8)];
    rejects(
        Kind::ReplicasDiffer,
        vec![
            replica(1, 4, batches),
            replica(2, 4, &[(0, 2, 7), (2, 4, 9)]),
        ],
    );
    rejects(
        Kind::ReplicasDiffer,
        vec![replica(1, 4, batches), replica(2, 4, &[(0, 2, 7)])],
    );
    // One that knows less lies between two that know more.
    rejects(
        Kind::ReplicasDiffer,
        vec![
            replica(1, 4, batches),
            replica(2, 2, &[(0, 2, 7)]),
            replica(3, 4, &[(0, 2, 7), (2, 4, 9)]),
        ],
    );
    // Above its high watermark a replica may hold anything.
    accepts(vec![
        replica(1, 4, batches),
        replica(2, 2, &[(0, 2, 7), (2, 4, 9)]),
    ]);
}

#[test]
fn never_read() {
    rejects(Kind::NeverRead, vec![sent(0), acked(0, 0)]);
    accepts(vec![sent(0)]);
}

#[test]
fn skipped_poll() {
    let committed_5 = || vec![committing(5), committed(5, 10)];
    let then = |what: Vec<What>| committed_5().into_iter().chain(what).collect();
    rejects(
        Kind::SkippedPoll,
        vec![assigned("m", 1, &[0]), polled(0, 3), polled(4, 5)],
    );
    rejects(Kind::SkippedPoll, then(vec![began(Some(5), 20, 7)]));
    rejects(
        Kind::SkippedPoll,
        then(vec![start(6), began(Some(5), 30, 7)]),
    );
    // Retention has taken what lay between.
    accepts(then(vec![start(7), began(Some(5), 30, 7)]));
    accepts(vec![start(4), polled(0, 3), polled(4, 5)]);
    rejects(
        Kind::SkippedPoll,
        vec![start(4), polled(0, 3), polled(5, 6)],
    );
    // An unclean election may have left less than was polled.
    accepts(vec![may_lose(), polled(0, 3), polled(2, 4)]);
}

#[test]
fn phantom_commit() {
    rejects(Kind::PhantomCommit, vec![told(5, 1)]);
    rejects(Kind::PhantomCommit, vec![committing(4), told(5, 20)]);
    // Its answer has never come.
    accepts(vec![committing(5), told(5, 20)]);
}

#[test]
fn fenced_commit() {
    // The commits of this file are of generation 1.
    rejects(
        Kind::FencedCommit,
        vec![assigned("n", 2, &[0]), committing(5), committed(5, 20)],
    );
    accepts(vec![
        assigned("n", 1, &[0]),
        committing(5),
        committed(5, 20),
    ]);
    // It was asked for before anybody knew of the next generation.
    accepts(vec![
        committing(5),
        assigned("n", 2, &[0]),
        committed(5, 10),
    ]);
}

fn of_epoch(leader_epoch: i32, sent_us: u64, high_watermark: i64) -> What {
    What::Fetched {
        at: at(),
        leader_epoch: Some(leader_epoch),
        sent_us,
        from: 0,
        next: 0,
        high_watermark,
        log_start: 0,
        records: Vec::new(),
    }
}

#[test]
fn stale_read_within_an_epoch() {
    rejects(Kind::StaleRead, vec![of_epoch(3, 1, 5), of_epoch(3, 11, 4)]);
    // Asked before the other answer had come, in another epoch, or where an unclean election was asked for.
    accepts(vec![of_epoch(3, 1, 5), of_epoch(3, 9, 4)]);
    accepts(vec![of_epoch(3, 1, 5), of_epoch(4, 11, 4)]);
    accepts(vec![may_lose(), of_epoch(3, 1, 5), of_epoch(3, 21, 4)]);
}

#[test]
fn stale_read_behind_an_acknowledgement() {
    let there = || last(0, 1, &[(0, p(1, 0))]);
    rejects(
        Kind::StaleRead,
        vec![
            leader(1, 3),
            sent(0),
            acked(0, 0),
            of_epoch(3, 31, 0),
            there(),
        ],
    );
    // Sent before the epoch was known: its leader may not know yet that the record is committed.
    accepts(vec![
        sent(0),
        leader(1, 3),
        acked(0, 0),
        of_epoch(3, 31, 0),
        there(),
    ]);
    // Asked before the acknowledgement.
    accepts(vec![
        leader(1, 3),
        sent(0),
        acked(0, 0),
        of_epoch(3, 29, 0),
        there(),
    ]);
    // A newer leader may have acknowledged it.
    accepts(vec![
        leader(1, 3),
        sent(0),
        acked(0, 0),
        of_epoch(3, 31, 0),
        leader(2, 4),
        there(),
    ]);
}

fn within(n: u64) -> Vec<What> {
    let member = What::InTransaction {
        at: at(),
        record: p(1, n),
        transaction: 7,
    };
    vec![sent(n), member]
}

fn ending(commit: bool) -> What {
    What::EndingTransaction {
        transaction: 7,
        commit,
    }
}

fn ended(commit: bool) -> What {
    What::TransactionEnded {
        transaction: 7,
        commit,
    }
}

fn of_committed(next: i64, records: &[(i64, RecordId)]) -> What {
    What::FetchedCommitted {
        at: at(),
        sent_us: 0,
        from: 0,
        next,
        records: seen(records),
    }
}

#[test]
fn aborted_read() {
    let record = &[(0, p(1, 0))];
    let with = |whats: Vec<What>| {
        let all = within(0).into_iter().chain(whats);
        all.chain([last(0, 2, record)]).collect::<Vec<_>>()
    };
    rejects(
        Kind::AbortedRead,
        with(vec![ending(false), ended(false), of_committed(1, record)]),
    );
    // Still open, and only committed later.
    rejects(
        Kind::AbortedRead,
        with(vec![of_committed(1, record), ending(true), ended(true)]),
    );
    accepts(with(vec![
        ending(true),
        of_committed(1, record),
        ended(true),
    ]));
    accepts(with(vec![
        ending(false),
        ended(false),
        of_committed(1, &[]),
    ]));
}

#[test]
fn torn_transaction() {
    let both = &[(0, p(1, 0)), (1, p(1, 1))];
    let with = |whats: Vec<What>| {
        let all = within(0).into_iter().chain(within(1)).chain(whats);
        all.chain([last(0, 3, both)]).collect::<Vec<_>>()
    };
    rejects(
        Kind::TornTransaction,
        with(vec![
            ending(true),
            ended(true),
            of_committed(2, &[(0, p(1, 0))]),
        ]),
    );
    // Nobody knows how it ended, but one half was shown.
    rejects(
        Kind::TornTransaction,
        with(vec![ending(true), of_committed(2, &[(0, p(1, 0))])]),
    );
    accepts(with(vec![ending(true), of_committed(2, &[])]));
    accepts(with(vec![ending(true), of_committed(2, both)]));
    accepts(with(vec![
        ending(true),
        ended(true),
        of_committed(1, &[(0, p(1, 0))]),
    ]));
}

#[test]
fn a_reader_of_committed_records_misses_one_without_a_transaction() {
    rejects(
        Kind::MissedRead,
        vec![sent(0), of_committed(1, &[]), last(0, 1, &[(0, p(1, 0))])],
    );
}

#[test]
fn metadata_went_back() {
    let metadata = |incarnation, index| What::MetadataSeen {
        broker: 1,
        incarnation,
        index,
    };
    rejects(Kind::MetadataWentBack, vec![metadata(1, 5), metadata(1, 4)]);
    accepts(vec![metadata(1, 5), metadata(1, 5), metadata(2, 4)]);
}

#[test]
fn compaction_takes_records_but_changes_none() {
    let compacted = || What::Compacted { at: at() };
    accepts(vec![
        compacted(),
        sent(0),
        acked(0, 0),
        sent(1),
        acked(1, 1),
        fetched(0, 2, &[(0, p(1, 0)), (1, p(1, 1))]),
        last(0, 2, &[(1, p(1, 1))]),
        replica(1, 2, &[(0, 2, 7)]),
        replica(2, 2, &[(1, 2, 8)]),
    ]);
    rejects(
        Kind::InconsistentOffsets,
        vec![
            compacted(),
            sent(0),
            sent(1),
            fetched(0, 2, &[(1, p(1, 0))]),
            last(0, 2, &[(1, p(1, 1))]),
        ],
    );
}
