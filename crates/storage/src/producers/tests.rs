//! What a log knows of its producers, batch by batch.

use super::*;

fn batch(sequence: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: offset,
        batch_length: 100,
        partition_leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: 1,
        base_timestamp: 0,
        max_timestamp: offset,
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: sequence,
        record_count: 2,
    }
}

fn of(batches: &[BatchHeader]) -> ProducerTable {
    let mut table = ProducerTable::default();
    batches.iter().for_each(|batch| table.apply(batch));
    table
}

#[test]
fn what_is_remembered_at_an_earlier_end_is_what_was_known_then() {
    // Without a gap; with one; from the largest sequence to the first.
    for sequences in [
        [0, 2, 4, 6, 8],
        [0, 2, 10, 12, 14],
        [i32::MAX - 3, i32::MAX - 1, 0, 2, 4],
    ] {
        let numbered = (0i64..).zip(sequences);
        let batches: Vec<_> = numbered.map(|(n, s)| batch(s, n * 2)).collect();
        let before = of(&batches);
        for kept in 1..=batches.len() {
            let mut table = ProducerTable::default();
            table.recall(&before, kept as i64 * 2);
            let then = of(&batches[..kept]);
            assert_eq!(table.entries, then.entries, "{sequences:?} {kept}");
            assert_eq!(table.recent, then.recent);
        }
        assert!(before.at(7, 0).is_none());
    }
}

#[test]
fn what_was_read_counts_where_it_is_newer_or_the_same() {
    let read = of(&[batch(0, 0), batch(2, 2), batch(4, 4)]);
    let mut table = read.clone();
    table.recall(&of(&[batch(0, 0), batch(2, 2)]), 6);
    assert_eq!(table.entries, read.entries);
}

#[test]
fn who_has_written_behind_what_is_given_up_stays_known() {
    let mut table = of(&[batch(0, 0)]);
    table.apply(&BatchHeader {
        producer_id: 8,
        ..batch(0, 6)
    });
    table.note_unread([(2, 4), (4, 6)].into_iter());
    table.give_up_unread();
    let known: Vec<_> = table.entries().map(|entry| entry.producer_id).collect();
    assert_eq!((known, table.unread()), (vec![8], None));
}

#[test]
fn a_snapshot_reads_back_and_a_torn_one_does_not() {
    let entry = ProducerEntry {
        producer_id: 9,
        producer_epoch: 1,
        last_sequence: 4,
        last_offset: 104,
        offset_delta: 4,
        timestamp: 1_000,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
        without_gap: 17,
    };
    let bytes = encode([entry].iter());
    assert_eq!(decode(Bytes::from(bytes.clone())), Some(vec![entry]));
    assert_eq!(decode(Bytes::from(encode([].iter()))), Some(vec![]));
    for len in 0..bytes.len() {
        assert_eq!(decode(Bytes::copy_from_slice(&bytes[..len])), None);
    }
}

#[test]
fn a_snapshot_that_kafka_has_written_knows_the_last_batch_without_a_gap() {
    // The last sequence, how many offsets the last batch has beyond one, and what is there without a gap.
    for (last_sequence, offset_delta, without_gap) in [(4, 2, 3), (0, 0, 1), (-1, 0, 0)] {
        let mut body = Vec::new();
        body.put_i32(1);
        body.put_i64(9);
        body.put_i16(1);
        body.put_i32(last_sequence);
        body.put_i64(104);
        body.put_i32(offset_delta);
        body.put_i64(1_000);
        body.put_i32(-1);
        body.put_i64(-1);
        let mut bytes = Vec::new();
        bytes.put_i16(VERSION);
        bytes.put_u32(crc32c::crc32c(&body));
        bytes.extend_from_slice(&body);
        let read = decode(Bytes::from(bytes)).expect("it is whole");
        let known: Vec<_> = read
            .iter()
            .map(|e| (e.last_offset, e.without_gap))
            .collect();
        assert_eq!(known, [(104, without_gap)]);
    }
}

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

fn transactional(sequence: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        attributes: TRANSACTIONAL,
        ..batch(sequence, offset)
    }
}

