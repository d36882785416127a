//! Records of `__consumer_offsets`, as a new coordinator replays them: from our own log, or one that Kafka wrote.

use bytes::Bytes;
use engine::group::{Config, Durable, Effects, Now, Record, Shard};

use super::take::Take;
use crate::memory;

const FLOOR: usize = 256 << 10;
/// A member of a group takes a few bytes in a record and several strings in memory.
const PER_BYTE: usize = 512;
/// A length that stands for null.
const NULL: u16 = u16::MAX;

/// Records: key and value, each behind its length; 65535 stands for null.
pub fn group_records(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "group records", || {
        let mut take = Take(input);
        let mut durable = Durable::default();
        while !take.is_empty() {
            let (key, value) = (nullable(&mut take), nullable(&mut take));
            if let Ok(record) = Record::decode(key, value) {
                rewritten(&record);
                durable.apply(&record);
            }
        }
        let now = Now {
            mono_ms: 1,
            wall_ms: 1_700_000_000_000,
        };
        let mut shard = Shard::new(Config::default(), durable, now);
        let mut effects = Effects::default();
        // Sessions of what was loaded end, and offsets expire.
        for _ in 0..4 {
            let Some(deadline) = shard.next_deadline() else {
                break;
            };
            let later = Now {
                mono_ms: deadline,
                ..now
            };
            shard.on_time(later, &mut effects);
        }
    });
}

fn nullable(take: &mut Take) -> Option<Bytes> {
    match take.u16() {
        NULL => None,
        length => Some(Bytes::copy_from_slice(take.bytes(usize::from(length)))),
    }
}

/// What was read can be written; and what is written reads back as the same.
fn rewritten(record: &Record) {
    let (key, value) = record.encode().expect("what was decoded can be encoded");
    let again = Record::decode(Some(key), value).expect("it was just written");
    let (key, value) = again.encode().expect("as before");
    let third = Record::decode(Some(key), value).expect("as before");
    assert_eq!(again, third);
}
