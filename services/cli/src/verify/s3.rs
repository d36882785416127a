//! The archiver's objects, as they are laid out: derived here anew from the documented layout, not shared with the
//! archiver, so that a mistake in it cannot hide.

use std::collections::{HashMap, VecDeque};
use std::io::Read;

use anyhow::{Context, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::DisplayErrorContext;
use clap::Args;
use futures::StreamExt;
use pipeline::Record;
use serde_json::json;

use super::source::{Range, Topic};
use super::store::{Answer, Below, Fields, Gap, Loaded, Store};

/// Largest content of an object that is read: 64 MiB and one record, unpacked.
const MAX_OBJECT_BYTES: u64 = 96 << 20;
/// Metadata requests under way at a time.
const CONCURRENT: usize = 16;
/// Objects being read at a time.
const CONCURRENT_READS: usize = 8;

/// Where the archive is.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Endpoint of the S3 store [default: AWS]
    #[arg(long, env = "S3_ENDPOINT_URL", value_name = "URL")]
    s3_endpoint_url: Option<String>,

    /// The archive's bucket
    #[arg(
        long,
        env = "S3_BUCKET",
        value_name = "NAME",
        default_value = "millrace"
    )]
    s3_bucket: String,

    /// The archiver's topics.dir
    #[arg(
        long,
        env = "S3_TOPICS_DIR",
        value_name = "PATH",
        default_value = "topics"
    )]
    s3_topics_dir: String,
}

/// One object, by what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    start: i64,
    is_gzip: bool,
}

/// An object as it was read, or why it could not be.
struct Fetched {
    key: String,
    start: i64,
    content: anyhow::Result<(Metadata, Vec<u8>)>,
}

#[derive(Debug)]
struct Metadata {
    next: i64,
    count: usize,
    offsets: Vec<(i64, i64)>,
    gap: Vec<(i64, i64)>,
    cluster_id: String,
    topic_id: String,
}

pub struct S3 {
    client: Client,
    options: Options,
    /// Objects of the partition being read that have not been read yet, by start offset.
    ahead: VecDeque<Object>,
    /// Where the next object must start; `None` before the partition's first.
    chain_next: Option<i64>,
    /// Lines read from objects and not yet asked for.
    lines: Vec<(i64, Fields)>,
    /// What the last stretch held, for when it is asked for again.
    last: Vec<(i64, Fields)>,
    partition: Option<i32>,
    /// Where reading of the partition began.
    begin: i64,
}

impl S3 {
    pub async fn connect(options: Options) -> S3 {
        let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .load()
            .await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if shared.region().is_none() {
            config = config.region(Region::new("us-east-1"));
        }
        if shared.credentials_provider().is_none() {
            config =
                config.credentials_provider(Credentials::new("none", "none", None, None, "absent"));
        }
        if let Some(url) = &options.s3_endpoint_url {
            config = config.endpoint_url(url).force_path_style(true);
        }
        let (ahead, chain_next, lines, last) = (VecDeque::new(), None, Vec::new(), Vec::new());
        S3 {
            client: Client::from_conf(config.build()),
            options,
            ahead,
            chain_next,
            lines,
            last,
            partition: None,
            begin: 0,
        }
    }

    fn prefix(&self, topic: &str, partition: i32) -> String {
        format!(
            "{}/{topic}/partition={partition}/{topic}+{partition}+",
            self.options.s3_topics_dir
        )
    }

    fn key(&self, topic: &str, partition: i32, object: Object) -> String {
        let extension = if object.is_gzip { ".json.gz" } else { ".json" };
        format!(
            "{}{:010}{extension}",
            self.prefix(topic, partition),
            object.start
        )
    }

