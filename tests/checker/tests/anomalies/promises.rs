//! Positions of groups, stale reads, transactions and metadata.

use checker::Kind;
use checker::history::{RecordId, What};

use crate::events::*;

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
    // Where it is known that retention takes something, a reader may go on where it was told that the log starts.
    accepts(vec![retention(0), polled(0, 3), earliest(5), polled(5, 6)]);
    rejects(
        Kind::SkippedPoll,
        vec![retention(0), polled(0, 3), earliest(4), polled(5, 6)],
    );
    rejects(
        Kind::SkippedPoll,
        vec![polled(0, 3), earliest(5), polled(5, 6)],
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
