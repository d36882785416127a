//! Decoders of programs. Those are no libraries, or bring SDKs that nothing here needs: so the modules themselves are
//! compiled.

// Each is used as far as it reads what comes from outside.
#![allow(dead_code)]

/// The ETL's bulk requests.
#[path = "../../../services/etl/src/opensearch/bulk.rs"]
pub mod bulk;
/// The archiver's file.
#[path = "../../../services/archiver/src/connector/mod.rs"]
pub mod connector;
/// `millrace verify`: the generators' counters.
#[path = "../../../services/cli/src/verify/counters.rs"]
pub mod counters;
/// `millrace verify`: what a record must become.
#[path = "../../../services/cli/src/verify/derive.rs"]
pub mod derive;
/// The archiver's lines.
#[path = "../../../services/archiver/src/json_line.rs"]
pub mod json_line;
/// `millrace verify`: the fields of an object.
#[path = "../../../services/cli/src/verify/known_fields.rs"]
pub mod known_fields;
/// `millrace verify`: the archiver's objects.
#[path = "../../../services/cli/src/verify/s3/layout.rs"]
pub mod layout;
/// Lines that a console producer is given.
#[path = "../../../services/cli/src/kafka_tools/line_reader.rs"]
pub mod line_reader;
/// The ETL's records.
#[path = "../../../services/etl/src/model.rs"]
pub mod model;
/// The archiver's names of objects.
#[path = "../../../services/archiver/src/naming.rs"]
pub mod naming;
/// The archiver's metadata of objects.
#[path = "../../../services/archiver/src/object.rs"]
pub mod object;
/// The bakery's orders.
#[path = "../../../services/bakery-producer/src/order.rs"]
pub mod order;
/// The archiver's ranges of offsets.
#[path = "../../../services/archiver/src/ranges.rs"]
pub mod ranges;
/// What the bakery's consumer prints.
#[path = "../../../services/bakery-producer/src/receipt.rs"]
pub mod receipt;

/// What `verify`'s modules look for beside them: the whole module reaches for stores.
pub mod store {
    pub type Fields = serde_json::Map<String, serde_json::Value>;
}

/// Of how many documents an answer to a bulk request of `count` says what became of them.
pub fn fates_told(answer: &serde_json::Value, count: usize) -> Option<usize> {
    bulk::fates(answer, count).map(|fates| fates.len())
}
