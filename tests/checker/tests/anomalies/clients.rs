//! What clients, groups and replicas were told.

use checker::Kind;
use checker::history::What;

use crate::events::*;

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
    accepts(vec![sent(0), acked(0, 0), What::Deleted { at: at() }]);
}
