//! The documents that the ETL writes into OpenSearch: one for each record, named topic-partition-offset, in the index of
//! the topic and of the day of the record's Kafka timestamp in UTC. Derived here anew from that contract.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use chrono::DateTime;
use clap::Args;
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::Url;
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use opensearch::indices::IndicesRefreshParts;
use opensearch::params::ExpandWildcards;
use opensearch::{OpenSearch as Client, SearchParts};
use pipeline::{Record, Secret};
use serde_json::{Value, json};

use super::derive::{Content, as_text, kafka_timestamp_us};
use super::source::{Range, Topic};
use super::store::{Answer, Below, Fields, Gap, Loaded, Store, check_identity};

/// Where the sink keeps its positions, and what retention took.
const OFFSETS_INDEX: &str = "millrace-ingest-offsets";
const GAPS_INDEX: &str = "millrace-ingest-gaps";
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

    /// A file with the password of the user in --opensearch-url
    #[arg(long, env = "OPENSEARCH_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::from_file)]
    opensearch_password_file: Option<Secret>,

    /// The certificates in PEM form that its certificate is checked against, besides the system's
    #[arg(long, env = "OPENSEARCH_CA_FILE", value_name = "FILE")]
    opensearch_ca_file: Option<PathBuf>,
}

pub struct OpenSearch {
    options: Options,
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
            options: options.clone(),
            client: None,
        }
    }

    fn client(&mut self) -> anyhow::Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let Options {
            opensearch_url,
            opensearch_password_file,
            opensearch_ca_file,
        } = &self.options;
        let mut url = opensearch_url.clone();
        if let Some(password) = opensearch_password_file {
            url = password.in_url(&url).map_err(|why| anyhow!(why))?;
        }
        let url = Url::parse(&url).with_context(|| format!("OPENSEARCH_URL {opensearch_url:?}"))?;
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(TIMEOUT)
            .disable_proxy();
        let ca_file = opensearch_ca_file.as_deref();
        // A variable that is set to nothing is not set.
        if let Some(file) = ca_file.filter(|file| *file != Path::new("")) {
            let what = || format!("OPENSEARCH_CA_FILE {}", file.display());
            let text = std::fs::read(file).with_context(what)?;
            let certificate = Certificate::from_pem(&text).with_context(what)?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        let client = Client::new(builder.build()?);
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Makes what is stored visible to searches.
    async fn refresh(&mut self, topic: &str) -> anyhow::Result<()> {
        let patterns = patterns(topic);
        let parts: Vec<&str> = patterns.iter().map(String::as_str).collect();
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
        let patterns = patterns(topic);
        let parts: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let hits = self.search(&parts, &body).await?;
        hits.iter().map(hit).collect()
    }

    async fn search(&mut self, indices: &[&str], body: &Value) -> anyhow::Result<Vec<Value>> {
        let client = self.client()?;
        let search = client
            .search(SearchParts::Index(indices))
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
        let mut answer: Value = answer.json().await.context("OpenSearch gives no JSON")?;
        if answer["_shards"]["failed"].as_i64() != Some(0) {
            bail!(
                "OpenSearch answers for some shards only: {}",
                answer["_shards"]
            );
        }
        match answer["hits"]["hits"].take() {
            Value::Array(hits) => Ok(hits),
            _ => bail!("OpenSearch gives an answer without hits"),
        }
    }

    /// What the sink remembers of a topic, in one of its own indices.
    async fn bookkeeping(
        &mut self,
        index: &str,
        topic: &str,
        partition: Option<i32>,
    ) -> anyhow::Result<Vec<Value>> {
        let mut filter = vec![json!({"term": {"topic": topic}})];
        filter.extend(partition.map(|partition| json!({"term": {"partition": partition}})));
        let body = json!({"size": 10_000, "query": {"bool": {"filter": filter}}});
        let hits = self.search(&[index], &body).await?;
        Ok(hits
            .into_iter()
            .map(|mut hit| hit["_source"].take())
            .collect())
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

/// All indices of a topic: one for each day of the years 1970 to 9999, but not those of a topic whose name goes on.
fn patterns(topic: &str) -> Vec<String> {
    (1..=9)
        .map(|millennium| format!("{topic}-{millennium}*.*.*"))
        .collect()
}

/// The index of a record: the day of its Kafka timestamp, 1970 for one without.
fn index(topic: &str, timestamp_us: Option<i64>) -> String {
    let day = DateTime::from_timestamp_micros(timestamp_us.unwrap_or(0)).unwrap_or_default();
    format!("{topic}-{}", day.format("%Y.%m.%d"))
}

impl Store for OpenSearch {
    fn name(&self) -> &'static str {
        "opensearch"
    }

    fn begin<'a>(&'a mut self, topic: &'a Topic) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            self.refresh(&topic.name).await?;
            let mut problems = Vec::new();
            for of in self.bookkeeping(OFFSETS_INDEX, &topic.name, None).await? {
                let text = |name: &str| of[name].as_str().unwrap_or_default();
                let what = format!("the position of partition {}", of["partition"]);
                let (cluster_id, topic_id) = (text("cluster_id"), text("topic_id"));
                problems.extend(check_identity(topic, &what, cluster_id, topic_id));
            }
            Ok(problems)
        })
    }

    fn expect(&self, topic: &Topic, partition: i32, record: &Record) -> Result<Fields, String> {
        let mut fields = Content::of(&topic.name).fields(record, as_text)?;
        let timestamp_us = kafka_timestamp_us(record);
        fields.insert("topic".into(), json!(topic.name));
        fields.insert("partition".into(), json!(partition));
        fields.insert("offset".into(), json!(record.offset));
        fields.insert(
            "kafka_timestamp".into(),
            timestamp_us.map_or(Value::Null, as_text),
        );
        fields.insert(
            "_id".into(),
            json!(format!("{}-{partition}-{}", topic.name, record.offset)),
        );
        fields.insert("_index".into(), json!(index(&topic.name, timestamp_us)));
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

    fn position<'a>(&'a mut self, topic: &'a Topic, partition: i32) -> Answer<'a, Option<i64>> {
        Box::pin(async move {
            let kept = self.bookkeeping(OFFSETS_INDEX, &topic.name, Some(partition));
            let kept = kept.await?;
            Ok(kept.first().and_then(|of| of["next_offset"].as_i64()))
        })
    }

    fn below<'a>(&'a mut self, topic: &'a Topic, range: Range) -> Answer<'a, Below> {
        Box::pin(async move {
            let mut below = Below::default();
            for gap in self
                .bookkeeping(GAPS_INDEX, &topic.name, Some(range.partition))
                .await?
            {
                if let (Some(from), Some(to)) =
                    (gap["from_offset"].as_i64(), gap["to_offset"].as_i64())
                    && gap["topic_id"] == json!(topic.identity.topic_id)
                {
                    below.gaps.push(Gap::between(range.partition, from, to));
                }
            }
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
