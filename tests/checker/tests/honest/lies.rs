//! Changes to an honest history, each of which makes it one that no cluster may have.
//!
//! A lie that finds no place in a history gives None, and has changed nothing.

#![allow(
    clippy::ptr_arg,
    reason = "one type for those that append and those that change"
)]

use checker::Kind;
use checker::history::{Event, RecordId, Seen, What};

use crate::model::at;

type Lie = fn(&mut Vec<Event>, usize) -> Option<()>;

pub const ALL: &[(Kind, Lie)] = &[
    (Kind::LostWrite, lose),
    (Kind::Duplicate, double),
    (Kind::Reordered, reorder),
    (Kind::Gap, leave_out),
    (Kind::Phantom, invent),
    (Kind::RefusedButThere, keep_refused),
    (Kind::InconsistentOffsets, shift_acknowledgement),
    (Kind::MissedRead, pass_over),
    (Kind::TruncatedRead, show_too_much),
    (Kind::StaleRead, forget_high_watermark),
    (Kind::LatestWentBack, forget_latest),
    (Kind::NonMonotonicPoll, poll_again),
    (Kind::SkippedPoll, skip),
    (Kind::TwoOwners, own_twice),
    (Kind::GenerationWentBack, age_backwards),
    (Kind::LostCommit, forget_commit),
    (Kind::PhantomCommit, invent_commit),
    (Kind::FencedCommit, commit_as_fenced),
    (Kind::TwoLeaders, lead_twice),
    (Kind::ReplicasDiffer, flip),
];

/// The one of the candidates that `which` chooses.
fn one_of<T>(mut all: Vec<T>, which: usize) -> Option<T> {
    (!all.is_empty()).then(|| all.swap_remove(which % all.len()))
}

fn append(events: &mut Vec<Event>, what: What) {
    let at_us = events.last().map_or(0, |event| event.at_us) + 10;
    events.push(Event {
        at_us,
        who: "client".into(),
        what,
    });
}

/// When something that is asked for now is asked for.
fn now_us(events: &[Event]) -> u64 {
    events.last().map_or(0, |event| event.at_us) + 1
}

fn last_read(events: &mut [Event]) -> Option<(i64, &mut i64, &mut Vec<Seen>)> {
    events.iter_mut().find_map(|event| match &mut event.what {
        What::FinalRead {
            log_start,
            end,
            records,
            ..
        } => Some((*log_start, end, records)),
        _ => None,
    })
}

fn put(events: &mut [Event], record: RecordId) -> Option<()> {
    let (_, end, records) = last_read(events)?;
    records.push(Seen {
        offset: *end,
        record: Some(record),
    });
    *end += 1;
    Some(())
}

fn lose(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let acked = |event: &Event| match &event.what {
        What::Acked {
            record,
            offset: Some(offset),
            ..
        } => Some((*record, *offset)),
        _ => None,
    };
    let acked: Vec<_> = events.iter().filter_map(acked).collect();
    let (log_start, _, records) = last_read(events)?;
    let there = acked.into_iter().filter(|(_, offset)| *offset >= log_start);
    let (lost, _) = one_of(there.collect(), which)?;
    records.retain(|seen| seen.record != Some(lost));
    Some(())
}

fn double(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let record = one_of(last_read(events)?.2.clone(), which)?.record?;
    put(events, record)
}

fn reorder(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let (_, _, records) = last_read(events)?;
    let of = |n: usize| records[n].record.map(|record| record.producer);
    let pairs = (0..records.len()).filter_map(|first| {
        let second = (first + 1..records.len()).find(|second| of(*second) == of(first))?;
        Some((first, second))
    });
    let (first, second) = one_of(pairs.collect(), which)?;
    (records[first].record, records[second].record) =
        (records[second].record, records[first].record);
    Some(())
}

/// Of three of one producer the one between is not there, and was never acknowledged.
fn leave_out(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let (_, _, records) = last_read(events)?;
    let of = |n: usize| records[n].record.map(|record| record.producer);
    let between = |n: &usize| {
        let others = |mut range: std::ops::Range<usize>| range.any(|m| of(m) == of(*n));
        others(0..*n) && others(n + 1..records.len())
    };
    let gone = one_of((0..records.len()).filter(between).collect(), which)?;
    let gone = records.remove(gone).record?;
    let tells = |event: &Event| matches!(event.what, What::Acked { record, .. } if record == gone);
    events.retain(|event| !tells(event));
    Some(())
}

fn invent(events: &mut Vec<Event>, _: usize) -> Option<()> {
    put(events, RecordId { producer: 9, n: 0 })
}

fn keep_refused(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let refused = |event: &Event| match &event.what {
        What::Refused { record, .. } => Some(*record),
        _ => None,
    };
    let record = one_of(events.iter().filter_map(refused).collect(), which)?;
    put(events, record)
}

fn shift_acknowledgement(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let log_start = last_read(events)?.0;
    let acked = |event| match event {
        &mut Event {
            what:
                What::Acked {
                    offset: Some(ref mut offset),
                    ..
                },
            ..
        } if *offset >= log_start => Some(offset),
        _ => None,
    };
    *one_of(events.iter_mut().filter_map(acked).collect(), which)? += 1;
    Some(())
}

fn fetches(events: &mut [Event]) -> Vec<(&mut i64, &mut Vec<Seen>)> {
    let fetch = |event| match event {
        &mut Event {
            what:
                What::Fetched {
                    ref mut next,
                    ref mut records,
                    ..
                },
            ..
        } => Some((next, records)),
        _ => None,
    };
    events.iter_mut().filter_map(fetch).collect()
}

