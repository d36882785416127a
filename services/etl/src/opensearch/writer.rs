//! Batches of one partition into OpenSearch.
//!
//! Documents first, then the position, which moves only where nobody else moved it. Between the two a crash costs a
//! repetition, and the ids make that harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::anyhow;
use chrono::Utc;
use opensearch::http::Method;
use pipeline::{Batch, Error, Gap, Rejection, Source, Writer};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Store;
use super::bulk::{Entry, Fate, document_id, fates};
use super::schema::{self, GAPS_INDEX, OFFSETS_INDEX};
use crate::model::{Kind, Moment, Parsed};

/// Bytes of one bulk request at most, far below OpenSearch's 100 MiB; a larger document goes alone.
const REQUEST_BYTES: usize = 8 << 20;

pub struct OpenSearchWriter {
    store: Arc<Store>,
    kind: Kind,
    source: Source,
    /// Offsets of the batch at hand that are stored or dead-lettered already: a retry leaves them out.
    done: BTreeSet<i64>,
    seen: Seen,
}

/// Which version of the position this owner knows.
#[derive(Clone, Copy, Default)]
struct Seen {
    seq_no: i64,
    primary_term: i64,
}

impl OpenSearchWriter {
    pub(super) fn new(store: Arc<Store>, kind: Kind, source: Source) -> OpenSearchWriter {
        OpenSearchWriter {
            store,
            kind,
            source,
            done: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    /// The position of this partition, from 0 when it is new.
    pub(super) async fn claim(&mut self) -> Result<i64, Error> {
        if let Some(position) = self.position().await? {
            return Ok(position);
        }
        // A store that came back empty has lost its templates, too.
        schema::prepare(&self.store.client, &self.store.topics).await?;
        let body = self.remembered(&[("next_offset", 0)]);
        let path = self.position_path("_create");
        let answer = self
            .store
            .client
            .call(Method::Put, &path, &[], Some(&body))
            .await?;
        // Another owner may have been quicker.
        if !answer.is_success() && answer.status != 409 {
            return Err(answer.unexpected("a first position"));
        }
        self.position()
            .await?
            .ok_or_else(|| answer.unexpected("a first position"))
    }

    /// The position that the store remembers, after holding the topic's identity against it.
    async fn position(&mut self) -> Result<Option<i64>, Error> {
        let answer = self
            .store
            .client
            .call(Method::Get, &self.position_path("_doc"), &[], None)
            .await?;
        let body = &answer.body;
        if answer.status == 404
            && (body["found"] == false || body["error"]["type"] == "index_not_found_exception")
        {
            return Ok(None);
        }
        let source = &body["_source"];
        let (Some(cluster_id), Some(topic_id), Some(next_offset), Some(seq_no), Some(primary_term)) = (
            source["cluster_id"].as_str(),
            source["topic_id"].as_str(),
            source["next_offset"].as_i64(),
            body["_seq_no"].as_i64(),
            body["_primary_term"].as_i64(),
        ) else {
            return Err(answer.unexpected("a look at the position"));
        };
        if (cluster_id, topic_id)
            != (
                &*self.source.identity.cluster_id,
                &*self.source.identity.topic_id,
            )
        {
            return Err(Error::Stop(self.mismatch(cluster_id, topic_id)));
        }
        self.seen = Seen {
            seq_no,
            primary_term,
        };
        Ok(Some(next_offset))
    }

    fn mismatch(&self, cluster_id: &str, topic_id: &str) -> anyhow::Error {
        let (topic, now) = (&self.source.partition.topic, &self.source.identity);
        anyhow!(
            "topic {topic} is not the one whose records OpenSearch holds: they came from cluster {cluster_id}, topic id {topic_id}; \
             this is cluster {}, topic id {}. Ways out: point the service at the former cluster; or store into another OpenSearch \
             (OPENSEARCH_URL); or, to give the old records up, delete the indices {topic}-* and the documents of topic '{topic}' in \
             {OFFSETS_INDEX}, and start again",
            now.cluster_id,
            now.topic_id,
        )
    }

    fn position_path(&self, endpoint: &str) -> String {
        format!(
            "/{OFFSETS_INDEX}/{endpoint}/{}-{}",
            self.source.partition.topic, self.source.partition.index
        )
    }

    fn remembered(&self, offsets: &[(&str, i64)]) -> Value {
        let mut body = json!({
            "cluster_id": self.source.identity.cluster_id,
            "topic_id": self.source.identity.topic_id,
            "topic": &*self.source.partition.topic,
            "partition": self.source.partition.index,
            "at": Moment::from(Utc::now()),
        });
        for (name, offset) in offsets {
            body[*name] = json!(offset);
        }
        body
    }

    /// Moves the position on the condition that nobody else did since it was read. Where somebody did, the position is
    /// theirs; where it is gone, the store has lost its documents with it, and they begin at 0 again.
    async fn move_position(&mut self, next_offset: i64) -> Result<i64, Error> {
        let body = self.remembered(&[("next_offset", next_offset)]);
        let (seq_no, primary_term) = (
            self.seen.seq_no.to_string(),
            self.seen.primary_term.to_string(),
        );
        let condition = [
            ("if_seq_no", seq_no.as_str()),
            ("if_primary_term", primary_term.as_str()),
        ];
        let answer = self
            .store
            .client
            .call(
                Method::Put,
                &self.position_path("_doc"),
                &condition,
                Some(&body),
            )
            .await?;
        if let (true, Some(seq_no), Some(primary_term)) = (
            answer.is_success(),
            answer.body["_seq_no"].as_i64(),
            answer.body["_primary_term"].as_i64(),
        ) {
            self.seen = Seen {
                seq_no,
                primary_term,
            };
            return Ok(next_offset);
        }
        if answer.status == 409 || answer.status == 404 {
            return Ok(self.position().await?.unwrap_or(0));
        }
        Err(answer.unexpected("a new position"))
    }

    /// Sends what is not done yet, in requests of bounded size.
    async fn store(&mut self, batch: &Batch) -> Result<(), Error> {
        let began = Instant::now();
        let mut refused = BTreeMap::new();
        let mut entries = Vec::new();
        for record in batch
            .records
            .iter()
            .filter(|record| !self.done.contains(&record.offset))
        {
            match Parsed::of(self.kind, record) {
                Ok(parsed) => entries.push(Entry::new(&self.source.partition, record, &parsed)),
                Err(rejection) => drop(refused.insert(record.offset, rejection)),
            }
        }
        self.source.stages.decode.observe(began.elapsed());
        let began = Instant::now();
        let mut again = None;
        let mut requests: Vec<&[Entry]> = requests(&entries);
        while let Some(request) = requests.pop() {
            let body: String = request.iter().map(|entry| entry.lines.as_str()).collect();
            let answer = self.store.client.bulk(body, request.len()).await?;
            match (answer.status, request) {
                (413, [entry]) => {
                    let rejection = Rejection::refused(
                        "RequestTooLarge",
                        "OpenSearch refuses a request of this size",
                    );
                    refused.insert(entry.offset, rejection);
                }
                (413, request) => {
                    let (left, right) = request.split_at(request.len() / 2);
                    requests.extend([left, right]);
                }
                _ => {
                    let fates = fates(&answer.body, request.len())
                        .ok_or_else(|| answer.unexpected("a bulk request"))?;
                    for (entry, fate) in request.iter().zip(fates) {
                        match fate {
                            Fate::Stored => drop(self.done.insert(entry.offset)),
                            Fate::Refused(rejection) => {
                                drop(refused.insert(entry.offset, rejection))
                            }
                            Fate::Again(reason) => again = Some(reason),
                        }
                    }
                }
            }
        }
        self.source.stages.write.observe(began.elapsed());
        self.report(batch, &refused).await?;
        match again {
            Some(reason) => Err(Error::Retry(anyhow!(
                "OpenSearch put off some documents: {reason}"
            ))),
            None => Ok(()),
        }
    }

    async fn report(
        &mut self,
        batch: &Batch,
        refused: &BTreeMap<i64, Rejection>,
    ) -> Result<(), Error> {
        let letters = batch
            .records
            .iter()
            .filter_map(|record| Some((record, refused.get(&record.offset)?.clone())));
        let letters: Vec<_> = letters.collect();
        self.store
            .dead_letters
            .send(&self.source.partition, &letters)
            .await
            .map_err(Error::Retry)?;
        self.done.extend(refused.keys());
        Ok(())
    }
}

/// Cuts the entries into requests of bounded size.
fn requests(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut requests = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        if index > begin && bytes + entry.lines.len() > REQUEST_BYTES {
            requests.push(&entries[begin..index]);
            (begin, bytes) = (index, 0);
        }
        bytes += entry.lines.len();
    }
    if begin < entries.len() {
        requests.push(&entries[begin..]);
    }
    requests
}

impl Writer for OpenSearchWriter {
    async fn write(&mut self, batch: &Batch) -> Result<i64, Error> {
        self.store(batch).await?;
        let began = Instant::now();
        let position = self.move_position(batch.next_offset).await?;
        self.source.stages.commit.observe(began.elapsed());
        self.done.retain(|offset| *offset >= position);
        Ok(position)
    }

