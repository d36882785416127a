//! Index templates with explicit mappings, and the two indices of the sink itself.

use opensearch::http::Method;
use pipeline::Error;
use serde_json::{Value, json};

use super::client::Client;
use crate::model::{Kind, Topics};

/// One document per partition: cluster id, topic id, next offset.
pub const OFFSETS_INDEX: &str = "millrace-ingest-offsets";
/// One document per gap that retention tore.
pub const GAPS_INDEX: &str = "millrace-ingest-gaps";

/// Creates or updates the templates, and the sink's own indices.
pub(super) async fn prepare(client: &Client, topics: &Topics) -> Result<(), Error> {
    for topic in topics.names() {
        let kind = topics.kind(&topic)?;
        let path = format!("/_index_template/millrace-{topic}");
        let answer = client
            .call(Method::Put, &path, &[], Some(&template(&topic, kind)))
            .await?;
        if !answer.is_success() {
            return Err(answer.unexpected("an index template"));
        }
    }
    for (index, mappings) in [
        (OFFSETS_INDEX, offsets_mappings()),
        (GAPS_INDEX, gaps_mappings()),
    ] {
        let body = json!({ "settings": settings(), "mappings": mappings });
        let answer = client
            .call(Method::Put, &format!("/{index}"), &[], Some(&body))
            .await?;
        let exists = answer.body["error"]["type"] == "resource_already_exists_exception";
        if !answer.is_success() && !exists {
            return Err(answer.unexpected("an index of the sink"));
        }
    }
    Ok(())
}

fn settings() -> Value {
    json!({ "index": { "number_of_shards": 1, "auto_expand_replicas": "0-1" } })
}

fn template(topic: &str, kind: Kind) -> Value {
    let mut properties = match kind {
        Kind::WebLogs => web_log_properties(),
        Kind::Orders => order_properties(),
    };
    properties["topic"] = json!({ "type": "keyword" });
    properties["partition"] = json!({ "type": "integer" });
    properties["offset"] = json!({ "type": "long" });
    properties["kafka_timestamp"] = json!({ "type": "date" });
    json!({
        // The patterns end in the day, so that they match neither `<topic>.dlq` nor a topic with a longer name; a record may
        // say of itself that it is from any year from 1970 to 9999.
        "index_patterns": (1..=9).map(|millennium| format!("{topic}-{millennium}*.*.*")).collect::<Vec<_>>(),
        "priority": 200,
        "template": {
            "settings": settings(),
            "mappings": { "dynamic": "strict", "properties": properties },
        },
    })
}

/// Lucene refuses terms of more than 32,766 bytes; longer texts stay in the document but cannot be searched for whole.
fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": 8_191 })
}

fn text() -> Value {
    json!({ "type": "text", "fields": { "keyword": keyword() } })
}

fn web_log_properties() -> Value {
    json!({
        "ip": { "type": "ip" },
        "timestamp": { "type": "date" },
        "method": keyword(),
        "url": keyword(),
        "status_code": { "type": "short" },
        "user_agent": text(),
    })
}

fn order_properties() -> Value {
    json!({
        "id": keyword(),
        "customer": text(),
        "items": {
            "type": "nested",
            "properties": {
                "product": keyword(),
                "quantity": { "type": "integer" },
                "unit_price": { "type": "long" },
            },
        },
        "total": { "type": "long" },
        "store": keyword(),
        "payment_method": keyword(),
        "ordered_at": { "type": "date" },
    })
}

fn identity_properties() -> Value {
    json!({
        "cluster_id": { "type": "keyword" },
        "topic_id": { "type": "keyword" },
        "topic": { "type": "keyword" },
        "partition": { "type": "integer" },
        "at": { "type": "date" },
    })
}

fn offsets_mappings() -> Value {
    let mut properties = identity_properties();
    properties["next_offset"] = json!({ "type": "long" });
    json!({ "dynamic": "strict", "properties": properties })
}

fn gaps_mappings() -> Value {
    let mut properties = identity_properties();
    properties["from_offset"] = json!({ "type": "long" });
    properties["to_offset"] = json!({ "type": "long" });
    json!({ "dynamic": "strict", "properties": properties })
}
