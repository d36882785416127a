//! Records as the services read them: the ETL's web logs and orders, and the orders that the bakery's consumer prints.
//! `millrace verify` derives the ETL's anew, and must see each as it does.

use pipeline::{Partition, Record};
use serde_json::Value;

use super::take::Take;
use crate::memory;
use crate::programs::derive::{Content, as_text, kafka_timestamp_us};
use crate::programs::model::{Kind, Parsed, kafka_time};
use crate::programs::order::Order;
use crate::programs::{bulk, receipt};

const FLOOR: usize = 256 << 10;
/// A few bytes of JSON become a value in a list or a map, once for each of those who read it.
const PER_BYTE: usize = 512;
/// What a document has of where the record was.
const PLACE: [&str; 4] = ["topic", "partition", "offset", "kafka_timestamp"];

/// Which topic, and whether there is a timestamp (a byte), which then follows (8 bytes); then the value.
pub fn records(input: &[u8]) {
    let mut take = Take(input);
    let how = take.byte();
    let timestamp = (how & 2 > 0).then(|| take.bytes(8));
    let timestamp_ms = timestamp.and_then(|bytes| bytes.try_into().ok());
    let record = Record {
        offset: 7,
        timestamp_ms: timestamp_ms.map(i64::from_be_bytes),
        key: None,
        value: Some(take.0.to_vec().into()),
        headers: Vec::new(),
    };
    memory::within(FLOOR + PER_BYTE * input.len(), "a record", || {
        let known = kafka_time(&record).map(|time| time.utc().timestamp_micros());
        assert_eq!(known, kafka_timestamp_us(&record));
        match how & 1 {
            0 => read(Kind::WebLogs, Content::WebLogs, &record),
            _ => read(Kind::Orders, Content::Orders, &record),
        }
        if let Ok(order) = serde_json::from_slice::<Order>(take.0) {
            assert!(receipt::receipt(&order).contains(&order.store));
        }
    });
}

fn read(kind: Kind, content: Content, record: &Record) {
    let derived = content.fields(record, as_text);
    let parsed = match Parsed::of(kind, record) {
        Ok(parsed) => parsed,
        Err(rejection) => {
            assert!(!rejection.message.is_empty());
            assert!(derived.is_err(), "the ETL refuses: {}", rejection.message);
            return;
        }
    };
    let from = Partition {
        topic: "t".into(),
        index: 0,
    };
    let Value::Object(mut document) = bulk::document(&from, record, &parsed) else {
        panic!("a document is an object");
    };
    for name in PLACE {
        assert!(document.remove(name).is_some(), "{name}");
    }
    assert_eq!(Ok(&document), derived.as_ref());
    let again = Record {
        value: Some(Value::Object(document).to_string().into()),
        ..record.clone()
    };
    assert_eq!(Parsed::of(kind, &again), Ok(parsed));
}
