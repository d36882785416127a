//! A bulk request, and what its answer says of each document.

use pipeline::{Partition, Record, Rejection};
use serde_json::{Value, json};

use crate::model::{Moment, Parsed, kafka_time};

/// The index of a record: its topic and the day of its Kafka timestamp in UTC. A record without one goes to 1970.
pub fn index_name(topic: &str, kafka_timestamp: Option<Moment>) -> String {
    let day = kafka_timestamp.map(Moment::utc).unwrap_or_default();
    format!("{topic}-{}", day.format("%Y.%m.%d"))
}

/// The id of a record's document.
pub fn document_id(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}-{partition}-{offset}")
}

/// The document of a record: its fields in canonical form, and where it came from.
pub fn document(partition: &Partition, record: &Record, parsed: &Parsed) -> Value {
    let mut document = match parsed {
        Parsed::WebLog(line) => json!(line),
        Parsed::Order(order) => json!(order),
    };
    document["topic"] = json!(&*partition.topic);
    document["partition"] = json!(partition.index);
    document["offset"] = json!(record.offset);
    document["kafka_timestamp"] = json!(kafka_time(record));
    document
}

/// A document to be created.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub offset: i64,
    /// The two lines of the bulk request.
    pub lines: String,
}

impl Entry {
    pub(super) fn new(partition: &Partition, record: &Record, parsed: &Parsed) -> Entry {
        let index = index_name(&partition.topic, kafka_time(record));
        let id = document_id(&partition.topic, partition.index, record.offset);
        let action = json!({ "create": { "_index": index, "_id": id } });
        Entry {
            offset: record.offset,
            lines: format!("{action}\n{}\n", document(partition, record, parsed)),
        }
    }
}

/// What became of one document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there, from this request or an earlier one.
    Stored,
    /// Not its fault: try it again.
    Again(String),
    /// It is not to be stored here.
    Refused(Rejection),
}

/// The kinds of error that are the fault of a document. Others that come with status 400 are the cluster's (too many
/// shards, for instance), and a person may mend them.
const FAULTS: [&str; 6] = [
    "mapper_parsing_exception",
    "document_parsing_exception",
    "strict_dynamic_mapping_exception",
    "illegal_argument_exception",
    "parsing_exception",
    "x_content_parse_exception",
];

/// The fates of a request's documents in their order; `None` when the answer is not one to a bulk request of that size.
pub(super) fn fates(answer: &Value, count: usize) -> Option<Vec<Fate>> {
    let items = answer["items"]
        .as_array()
        .filter(|items| items.len() == count)?;
    items.iter().map(|item| fate(&item["create"])).collect()
}

fn fate(item: &Value) -> Option<Fate> {
    let (kind, reason) = (
        item["error"]["type"].as_str().unwrap_or_default(),
        item["error"]["reason"].as_str().unwrap_or_default(),
    );
    Some(match item["status"].as_u64()? {
        200..300 => Fate::Stored,
        409 if kind == "version_conflict_engine_exception" => Fate::Stored,
        400 if FAULTS.contains(&kind) => {
            let cause = item["error"]["caused_by"]["reason"]
                .as_str()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            Fate::Refused(Rejection::refused(kind, format!("{reason}{cause}")))
        }
        status => Fate::Again(format!("{status} {kind}: {reason}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_has_its_own_fate() {
        let error = |status: u64, kind: &str| json!({ "create": { "status": status, "error": { "type": kind, "reason": "r" } } });
        let answer = json!({ "errors": true, "items": [
            { "create": { "status": 201, "result": "created" } },
            error(409, "version_conflict_engine_exception"),
            error(400, "mapper_parsing_exception"),
            error(400, "validation_exception"),
            error(429, "rejected_execution_exception"),
            error(503, "unavailable_shards_exception"),
        ] });
        let fates = fates(&answer, 6).expect("an answer to six");
        assert_eq!(fates[..2], [Fate::Stored, Fate::Stored]);
        assert_eq!(
            fates[2],
            Fate::Refused(Rejection::refused("mapper_parsing_exception", "r"))
        );
        assert!(fates[3..].iter().all(|fate| matches!(fate, Fate::Again(_))));
    }

    #[test]
    fn an_answer_of_another_shape_says_nothing() {
        assert!(fates(&json!({ "items": [] }), 1).is_none());
        assert!(fates(&json!({ "items": [{}] }), 1).is_none());
        assert!(fates(&Value::Null, 0).is_none());
    }

    #[test]
    fn the_index_is_the_day_of_the_kafka_timestamp() {
        let record = |timestamp_ms| Record {
            offset: 7,
            timestamp_ms,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let index = |timestamp_ms| index_name("web-logs", kafka_time(&record(timestamp_ms)));
        assert_eq!(index(Some(1_767_225_599_999)), "web-logs-2025.12.31");
        assert_eq!(index(Some(1_767_225_600_000)), "web-logs-2026.01.01");
        assert_eq!(index(None), "web-logs-1970.01.01");
        assert_eq!(document_id("web-logs", 3, 7), "web-logs-3-7");
    }
}