/// The end of a transaction.
fn marker(offset: i64) -> BatchHeader {
    BatchHeader {
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        record_count: 1,
        ..batch(-1, offset)
    }
}

fn entry(table: &ProducerTable) -> ProducerEntry {
    *table.entries().next().expect("it has written")
}

#[test]
fn an_open_transaction_begins_with_the_first_batch_since_the_last_marker() {
    let begin = |batches: &[BatchHeader]| entry(&of(batches)).current_txn_first_offset;
    let all = [
        batch(0, 0),
        transactional(2, 2),
        transactional(4, 4),
        marker(6),
        transactional(6, 7),
    ];
    let begins: Vec<_> = (1..=all.len()).map(|n| begin(&all[..n])).collect();
    assert_eq!(begins, [-1, 2, 2, -1, 7]);
    // The very first offset is one like the others.
    assert_eq!(begin(&[transactional(0, 0), transactional(2, 2)]), 0);
}

#[test]
fn of_an_epoch_in_which_only_a_marker_was_written_no_batch_is_known() {
    let nothing = ProducerEntry {
        producer_id: 7,
        producer_epoch: 0,
        last_sequence: -1,
        last_offset: -1,
        offset_delta: 0,
        timestamp: 6,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
        without_gap: 0,
    };
    assert_eq!(entry(&of(&[marker(6)])), nothing);
    // A coordinator that ends what an older client has left does it in a new epoch.
    let fenced = BatchHeader {
        producer_epoch: 1,
        ..marker(6)
    };
    let nothing = ProducerEntry {
        producer_epoch: 1,
        ..nothing
    };
    let table = of(&[transactional(0, 2), transactional(2, 4), fenced]);
    assert_eq!(entry(&table), nothing);
    assert_eq!(table.recent(7).count(), 0);
}

#[test]
fn the_last_five_batches_of_the_present_epoch_are_remembered() {
    let all: Vec<_> = (0..7).map(|n| batch(n * 2, i64::from(n) * 2)).collect();
    let mut table = of(&all);
    let recent = |table: &ProducerTable| table.recent(7).copied().collect::<Vec<_>>();
    assert_eq!(recent(&table), all[2..]);
    assert_eq!(table.recent(8).count(), 0);
    let next = BatchHeader {
        producer_epoch: 1,
        ..batch(0, 14)
    };
    table.apply(&next);
    assert_eq!(recent(&table), [next]);
}

#[test]
fn the_last_batch_that_is_left_is_remembered_with_its_own_size() {
    let long = BatchHeader {
        last_offset_delta: 4,
        record_count: 5,
        ..batch(2, 2)
    };
    let all = [batch(0, 0), long, batch(7, 7)];
    for (kept, next) in all.iter().enumerate().skip(1) {
        let mut table = ProducerTable::default();
        table.recall(&of(&all), next.base_offset);
        assert_eq!(table.entries, of(&all[..kept]).entries);
    }
}

#[test]
fn what_a_client_may_repeat_is_not_forgotten_for_what_is_known_less_well() {
    // A snapshot has the last batch only.
    let mut table = of(&[batch(0, 0), batch(2, 2)]);
    let before = ProducerTable::from_entries(table.entries().copied().collect());
    table.recall(&before, 4);
    assert_eq!(table.recent(7).count(), 2);
}

#[test]
fn what_was_before_a_marker_is_not_guessed() {
    let ended = ProducerEntry {
        coordinator_epoch: 3,
        ..entry(&of(&[batch(0, 0)]))
    };
    let mut after_marker = ProducerTable::from_entries(vec![ended]);
    after_marker.apply(&batch(2, 2));
    after_marker.apply(&batch(4, 4));
    let in_transaction = of(&[transactional(0, 0), transactional(2, 2), batch(4, 4)]);
    for before in [after_marker, in_transaction] {
        let mut table = ProducerTable::default();
        table.note_unread([(0, 4)].into_iter());
        table.recall(&before, 4);
        assert_eq!((table.entries().count(), table.unread()), (0, Some((0, 4))));
        // Nothing of it is cut here.
        table.recall(&before, 6);
        assert_eq!((table.entries, table.unread), (before.entries, None));
    }
}

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn written(table: &mut ProducerTable, producer_id: i64, timestamp: u64) {
    table.apply(&BatchHeader {
        producer_id,
        max_timestamp: timestamp as i64,
        ..batch(0, 0)
    });
}

