//! What the names, the metadata and the lines of the archiver's objects say. All of it comes from a bucket into which others
//! may write too.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use serde::de::IgnoredAny;

/// One object, by what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    pub start: i64,
    pub is_gzip: bool,
}

#[derive(Debug)]
pub struct Metadata {
    pub next: i64,
    pub count: usize,
    /// Ascending, both ends included.
    pub offsets: Vec<(i64, i64)>,
    pub gap: Vec<(i64, i64)>,
    pub cluster_id: String,
    pub topic_id: String,
}

pub fn metadata(key: &str, fields: &HashMap<String, String>) -> anyhow::Result<Metadata> {
    let field = |name: &str| {
        let value = fields.get(name).map(String::as_str);
        value.with_context(|| {
            format!("object {key} has no metadata {name}: the archiver did not write it")
        })
    };
    let bad = |name: &str| format!("object {key} has a broken metadata {name}");
    Ok(Metadata {
        next: offset(field("millrace-next-offset")?).with_context(|| bad("next-offset"))?,
        count: field("millrace-record-count")?
            .parse()
            .with_context(|| bad("record-count"))?,
        offsets: ranges(field("millrace-offset-ranges")?).with_context(|| bad("offset-ranges"))?,
        gap: ranges(
            fields
                .get("millrace-retention-gap")
                .map_or("", String::as_str),
        )
        .with_context(|| bad("retention-gap"))?,
        cluster_id: field("millrace-cluster-id")?.to_owned(),
        topic_id: field("millrace-topic-id")?.to_owned(),
    })
}

fn offset(text: &str) -> anyhow::Result<i64> {
    let offset = text.parse()?;
    ensure!(offset >= 0, "{offset} is no offset");
    Ok(offset)
}

fn ranges(text: &str) -> anyhow::Result<Vec<(i64, i64)>> {
    let mut ranges = Vec::new();
    let mut next = 0;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (offset(first)?, offset(last)?);
        // No record has the largest offset, for then there were none to go on at.
        ensure!(
            next <= first && first <= last && last < i64::MAX,
            "{part} is no range, or not behind the one before"
        );
        ranges.push((first, last));
        next = last + 1;
    }
    Ok(ranges)
}

pub fn key(prefix: &str, object: Object) -> String {
    let extension = if object.is_gzip { ".json.gz" } else { ".json" };
    format!("{prefix}{:010}{extension}", object.start)
}

/// The object of this name, where it is one that the archiver gives.
pub fn named(prefix: &str, name: &str) -> Option<Object> {
    let rest = name.strip_prefix(prefix)?;
    let is_gzip = rest.ends_with(".gz");
    let digits = rest.strip_suffix(".gz").unwrap_or(rest);
    let start = offset(digits.strip_suffix(".json")?).ok()?;
    let object = Object { start, is_gzip };
    (key(prefix, object) == name).then_some(object)
}

/// The line of a record, or why it has to be refused.
pub fn line(value: Option<&[u8]>) -> Result<String, String> {
    let value = value.ok_or("it has no value")?;
    let text = std::str::from_utf8(value).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    Ok(one_line(text))
}

/// A JSON text without white space between its tokens.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => continue,
            '"' => {
                line.push(c);
                while let Some(inner) = rest.next() {
                    line.push(inner);
                    match inner {
                        '\\' => line.extend(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_archiver_gives_are_objects() {
        let object = Object {
            start: 42,
            is_gzip: true,
        };
        assert_eq!(named("t+0+", "t+0+0000000042.json.gz"), Some(object));
        assert_eq!(key("t+0+", object), "t+0+0000000042.json.gz");
        for other in [
            "t+0+42.json",
            "t+0+-000000042.json",
            "t+0+0000000042.avro",
            "t+1+0000000042.json",
            "t+0+0000000042.json-08d2a685-1b83-425a-943f-e8df8b96eaa7",
        ] {
            assert_eq!(named("t+0+", other), None, "{other}");
        }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(ranges("0-4,7").expect("ranges"), [(0, 4), (7, 7)]);
        assert_eq!(ranges("").expect("no ranges"), []);
        for broken in [
            "x",
            "4-0",
            "0-4,4",
            "-5",
            "0-9223372036854775807",
            "5--9223372036854775808",
        ] {
            assert!(ranges(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn metadata_that_says_something_impossible_is_refused() {
        let fields = |next: &str| {
            let fields = [
                ("cluster-id", "c"),
                ("topic-id", "t"),
                ("next-offset", next),
                ("record-count", "5"),
                ("offset-ranges", "0-4"),
            ];
            let field = |(name, value): (&str, &str)| (format!("millrace-{name}"), value.into());
            HashMap::from(fields.map(field))
        };
        assert_eq!(metadata("k", &fields("5")).expect("metadata").next, 5);
        for broken in ["-1", "-9223372036854775808", "9223372036854775808", "five"] {
            assert!(metadata("k", &fields(broken)).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_line_is_the_value_without_white_space_between_tokens() {
        assert_eq!(
            one_line("{ \"a b\" : [ 1.10, \"x \\\" y\" ] }\r\n"),
            "{\"a b\":[1.10,\"x \\\" y\"]}"
        );
        assert_eq!(one_line(r#"{"a":"\\"}"#), r#"{"a":"\\"}"#);
    }
}
