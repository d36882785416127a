//! What an object's metadata says about it, and what the marker of a partition holds.
//!
//! Metadata is what makes the objects a chain: the next object's name is in it. `millrace verify` reads the same keys.

use std::collections::HashMap;

use crate::ranges::Ranges;

const CLUSTER_ID: &str = "millrace-cluster-id";
const TOPIC_ID: &str = "millrace-topic-id";
const NEXT_OFFSET: &str = "millrace-next-offset";
const RECORD_COUNT: &str = "millrace-record-count";
const OFFSET_RANGES: &str = "millrace-offset-ranges";
const RETENTION_GAP: &str = "millrace-retention-gap";
const START_OFFSET: &str = "millrace-start-offset";
const EXTENSION: &str = "millrace-extension";

/// S3 allows 2 KB of user metadata in an object; a range is at most 39 characters, so 40 of them fit besides the rest.
pub const MAX_RANGES: usize = 40;

/// Which topic of which cluster the records are from: a name alone may have been used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub cluster_id: String,
    pub topic_id: String,
}

/// An object's metadata is absent or says something impossible.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("metadata {key} is {value:?}")]
pub struct Malformed {
    key: &'static str,
    value: Option<String>,
}

/// The metadata of one object of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMetadata {
    pub source: Source,
    /// Where the next object starts.
    pub next: i64,
    /// Lines in the object.
    pub count: usize,
    /// The offset of each line, in order.
    pub ranges: Ranges,
    /// Offsets at the object's beginning that retention took before they were read, inclusive.
    pub gap: Ranges,
}

impl ObjectMetadata {
    pub fn encode(&self) -> HashMap<String, String> {
        let mut fields = encode_source(&self.source);
        fields.insert(NEXT_OFFSET.into(), self.next.to_string());
        fields.insert(RECORD_COUNT.into(), self.count.to_string());
        fields.insert(OFFSET_RANGES.into(), self.ranges.to_string());
        if self.gap.count() > 0 {
            fields.insert(RETENTION_GAP.into(), self.gap.to_string());
        }
        fields
    }

    pub fn decode(fields: &HashMap<String, String>) -> Result<ObjectMetadata, Malformed> {
        Ok(ObjectMetadata {
            source: decode_source(fields)?,
            next: parse(fields, NEXT_OFFSET)?,
            count: parse(fields, RECORD_COUNT)?,
            ranges: parse(fields, OFFSET_RANGES)?,
            gap: if fields.contains_key(RETENTION_GAP) {
                parse(fields, RETENTION_GAP)?
            } else {
                Ranges::default()
            },
        })
    }
}

/// The marker, written once for a partition before its first object: where the chain starts and how its objects end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub source: Source,
    pub start: i64,
    pub extension: String,
}

impl Marker {
    pub fn encode(&self) -> HashMap<String, String> {
        let mut fields = encode_source(&self.source);
        fields.insert(START_OFFSET.into(), self.start.to_string());
        fields.insert(EXTENSION.into(), self.extension.clone());
        fields
    }

    pub fn decode(fields: &HashMap<String, String>) -> Result<Marker, Malformed> {
        let start = parse(fields, START_OFFSET)?;
        Ok(Marker {
            source: decode_source(fields)?,
            start,
            extension: text(fields, EXTENSION)?.to_owned(),
        })
    }

    /// The marker's content, for people who open it.
    pub fn body(&self) -> String {
        let Marker {
            source: Source {
                cluster_id,
                topic_id,
            },
            start,
            extension,
        } = self;
        let body = serde_json::json!({
            "cluster_id": cluster_id, "topic_id": topic_id, "start_offset": start, "extension": extension,
        });
        format!("{body}\n")
    }
}

fn encode_source(source: &Source) -> HashMap<String, String> {
    HashMap::from([
        (CLUSTER_ID.into(), source.cluster_id.clone()),
        (TOPIC_ID.into(), source.topic_id.clone()),
    ])
}

fn decode_source(fields: &HashMap<String, String>) -> Result<Source, Malformed> {
    let cluster_id = text(fields, CLUSTER_ID)?.to_owned();
    Ok(Source {
        cluster_id,
        topic_id: text(fields, TOPIC_ID)?.to_owned(),
    })
}

fn text<'a>(fields: &'a HashMap<String, String>, key: &'static str) -> Result<&'a str, Malformed> {
    fields
        .get(key)
        .map(String::as_str)
        .ok_or(Malformed { key, value: None })
}

fn parse<T: std::str::FromStr>(
    fields: &HashMap<String, String>,
    key: &'static str,
) -> Result<T, Malformed> {
    let value = text(fields, key)?;
    value.parse().map_err(|_| Malformed {
        key,
        value: Some(value.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            cluster_id: "c".into(),
            topic_id: "t".into(),
        }
    }

    #[test]
    fn metadata_is_read_back_and_fits_into_two_kilobytes() {
        let mut ranges = Ranges::default();
        (0..MAX_RANGES as i64)
            .for_each(|n| (0..2).for_each(|d| ranges.push(i64::MAX - 400 + 5 * n + d)));
        let metadata = ObjectMetadata {
            source: source(),
            next: i64::MAX,
            count: 80,
            ranges,
            gap: Ranges::default(),
        };
        let fields = metadata.encode();
        assert_eq!(ObjectMetadata::decode(&fields), Ok(metadata));
        let size: usize = fields
            .iter()
            .map(|(key, value)| key.len() + value.len() + "x-amz-meta-".len())
            .sum();
        assert!(size < 2048 - 100, "{size} bytes");
    }

    #[test]
    fn a_foreign_object_is_not_taken_for_ours() {
        assert!(ObjectMetadata::decode(&HashMap::new()).is_err());
        let marker = Marker {
            source: source(),
            start: 5,
            extension: ".json".into(),
        };
        assert_eq!(Marker::decode(&marker.encode()), Ok(marker.clone()));
        assert!(ObjectMetadata::decode(&marker.encode()).is_err());
    }
}