fn pass_over(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let log_start = last_read(events)?.0;
    let all = fetches(events).into_iter().map(|(_, records)| records);
    let full = all.filter(|records| records.last().is_some_and(|seen| seen.offset >= log_start));
    one_of(full.collect(), which)?.pop();
    Some(())
}

fn show_too_much(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let end = *last_read(events)?.1;
    let at_end = fetches(events)
        .into_iter()
        .filter(|(next, _)| **next == end);
    let (next, records) = one_of(at_end.collect(), which)?;
    records.push(Seen {
        offset: end,
        record: None,
    });
    *next += 1;
    Some(())
}

fn forget_high_watermark(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let told = |event: &Event| match event.what {
        What::Fetched {
            leader_epoch,
            high_watermark,
            ..
        } if high_watermark > 0 => Some((leader_epoch, high_watermark)),
        _ => None,
    };
    let (leader_epoch, high_watermark) = one_of(events.iter().filter_map(told).collect(), which)?;
    let end = *last_read(events)?.1;
    let stale = What::Fetched {
        at: at(),
        leader_epoch,
        sent_us: now_us(events),
        from: end,
        next: end,
        high_watermark: high_watermark - 1,
        log_start: 0,
        records: Vec::new(),
    };
    append(events, stale);
    Some(())
}

fn forget_latest(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let told = |event: &Event| match event.what {
        What::Latest { offset, .. } if offset > 0 => Some(offset),
        _ => None,
    };
    let offset = one_of(events.iter().filter_map(told).collect(), which)? - 1;
    let sent_us = now_us(events);
    append(
        events,
        What::Latest {
            at: at(),
            leader_epoch: None,
            sent_us,
            offset,
        },
    );
    Some(())
}

/// The last poll of the last owner, if it has polled since it owns the partition.
fn last_poll(events: &[Event]) -> Option<(String, i64)> {
    let last = events.iter().rev().find_map(|event| match &event.what {
        What::Polled { member, next, .. } => Some(Some((member.clone(), *next))),
        What::Assigned { .. } => Some(None),
        _ => None,
    });
    last.flatten()
}

fn poll_from(events: &mut Vec<Event>, member: String, from: i64) {
    append(
        events,
        What::Polled {
            group: "g".into(),
            member,
            at: at(),
            from,
            next: from,
            records: Vec::new(),
        },
    );
}

fn poll_again(events: &mut Vec<Event>, _: usize) -> Option<()> {
    let (member, next) = last_poll(events).filter(|(_, next)| *next > 0)?;
    poll_from(events, member, next - 1);
    Some(())
}

fn skip(events: &mut Vec<Event>, _: usize) -> Option<()> {
    let (member, next) = last_poll(events)?;
    let log_start = last_read(events)?.0;
    poll_from(events, member, next.max(log_start) + 1);
    Some(())
}

fn assign(events: &mut Vec<Event>, member: String, generation: i32) {
    append(
        events,
        What::Assigned {
            group: "g".into(),
            member,
            generation,
            places: vec![at()],
        },
    );
}

fn assigned(events: &[Event], which: usize) -> Option<(String, i32)> {
    let assigned = |event: &Event| match &event.what {
        What::Assigned {
            member, generation, ..
        } => Some((member.clone(), *generation)),
        _ => None,
    };
    one_of(events.iter().filter_map(assigned).collect(), which)
}

fn own_twice(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let (_, generation) = assigned(events, which)?;
    assign(events, "thief".into(), generation);
    Some(())
}

fn age_backwards(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let (member, _) = assigned(events, which)?;
    assign(events, member, 0);
    Some(())
}

fn see_committed(events: &mut Vec<Event>, offset: Option<i64>) {
    let sent_us = now_us(events);
    append(
        events,
        What::CommittedSeen {
            group: "g".into(),
            at: at(),
            offset,
            sent_us,
        },
    );
}

fn forget_commit(events: &mut Vec<Event>, _: usize) -> Option<()> {
    let acknowledged = |event: &Event| matches!(event.what, What::Committed { .. });
    events.iter().any(acknowledged).then_some(())?;
    see_committed(events, None);
    Some(())
}

fn invent_commit(events: &mut Vec<Event>, _: usize) -> Option<()> {
    let none = |event: &Event| !matches!(event.what, What::Committed { .. });
    // Where one is acknowledged, an invented one is a lost one.
    if !events.iter().all(none) {
        events.retain(none);
    }
    see_committed(events, Some(1_000_000));
    Some(())
}

fn commit_as_fenced(events: &mut Vec<Event>, _: usize) -> Option<()> {
    let (group, member) = ("g".to_string(), "m0".to_string());
    append(
        events,
        What::Committing {
            group: group.clone(),
            member: member.clone(),
            generation: 0,
            at: at(),
            offset: 0,
        },
    );
    let sent_us = events.last()?.at_us;
    append(
        events,
        What::Committed {
            group,
            member,
            generation: 0,
            at: at(),
            offset: 0,
            sent_us,
        },
    );
    Some(())
}

fn lead_twice(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let led = |event: &Event| match event.what {
        What::Leader { leader_epoch, .. } => Some(leader_epoch),
        _ => None,
    };
    let leader_epoch = one_of(events.iter().filter_map(led).collect(), which)?;
    append(
        events,
        What::Leader {
            at: at(),
            broker: 4,
            leader_epoch,
        },
    );
    Some(())
}

fn flip(events: &mut Vec<Event>, which: usize) -> Option<()> {
    let kept = last_read(events)?.0 as usize;
    let replica = |event| match event {
        &mut Event {
            what: What::Replica {
                ref mut batches, ..
            },
            ..
        } => Some(batches),
        _ => None,
    };
    let batches = one_of(events.iter_mut().filter_map(replica).collect(), which)?;
    one_of(batches.iter_mut().skip(kept).collect(), which)?.2 ^= 1 << 40;
    Some(())
}