    /// All objects of a partition from start offset `from` on, in the order of numbers.
    async fn list(&self, topic: &str, partition: i32, from: i64) -> anyhow::Result<Vec<Object>> {
        let prefix = self.prefix(topic, partition);
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.options.s3_bucket)
            .prefix(&prefix);
        let mut pages = request.into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| readable("list", &prefix, &error))?;
            for key in page
                .contents
                .into_iter()
                .flatten()
                .filter_map(|object| object.key)
            {
                let name = key.strip_prefix(&prefix).unwrap_or_default();
                let is_gzip = name.ends_with(".gz");
                let digits = name
                    .strip_suffix(".gz")
                    .unwrap_or(name)
                    .strip_suffix(".json");
                let start = digits.and_then(|digits| digits.parse::<i64>().ok());
                match start.map(|start| Object { start, is_gzip }) {
                    Some(object) if self.key(topic, partition, object) == key => {
                        objects.push(object)
                    }
                    _ => bail!("object {key} has a name that the archiver does not give"),
                }
            }
        }
        objects.retain(|object| object.start >= from);
        objects.sort_unstable();
        Ok(objects)
    }

    async fn head(&self, key: &str) -> anyhow::Result<Metadata> {
        let found = self
            .client
            .head_object()
            .bucket(&self.options.s3_bucket)
            .key(key)
            .send()
            .await;
        let found = found.map_err(|error| readable("HEAD", key, &error))?;
        metadata(key, &found.metadata.unwrap_or_default())
    }

    async fn get(&self, key: &str) -> anyhow::Result<(Metadata, Vec<u8>)> {
        let found = self
            .client
            .get_object()
            .bucket(&self.options.s3_bucket)
            .key(key)
            .send()
            .await;
        let found = found.map_err(|error| readable("GET", key, &error))?;
        let metadata = metadata(key, found.metadata.as_ref().unwrap_or(&HashMap::new()))?;
        if found.content_length.unwrap_or(0).unsigned_abs() > MAX_OBJECT_BYTES {
            bail!("object {key} is larger than the archiver makes them");
        }
        let body = found
            .body
            .collect()
            .await
            .with_context(|| format!("GET {key}"))?
            .to_vec();
        if !key.ends_with(".gz") {
            return Ok((metadata, body));
        }
        let mut text = Vec::new();
        let unpacked = flate2::read::MultiGzDecoder::new(&body[..])
            .take(MAX_OBJECT_BYTES)
            .read_to_end(&mut text);
        unpacked.with_context(|| format!("object {key} is not gzip"))?;
        Ok((metadata, text))
    }

    /// Gets the objects, a few at a time, in order.
    async fn get_all(&self, topic: &str, partition: i32, objects: Vec<Object>) -> Vec<Fetched> {
        let get = |object: Object| async move {
            let key = self.key(topic, partition, object);
            let content = self.get(&key).await;
            Fetched {
                key,
                start: object.start,
                content,
            }
        };
        futures::stream::iter(objects)
            .map(get)
            .buffered(CONCURRENT_READS)
            .collect()
            .await
    }

    /// Takes an object's lines into `lines`.
    fn read_object(&mut self, topic: &Topic, object: Fetched, problems: &mut Vec<String>) {
        let Fetched {
            key,
            start,
            content,
        } = object;
        let (metadata, text) = match content {
            Ok(found) => found,
            Err(error) => return problems.push(format!("{error:#}")),
        };
        check_identity(topic, &key, &metadata, problems);
        match self.chain_next {
            Some(next) if start > next => problems.push(format!(
                "objects for offsets {next}-{} are missing: {key} starts behind them",
                start - 1
            )),
            Some(next) if start < next => problems.push(format!(
                "object {key} starts at {start}, but the objects before it reach to {}",
                next - 1
            )),
            _ => {}
        }
        self.chain_next = Some(self.chain_next.unwrap_or(start).max(metadata.next));
        let offsets: Vec<i64> = metadata
            .offsets
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect();
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        if lines.len() != offsets.len() || metadata.count != offsets.len() {
            let (count, ranges) = (metadata.count, offsets.len());
            problems.push(format!(
                "object {key} has {} lines, its metadata says {count} records and {ranges} offsets",
                lines.len()
            ));
        }
        for (offset, line) in offsets.into_iter().zip(lines) {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let text = String::from_utf8_lossy(line).into_owned();
            self.lines.push((
                offset,
                Fields::from_iter([("line".to_owned(), json!(text))]),
            ));
        }
    }
}