#[test]
fn who_is_silent_for_too_long_is_forgotten_unless_a_transaction_is_open() {
    let mut table = ProducerTable::default();
    table.apply(&BatchHeader {
        producer_id: 3,
        attributes: TRANSACTIONAL,
        ..batch(0, 0)
    });
    let now = 1000 * DAY_MS;
    written(&mut table, 1, now);
    assert!(table.expire(now, 5, DAY_MS).is_empty());
    written(&mut table, 2, now);
    // From the first look on at which it was silent.
    assert!(table.expire(now, DAY_MS + 4, DAY_MS).is_empty());
    assert_eq!(table.expire(now, DAY_MS + 5, DAY_MS), [1]);
    let known: Vec<_> = table.entries().map(|entry| entry.producer_id).collect();
    assert_eq!(known, [2, 3]);
    let remembered: Vec<_> = table.recent.keys().copied().collect();
    assert_eq!(remembered, known);
    // Who writes again is not silent.
    written(&mut table, 2, now);
    assert!(table.expire(now, 3 * DAY_MS, DAY_MS).is_empty());
    assert!(table.expire(now, 4 * DAY_MS - 1, DAY_MS).is_empty());
    assert_eq!(table.expire(now, 4 * DAY_MS, DAY_MS), [2]);
    // So does who sends what is in the log already.
    written(&mut table, 2, now);
    assert!(table.expire(now, 5 * DAY_MS, DAY_MS).is_empty());
    table.heard_of(2);
    assert!(table.expire(now, 6 * DAY_MS, DAY_MS).is_empty());
    assert_eq!(table.expire(now, 7 * DAY_MS, DAY_MS), [2]);
    // It is known anew when it writes once more.
    written(&mut table, 2, now);
    assert!(table.expire(now, 9 * DAY_MS, DAY_MS).is_empty());
}

#[test]
fn no_clock_and_no_timestamp_makes_forget_who_has_written_just_now() {
    let mut table = ProducerTable::default();
    let now = 1000 * DAY_MS;
    // One of them copies records of long ago, one has a clock that is ahead.
    for (producer, timestamp) in [(1, now), (2, 5), (3, 2 * now)] {
        written(&mut table, producer, timestamp);
    }
    // This broker's own clock jumps ahead by two days, and back by three.
    for wall in [now, now + 2 * DAY_MS, now - DAY_MS] {
        for uptime in [7, HOUR_MS + 6] {
            assert!(table.expire(wall, uptime, DAY_MS).is_empty());
        }
    }
    // Where the wall clock has it that an hour is enough, as after a restart, it is.
    assert_eq!(table.expire(now + 2 * DAY_MS, HOUR_MS + 7, DAY_MS), [1, 2]);
    assert_eq!(table.expire(now, DAY_MS + 7, DAY_MS), [3]);
}

#[test]
fn an_expiration_of_less_than_an_hour_is_kept_to() {
    let mut table = ProducerTable::default();
    let (now, soon) = (1000 * DAY_MS, 1000);
    written(&mut table, 1, now);
    written(&mut table, 2, 5);
    assert!(table.expire(now, 0, soon).is_empty());
    assert!(table.expire(now, soon - 1, soon).is_empty());
    assert_eq!(table.expire(now, soon, soon), [1, 2]);
}

#[test]
fn by_the_wall_clock_a_producer_is_old_when_its_time_is_over_and_not_before() {
    let mut table = ProducerTable::default();
    let now = 1000 * DAY_MS;
    written(&mut table, 1, now - DAY_MS);
    written(&mut table, 2, now - DAY_MS - 1);
    assert!(table.expire(now, 0, DAY_MS).is_empty());
    assert_eq!(table.expire(now, HOUR_MS, DAY_MS), [2]);
}
