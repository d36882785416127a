//! The documents that the ETL writes into OpenSearch: one for each record, named topic-partition-offset, in the index of
//! the topic and of the day of the record's Kafka timestamp in UTC. Derived here anew from that contract.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::DateTime;
use clap::Args;
use opensearch::http::Url;
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use opensearch::indices::IndicesRefreshParts;
use opensearch::params::ExpandWildcards;
use opensearch::{OpenSearch as Client, SearchParts};
use pipeline::Record;
use serde_json::{Value, json};

use super::source::{Range, Topic};
use super::store::{Answer, Below, Fields, Loaded, Store};
use super::values::object;

/// Documents in one answer.
const PAGE: usize = 2_000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the indices are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// The ETL's OpenSearch
    #[arg(
        long,
        env = "OPENSEARCH_URL",
        value_name = "URL",
        default_value = "http://localhost:9200"
    )]
    opensearch_url: String,
}

pub struct OpenSearch {
    url: String,
    client: Option<Client>,
}

/// One document as the search gives it.
struct Hit {
    offset: i64,
    fields: Fields,
    sort: Value,
}

impl OpenSearch {
    pub fn new(options: &Options) -> OpenSearch {
        OpenSearch {
            url: options.opensearch_url.clone(),
            client: None,
        }
    }

    fn client(&mut self) -> anyhow::Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let url =
            Url::parse(&self.url).with_context(|| format!("OPENSEARCH_URL {:?}", self.url))?;
        let transport = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(TIMEOUT)
            .build()?;
        let client = Client::new(transport);
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Makes what is stored visible to searches.
    async fn refresh(&mut self, topic: &str) -> anyhow::Result<()> {
        let pattern = pattern(topic);
        let parts = [pattern.as_str()];
        let client = self.client()?;
        let indices = client.indices();
        let refresh = indices
            .refresh(IndicesRefreshParts::Index(&parts))
            .allow_no_indices(true)
            .ignore_unavailable(true);
        let answer = refresh.send().await.context("OpenSearch does not answer")?;
        answer
            .error_for_status_code()
            .context("OpenSearch refuses to refresh")?;
        Ok(())
    }

    /// One page of the documents of these offsets, behind the one at `after`.
    async fn page(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        below: i64,
        after: Option<&Value>,
    ) -> anyhow::Result<Vec<Hit>> {
        let mut body = json!({
            "size": PAGE,
            "query": {"bool": {"filter": [
                {"term": {"partition": partition}},
                {"range": {"offset": {"gte": from, "lt": below}}},
            ]}},
            "sort": [{"offset": "asc"}, {"_index": "asc"}],
            "track_total_hits": false,
        });
        if let Some(after) = after {
            body["search_after"] = after.clone();
        }
        let pattern = pattern(topic);
        let parts = [pattern.as_str()];
        let client = self.client()?;
        let search = client
            .search(SearchParts::Index(&parts))
            .allow_no_indices(true)
            .ignore_unavailable(true);
        let answer = search
            .expand_wildcards(&[ExpandWildcards::Open])
            .body(body)
            .send()
            .await
            .context("OpenSearch does not answer")?;
        let answer = answer
            .error_for_status_code()
            .context("OpenSearch refuses the search")?;
        let answer: Value = answer.json().await.context("OpenSearch gives no JSON")?;
        if answer["_shards"]["failed"].as_i64() != Some(0) {
            bail!(
                "OpenSearch answers for some shards only: {}",
                answer["_shards"]
            );
        }
        let hits = answer["hits"]["hits"]
            .as_array()
            .context("an answer without hits")?;
        hits.iter().map(hit).collect()
    }
}

fn hit(hit: &Value) -> anyhow::Result<Hit> {
    let mut fields = hit["_source"]
        .as_object()
        .context("a document without its source")?
        .clone();
    let offset = fields
        .get("offset")
        .and_then(Value::as_i64)
        .context("a document without an offset")?;
    fields.insert("_id".into(), hit["_id"].clone());
    fields.insert("_index".into(), hit["_index"].clone());
    Ok(Hit {
        offset,
        fields,
        sort: hit["sort"].clone(),
    })
}

/// All indices of a topic: one for each day.
fn pattern(topic: &str) -> String {
    format!("{topic}-*")
}

fn index(topic: &str, timestamp_ms: i64) -> Result<String, String> {
    let time = DateTime::from_timestamp_millis(timestamp_ms)
        .ok_or("its Kafka timestamp is out of range")?;
    Ok(format!("{topic}-{}", time.format("%Y.%m.%d")))
}

impl Store for OpenSearch {
    fn name(&self) -> &'static str {
        "opensearch"
    }

    fn begin<'a>(&'a mut self, topic: &'a Topic) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            self.refresh(&topic.name).await?;
            Ok(Vec::new())
        })
    }

    fn expect(&self, topic: &Topic, partition: i32, record: &Record) -> Result<Fields, String> {
        let mut fields = object(record)?;
        let timestamp_ms = record.timestamp_ms.unwrap_or(0);
        fields.insert("topic".into(), json!(topic.name));
        fields.insert("partition".into(), json!(partition));
        fields.insert("offset".into(), json!(record.offset));
        fields.insert(
            "_id".into(),
            json!(format!("{}-{partition}-{}", topic.name, record.offset)),
        );
        fields.insert("_index".into(), json!(index(&topic.name, timestamp_ms)?));
        Ok(fields)
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
            if again {
                self.refresh(&topic.name).await?;
            }
            let mut loaded = Loaded::default();
            let mut after = None;
            loop {
                let hits = self
                    .page(&topic.name, partition, from, below, after.as_ref())
                    .await?;
                let is_last = hits.len() < PAGE;
                after = hits.last().map(|hit| hit.sort.clone());
                loaded
                    .stored
                    .extend(hits.into_iter().map(|hit| (hit.offset, hit.fields)));
                if is_last {
                    return Ok(loaded);
                }
            }
        })
    }

    fn below<'a>(&'a mut self, topic: &'a Topic, range: Range) -> Answer<'a, Below> {
        Box::pin(async move {
            let mut below = Below::default();
            let mut after = None;
            let mut before = None;
            loop {
                let hits = self
                    .page(&topic.name, range.partition, 0, range.start, after.as_ref())
                    .await?;
                for hit in &hits {
                    if before == Some(hit.offset) {
                        below.doubled.push(hit.offset);
                    }
                    before = Some(hit.offset);
                }
                if hits.len() < PAGE {
                    return Ok(below);
                }
                after = hits.last().map(|hit| hit.sort.clone());
            }
        })
    }
}
