//! What each sink has made of the record, compared with what it must have become.

use serde_json::{Map, Value, json};

use super::Options;
use super::record::Found;
use crate::verify::opensearch::OpenSearch;
use crate::verify::postgres::Postgres;
use crate::verify::s3::S3;
use crate::verify::store::Store;

/// Asks every store.
pub async fn look(options: &Options, found: &Found) -> Map<String, Value> {
    let mut s3 = S3::connect(options.s3.clone()).await;
    let mut sinks = Map::new();
    sinks.insert(
        "postgres".to_owned(),
        one(&mut Postgres::new(&options.postgres), options, found).await,
    );
    let mut documents = one(&mut OpenSearch::new(&options.opensearch), options, found).await;
    if documents["state"] == "stored" {
        documents["index"] = documents["stored"]["_index"].take();
        documents["id"] = documents["stored"]["_id"].take();
    }
    sinks.insert("opensearch".to_owned(), documents);
    let mut lines = one(&mut s3, options, found).await;
    if lines["state"] == "stored" {
        match s3
            .place(&found.topic.name, options.partition, options.offset)
            .await
        {
            Ok(Some((key, line))) => {
                lines["key"] = json!(key);
                lines["line"] = json!(line);
            }
            Ok(None) => {}
            Err(error) => lines["problem"] = json!(format!("{error:#}")),
        }
    }
    sinks.insert("s3".to_owned(), lines);
    sinks
}

async fn one(store: &mut dyn Store, options: &Options, found: &Found) -> Value {
    match asked(store, options, found).await {
        Ok(answer) => answer,
        Err(error) => json!({
            "state": "unknown",
            "why": format!("the store cannot be asked: {error:#}"),
        }),
    }
}

async fn asked(store: &mut dyn Store, options: &Options, found: &Found) -> anyhow::Result<Value> {
    let Options {
        partition, offset, ..
    } = *options;
    let problems = store.begin(&found.topic).await?;
    if !problems.is_empty() {
        return Ok(json!({"state": "unknown", "why": problems.join("; ")}));
    }
    let topic = &found.topic;
    let loaded = store
        .load(topic, partition, offset, offset + 1, false)
        .await?;
    let mut stored = loaded.stored.into_iter().map(|(_, fields)| fields);
    let Some(first) = stored.next() else {
        return missing(store, options, found).await;
    };
    let times = 1 + stored.count();
    let mut answer = json!({"state": "stored", "stored": first});
    if times > 1 {
        answer["problem"] = json!(format!("stored {times} times"));
    }
    if let Ok(record) = &found.record {
        match store.expect(topic, partition, record) {
            Ok(expected) if expected == first => answer["as_expected"] = json!(true),
            Ok(expected) => {
                answer["as_expected"] = json!(false);
                answer["expected"] = json!(expected);
            }
            Err(reason) => {
                answer["as_expected"] = json!(false);
                answer["problem"] = json!(format!("it should have been refused: {reason}"));
            }
        }
    }
    Ok(answer)
}

/// Why the store does not hold the record.
async fn missing(store: &mut dyn Store, options: &Options, found: &Found) -> anyhow::Result<Value> {
    let Options {
        partition, offset, ..
    } = *options;
    let letters = &found.letters;
    let letter = letters.between(store.name(), partition, offset, offset + 1);
    if !letter.is_empty() {
        return Ok(json!({
            "state": "dead-lettered",
            "why": format!("the sink refused it: see its reason in {}.dlq", options.topic),
        }));
    }
    let position = store.position(&found.topic, partition).await?;
    let why = match (position, &found.record) {
        (None, _) => "the sink has stored nothing of this partition yet".to_owned(),
        (Some(next), Ok(_)) if next <= offset => format!(
            "not stored yet: the sink goes on at offset {next}, {} before this one",
            offset - next
        ),
        (Some(next), Err(_)) if next <= offset => {
            format!("the sink goes on at offset {next}")
        }
        (Some(next), Err(_)) => format!(
            "the sink is past it, at offset {next}: it never was a record, or retention took it first"
        ),
        (Some(next), Ok(record)) => {
            let refused = store.expect(&found.topic, partition, record).err();
            let refused = refused.map(|reason| format!("; it cannot be stored as {reason}"));
            format!(
                "lost: the sink is past it, at offset {next}, and there is no dead letter{}",
                refused.unwrap_or_default()
            )
        }
    };
    let is_late = position.is_none_or(|next| next <= offset);
    let state = if is_late { "pending" } else { "missing" };
    Ok(json!({"state": state, "why": why}))
}
