//! The events of small histories, and the two verdicts on them.

use checker::history::{Event, Place, RecordId, Seen, What};
use checker::{Kind, check};

pub fn at() -> Place {
    Place::new("t", 0)
}

pub fn p(producer: u32, n: u64) -> RecordId {
    RecordId { producer, n }
}

pub fn seen(records: &[(i64, RecordId)]) -> Vec<Seen> {
    records
        .iter()
        .map(|(offset, record)| Seen {
            offset: *offset,
            record: Some(*record),
        })
        .collect()
}

pub fn sent(n: u64) -> What {
    What::Sent {
        at: at(),
        record: p(1, n),
        acks: -1,
        idempotent: true,
    }
}

pub fn acked(n: u64, offset: impl Into<Option<i64>>) -> What {
    What::Acked {
        at: at(),
        record: p(1, n),
        offset: offset.into(),
    }
}

pub fn refused(n: u64, definite: bool) -> What {
    What::Refused {
        at: at(),
        record: p(1, n),
        error: "NOT_ENOUGH_REPLICAS".into(),
        definite,
    }
}

pub fn last(log_start: i64, end: i64, records: &[(i64, RecordId)]) -> What {
    What::FinalRead {
        at: at(),
        log_start,
        end,
        records: seen(records),
    }
}

pub fn fetched(from: i64, next: i64, records: &[(i64, RecordId)]) -> What {
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

pub fn latest(sent_us: u64, offset: i64) -> What {
    What::Latest {
        at: at(),
        leader_epoch: None,
        sent_us,
        offset,
    }
}

pub fn assigned(member: &str, generation: i32, partitions: &[i32]) -> What {
    What::Assigned {
        group: "g".into(),
        member: member.into(),
        generation,
        places: partitions.iter().map(|n| Place::new("t", *n)).collect(),
    }
}

pub fn began(committed: Option<i64>, sent_us: u64, from: i64) -> What {
    What::Began {
        group: "g".into(),
        member: "m".into(),
        at: at(),
        committed,
        sent_us,
        from,
    }
}

pub fn polled(from: i64, next: i64) -> What {
    What::Polled {
        group: "g".into(),
        member: "m".into(),
        at: at(),
        from,
        next,
        records: Vec::new(),
    }
}

pub fn committing(offset: i64) -> What {
    What::Committing {
        group: "g".into(),
        member: "m".into(),
        generation: 1,
        at: at(),
        offset,
    }
}

pub fn committed(offset: i64, sent_us: u64) -> What {
    What::Committed {
        group: "g".into(),
        member: "m".into(),
        generation: 1,
        at: at(),
        offset,
        sent_us,
    }
}

pub fn told(offset: impl Into<Option<i64>>, sent_us: u64) -> What {
    What::CommittedSeen {
        group: "g".into(),
        at: at(),
        offset: offset.into(),
        sent_us,
    }
}

pub fn leader(broker: i32, leader_epoch: i32) -> What {
    What::Leader {
        at: at(),
        broker,
        leader_epoch,
    }
}

pub fn replica(broker: i32, high_watermark: i64, batches: &[(i64, i64, u64)]) -> What {
    What::Replica {
        at: at(),
        broker,
        log_start: 0,
        high_watermark,
        cleaned: 0,
        batches: batches.to_vec(),
        records: Vec::new(),
    }
}

pub fn start(log_start: i64) -> What {
    What::Start {
        at: at(),
        log_start,
    }
}

/// What is older than so many microseconds may go.
pub fn retention(keeps_us: u64) -> What {
    What::Retention { at: at(), keeps_us }
}

pub fn earliest(offset: i64) -> What {
    What::Earliest { at: at(), offset }
}

pub fn may_lose() -> What {
    What::MayLose {
        at: at(),
        why: "unclean election".into(),
    }
}

/// Ten microseconds apart, of one client.
pub fn history(whats: Vec<What>) -> Vec<Event> {
    let event = |(number, what)| Event {
        at_us: 10 * (number as u64 + 1),
        who: "client".into(),
        what,
    };
    whats.into_iter().enumerate().map(event).collect()
}

#[track_caller]
pub fn rejects(kind: Kind, whats: Vec<What>) {
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
pub fn accepts(whats: Vec<What>) {
    let events = history(whats);
    let report = check(&events);
    assert!(report.anomalies.is_empty(), "{}", report.story(&events, 10));
}
