//! What services and `millrace verify` read of a record's headers: the trace that it belongs to, and the counter of the
//! generator that wrote it.

use pipeline::{COUNTER_HEADER, Header, RUN_ID_HEADER, Record};
use telemetry::traces::{TRACEPARENT, TRACESTATE, parse};

use super::take::Take;
use crate::memory;
use crate::programs::counters::Counters;

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 512;
pub const NAMES: [&str; 5] = [
    TRACEPARENT,
    TRACESTATE,
    RUN_ID_HEADER,
    COUNTER_HEADER,
    "other",
];

/// Whether the log begins at 0 (a byte), then records: how many headers (a byte), and each: which, length (2 bytes), value.
pub fn record_headers(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "headers", || {
        let mut take = Take(input);
        let mut counters = Counters::new(0, take.byte() & 1 == 0);
        let mut numbered = 0;
        let mut offset = 0;
        while !take.is_empty() {
            let record = record(&mut take, offset);
            let text = |name: &str| record.header_text(name);
            if let Some(context) = parse(text) {
                assert!(context.is_valid());
            }
            counters.check(&record);
            let is_numbered = text(RUN_ID_HEADER).and(text(COUNTER_HEADER)).is_some();
            numbered += u64::from(is_numbered);
            offset += 1;
        }
        assert_eq!(counters.counted, numbered);
        assert_eq!(counters.problem_count, counters.problems.len() as u64);
        for problem in &counters.problems {
            assert!((0..offset).contains(&problem.offset));
            assert!(!problem.text().is_empty() && problem.as_json().is_object());
        }
    });
}

fn record(take: &mut Take, offset: i64) -> Record {
    let count = take.byte() % 8;
    let headers = (0..count).map(|_| Header {
        name: NAMES[usize::from(take.byte()) % NAMES.len()].to_owned(),
        value: Some(take.chunk().to_vec().into()),
    });
    Record {
        offset,
        timestamp_ms: None,
        key: None,
        value: None,
        headers: headers.collect(),
    }
}
