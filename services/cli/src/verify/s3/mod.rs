//! The archiver's objects, as they are laid out: derived here anew from the documented layout, not shared with the
//! archiver, so that a mistake in it cannot hide.

mod layout;
mod objects;

use std::collections::VecDeque;

use futures::StreamExt;
use pipeline::Record;
use serde_json::json;

use super::source::{Range, Topic};
use super::store::{Answer, Below, Fields, Gap, Loaded, Store, check_identity};
use layout::{Object, line};
pub use objects::Options;
use objects::{Fetched, Objects};

/// Metadata requests under way at a time.
const CONCURRENT: usize = 16;
/// Doubled offsets below the log start that are named.
const MAX_DOUBLED: usize = 100_000;

pub struct S3 {
    objects: Objects,
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
        S3::of(Objects::connect(options).await)
    }

    fn of(objects: Objects) -> S3 {
        let (ahead, chain_next, lines, last) = (VecDeque::new(), None, Vec::new(), Vec::new());
        S3 {
            objects,
            ahead,
            chain_next,
            lines,
            last,
            partition: None,
            begin: 0,
        }
    }

    /// The key of the object that holds a record, and the number of its line there, from 1.
    pub async fn place(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<Option<(String, i64)>> {
        let objects = self.objects.list(topic, partition, 0).await?;
        let behind = objects.partition_point(|object| object.start <= offset);
        let Some(object) = behind.checked_sub(1).map(|at| objects[at]) else {
            return Ok(None);
        };
        let key = self.objects.key(topic, partition, object);
        let mut before = 0;
        for (first, last) in self.objects.head(&key).await?.offsets {
            if (first..=last).contains(&offset) {
                return Ok(Some((key, before + offset - first + 1)));
            }
            before += last.saturating_sub(first) + 1;
        }
        Ok(None)
    }

    /// Reads what the listing left out before `listed`. A listing that runs while the archiver writes is no snapshot: it
    /// may have the later of two new objects and lack the earlier one. But the later one was put when the earlier one was
    /// there, so whatever is asked for by its name now and is not there is missing.
    async fn read_unlisted(
        &mut self,
        topic: &Topic,
        partition: i32,
        listed: Object,
        problems: &mut Vec<String>,
    ) {
        while let Some(start) = self.chain_next.filter(|next| *next < listed.start) {
            let object = Object { start, ..listed };
            match self.objects.find(&topic.name, partition, object).await {
                Some(found) => self.read_object(topic, found, problems),
                None => return,
            }
            if self.chain_next == Some(start) {
                return;
            }
        }
    }

    /// Takes an object's lines into `lines`.
    fn read_object(&mut self, topic: &Topic, object: Fetched, problems: &mut Vec<String>) {
        let Fetched {
            key,
            object: Object { start, .. },
            content,
        } = object;
        let (metadata, text) = match content {
            Ok(found) => found,
            Err(error) => return problems.push(format!("{error:#}")),
        };
        let what = format!("object {key}");
        let other = check_identity(topic, &what, &metadata.cluster_id, &metadata.topic_id);
        problems.extend(other);
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
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let offsets = metadata
            .offsets
            .iter()
            .map(|(first, last)| last.abs_diff(*first) + 1);
        let offsets = offsets.fold(0, u64::saturating_add);
        if lines.len() as u64 != offsets || metadata.count as u64 != offsets {
            let count = metadata.count;
            problems.push(format!(
                "object {key} has {} lines, its metadata says {count} records and {offsets} offsets",
                lines.len()
            ));
        }
        let offsets = metadata
            .offsets
            .iter()
            .flat_map(|(first, last)| *first..=*last);
        for (offset, line) in offsets.zip(lines) {
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
        let line = line(record.value.as_deref())?;
        Ok(Fields::from_iter([("line".to_owned(), json!(line))]))
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
                let all = self.objects.list(&topic.name, partition, 0).await?;
                // Objects before the one that holds `from` are looked at by `below`.
                let first = all
                    .partition_point(|object| object.start <= from)
                    .saturating_sub(1);
                self.ahead = all.into_iter().skip(first).collect();
                (self.partition, self.begin, self.chain_next) = (Some(partition), from, None);
                (self.lines, self.last) = (Vec::new(), Vec::new());
            } else if again {
                self.ahead = self
                    .objects
                    .list(&topic.name, partition, self.chain_next.unwrap_or(0))
                    .await?
                    .into();
            }
            let mut loaded = Loaded::default();
            let due = self.ahead.partition_point(|object| object.start < below);
            let due: Vec<Object> = self.ahead.drain(..due).collect();
            let last = due.last().copied();
            for object in self.objects.get_all(&topic.name, partition, due).await {
                self.read_unlisted(topic, partition, object.object, &mut loaded.problems)
                    .await;
                self.read_object(topic, object, &mut loaded.problems);
            }
            if let Some(last) = last {
                let behind = Object {
                    start: below,
                    ..last
                };
                self.read_unlisted(topic, partition, behind, &mut loaded.problems)
                    .await;
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

    fn position<'a>(&'a mut self, topic: &'a Topic, partition: i32) -> Answer<'a, Option<i64>> {
        Box::pin(async move {
            let objects = self.objects.list(&topic.name, partition, 0).await?;
            let Some(last) = objects.last() else {
                return Ok(None);
            };
            let key = self.objects.key(&topic.name, partition, *last);
            Ok(Some(self.objects.head(&key).await?.next))
        })
    }

    fn below<'a>(&'a mut self, topic: &'a Topic, range: Range) -> Answer<'a, Below> {
        Box::pin(async move {
            let mut objects = self.objects.list(&topic.name, range.partition, 0).await?;
            objects.retain(|object| object.start < range.start);
            let this = &self.objects;
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
                    let again = first..=last.min(range.start - 1).min(seen_below.saturating_sub(1));
                    below
                        .doubled
                        .extend(again.take(MAX_DOUBLED - below.doubled.len()));
                    seen_below = seen_below.max(last.saturating_add(1));
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

#[cfg(test)]
mod tests;