impl Store for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn begin<'a>(&'a mut self, _: &'a Topic) -> Answer<'a, Vec<String>> {
        // Whose records an object holds is in its metadata.
        self.partition = None;
        Box::pin(async { Ok(Vec::new()) })
    }

    fn expect(&self, _: &Topic, _: i32, record: &Record) -> Result<Fields, String> {
        let value = record.value.as_deref().ok_or("it has no value")?;
        let text = std::str::from_utf8(value).map_err(|error| error.to_string())?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| error.to_string())?;
        Ok(Fields::from_iter([(
            "line".to_owned(),
            json!(one_line(text)),
        )]))
    }

    fn load<'a>(
        &'a mut self,
        topic: &'a Topic,
        partition: i32,
        from: i64,
        below: i64,
        again: bool,
    ) -> Answer<'a, Loaded> {
        Box::pin(async move {
            if self.partition != Some(partition) {
                let all = self.list(&topic.name, partition, 0).await?;
                // Objects before the one that holds `from` are looked at by `below`.
                let first = all
                    .partition_point(|object| object.start <= from)
                    .saturating_sub(1);
                self.ahead = all.into_iter().skip(first).collect();
                (self.partition, self.begin, self.chain_next) = (Some(partition), from, None);
                (self.lines, self.last) = (Vec::new(), Vec::new());
            } else if again {
                self.ahead = self
                    .list(&topic.name, partition, self.chain_next.unwrap_or(0))
                    .await?
                    .into();
            }
            let mut loaded = Loaded::default();
            let due = self.ahead.partition_point(|object| object.start < below);
            let due = self.ahead.drain(..due).collect();
            for object in self.get_all(&topic.name, partition, due).await {
                self.read_object(topic, object, &mut loaded.problems);
            }
            if !again {
                self.last.clear();
            }
            for line in std::mem::take(&mut self.lines) {
                match line.0 {
                    // The first object may begin before the log does.
                    offset if offset < self.begin => {}
                    offset if offset < below => self.last.push(line),
                    _ => self.lines.push(line),
                }
            }
            loaded.stored = self.last.clone();
            Ok(loaded)
        })
    }

    fn below<'a>(&'a mut self, topic: &'a Topic, range: Range) -> Answer<'a, Below> {
        Box::pin(async move {
            let mut objects = self.list(&topic.name, range.partition, 0).await?;
            objects.retain(|object| object.start < range.start);
            let this = &*self;
            let head = |object| async move {
                this.head(&this.key(&topic.name, range.partition, object))
                    .await
            };
            let mut heads = futures::stream::iter(objects)
                .map(head)
                .buffered(CONCURRENT);
            let mut below = Below::default();
            let mut seen_below = i64::MIN;
            while let Some(metadata) = heads.next().await {
                let metadata = metadata?;
                for (first, last) in metadata.offsets {
                    below.doubled.extend(
                        (first..=last.min(range.start - 1)).filter(|offset| *offset < seen_below),
                    );
                    seen_below = seen_below.max(last + 1);
                }
                let gaps = metadata.gap.into_iter();
                below.gaps.extend(gaps.map(|(first, last)| Gap {
                    partition: range.partition,
                    first,
                    last,
                }));
            }
            Ok(below)
        })
    }
}

fn metadata(key: &str, fields: &HashMap<String, String>) -> anyhow::Result<Metadata> {
    let field = |name: &str| {
        let value = fields.get(name).map(String::as_str);
        value.with_context(|| {
            format!("object {key} has no metadata {name}: the archiver did not write it")
        })
    };
    let bad = |name: &str| format!("object {key} has a broken metadata {name}");
    Ok(Metadata {
        next: field("millrace-next-offset")?
            .parse()
            .with_context(|| bad("next-offset"))?,
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

fn ranges(text: &str) -> anyhow::Result<Vec<(i64, i64)>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        anyhow::Ok((first.parse()?, last.parse()?))
    };
    parts.map(one).collect()
}

fn check_identity(topic: &Topic, key: &str, metadata: &Metadata, problems: &mut Vec<String>) {
    let identity = &topic.identity;
    if metadata.cluster_id != identity.cluster_id || metadata.topic_id != identity.topic_id {
        let Metadata {
            cluster_id,
            topic_id,
            ..
        } = metadata;
        problems.push(format!(
            "object {key} is of topic id {topic_id} of cluster {cluster_id}, not of this topic"
        ));
    }
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

fn readable<E, R>(
    operation: &str,
    key: &str,
    error: &aws_sdk_s3::error::SdkError<E, R>,
) -> anyhow::Error
where
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    anyhow::anyhow!("S3 {operation} {key}: {}", DisplayErrorContext(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_value_without_white_space_between_tokens() {
        assert_eq!(
            one_line("{ \"a b\" : [ 1.10, \"x \\\" y\" ] }\r\n"),
            "{\"a b\":[1.10,\"x \\\" y\"]}"
        );
        assert_eq!(one_line(r#"{"a":"\\"}"#), r#"{"a":"\\"}"#);
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(ranges("0-4,7").expect("ranges"), [(0, 4), (7, 7)]);
        assert_eq!(ranges("").expect("no ranges"), []);
        assert!(ranges("x").is_err());
    }
}