    async fn skip(&mut self, gap: Gap) -> Result<i64, Error> {
        let partition = &self.source.partition;
        let body = self.remembered(&[("from_offset", gap.from), ("to_offset", gap.to)]);
        let id = document_id(&partition.topic, partition.index, gap.from);
        let path = format!("/{GAPS_INDEX}/_doc/{}-{id}", self.source.identity.topic_id);
        let answer = self
            .store
            .client
            .call(Method::Put, &path, &[], Some(&body))
            .await?;
        if !answer.is_success() {
            return Err(answer.unexpected("a gap"));
        }
        self.move_position(gap.to).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_within_their_size_and_lose_nothing() {
        let entry = |offset: i64, bytes: usize| Entry {
            offset,
            lines: "x".repeat(bytes),
        };
        let entries = [
            entry(0, 10),
            entry(1, REQUEST_BYTES),
            entry(2, REQUEST_BYTES + 1),
            entry(3, 10),
            entry(4, 10),
        ];
        let cut: Vec<Vec<i64>> = requests(&entries)
            .iter()
            .map(|request| request.iter().map(|entry| entry.offset).collect())
            .collect();
        assert_eq!(cut, [vec![0], vec![1], vec![2], vec![3, 4]]);
        assert!(requests(&[]).is_empty());
    }
}
