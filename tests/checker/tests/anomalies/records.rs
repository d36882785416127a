//! What became of records.

use checker::Kind;
use checker::history::What;

use crate::events::*;

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
fn retention_takes_what_is_old_and_nothing_else() {
    // Sent at 20, and read at the end at 40.
    let kept = |keeps_us, last| vec![retention(keeps_us), sent(0), acked(0, 0), last];
    accepts(kept(19, last(1, 1, &[])));
    rejects(Kind::LostWrite, kept(20, last(1, 1, &[])));
    // Old, and not below the log's start.
    rejects(Kind::LostWrite, kept(0, last(0, 0, &[])));
    let untold = vec![retention(0), sent(0), acked(0, None), last(1, 1, &[])];
    accepts(untold);
}

#[test]
fn gone_too_soon() {
    // Sent at 20 or 10, told at 40 or 30. By the end of each the record is old enough, or there.
    let then = |keeps_us| vec![retention(keeps_us), sent(0), acked(0, 0), earliest(1)];
    let end = || last(1, 1, &[]);
    rejects(
        Kind::GoneTooSoon,
        then(25).into_iter().chain([end()]).collect(),
    );
    accepts(then(15).into_iter().chain([end()]).collect());
    let there = last(0, 1, &[(0, p(1, 0))]);
    let told = |moved: Vec<What>| {
        let all = moved.into_iter().chain([sent(0), acked(0, 0), earliest(1)]);
        all.chain([there.clone()]).collect::<Vec<_>>()
    };
    rejects(Kind::GoneTooSoon, told(vec![]));
    accepts(told(vec![start(1)]));
    accepts(told(vec![may_lose()]));
    // A reader is told as well.
    let mut read = vec![sent(0), acked(0, 0)];
    read.push(What::Fetched {
        at: at(),
        leader_epoch: None,
        sent_us: 25,
        from: 1,
        next: 1,
        high_watermark: 1,
        log_start: 1,
        records: Vec::new(),
    });
    read.push(there.clone());
    rejects(Kind::GoneTooSoon, read);
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
fn gap() {
    let three = || vec![sent(0), sent(1), sent(2)];
    let then = |whats: Vec<What>| three().into_iter().chain(whats).collect::<Vec<_>>();
    let around = || last(0, 2, &[(0, p(1, 0)), (1, p(1, 2))]);
    rejects(Kind::Gap, then(vec![around()]));
    // Acknowledged, but nobody knows where; and before all that is there.
    rejects(
        Kind::Gap,
        then(vec![
            acked(1, None),
            start(1),
            last(1, 4, &[(1, p(1, 0)), (3, p(1, 2))]),
        ]),
    );
    rejects(Kind::Gap, then(vec![last(0, 1, &[(0, p(1, 2))])]));
    // The last ones were perhaps never written; and what was given up is followed by another epoch.
    accepts(then(vec![last(0, 1, &[(0, p(1, 0))])]));
    accepts(then(vec![refused(1, true), around()]));
    accepts(then(vec![refused(1, false), around()]));
    // The log's start has passed them, or they are old enough for that.
    accepts(then(vec![start(2), last(2, 3, &[(2, p(1, 2))])]));
    let aged = |keeps_us| {
        let first = std::iter::once(retention(keeps_us));
        let all = first.chain(three()).chain([last(2, 3, &[(2, p(1, 2))])]);
        all.collect::<Vec<_>>()
    };
    accepts(aged(19));
    rejects(Kind::Gap, aged(20));
    // Retention takes none from between.
    rejects(
        Kind::Gap,
        then(vec![start(1), last(1, 3, &[(1, p(1, 0)), (2, p(1, 2))])]),
    );
    let compacted = What::Compacted { at: at() };
    accepts(then(vec![compacted, around()]));
    accepts(then(vec![may_lose(), around()]));
}

#[test]
fn a_gap_in_a_transaction_is_one_where_it_was_committed() {
    let with = |whats: Vec<What>| {
        let within = What::InTransaction {
            at: at(),
            record: p(1, 1),
            transaction: 7,
        };
        let all = vec![sent(0), sent(1), within].into_iter().chain(whats);
        all.chain([sent(2), last(0, 5, &[(0, p(1, 0)), (3, p(1, 2))])])
            .collect::<Vec<_>>()
    };
    let ended = |commit| What::TransactionEnded {
        transaction: 7,
        commit,
    };
    rejects(Kind::Gap, with(vec![ended(true)]));
    accepts(with(vec![ended(false)]));
    accepts(with(vec![]));
}

#[test]
fn who_is_not_idempotent_has_no_sequence() {
    let careless = |n| What::Sent {
        at: at(),
        record: p(1, n),
        acks: 1,
        idempotent: false,
    };
    accepts(vec![careless(0), careless(1), last(0, 1, &[(0, p(1, 1))])]);
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
fn compaction_takes_what_has_a_newer_record_of_its_key_and_nothing_else() {
    let compacted = || What::Compacted { at: at() };
    let keyed = |n, key| What::Keyed {
        at: at(),
        record: p(1, n),
        key,
    };
    let sent = |keys: [u64; 2]| {
        let first = [sent(0), keyed(0, keys[0]), sent(1), keyed(1, keys[1])];
        [compacted()].into_iter().chain(first)
    };
    let acked = |keys, last| sent(keys).chain([acked(0, 0), acked(1, 1), last]).collect();
    let newest = || last(0, 2, &[(1, p(1, 1))]);
    accepts(acked([5, 5], newest()));
    rejects(Kind::LostWrite, acked([5, 6], newest()));
    // An older one is no newer one.
    rejects(Kind::LostWrite, acked([5, 5], last(0, 2, &[(0, p(1, 0))])));
    // Who is not acknowledged may be gone, but not once it was shown.
    let read = || fetched(0, 2, &[(0, p(1, 0)), (1, p(1, 1))]);
    accepts(sent([5, 5]).chain([read(), newest()]).collect());
    rejects(
        Kind::TruncatedRead,
        sent([5, 6]).chain([read(), newest()]).collect(),
    );
}
