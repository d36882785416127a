//! The three stores of a mesh, to be looked into and spoiled.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, ensure};
use aws_sdk_s3::config::{Credentials, Region, RequestChecksumCalculation};
use bytes::Bytes;
use opensearch::OpenSearch;
use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use opensearch::http::request::JsonBody;
use opensearch::http::transport::Transport;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

pub struct Stores {
    postgres: PgPool,
    opensearch: OpenSearch,
    s3: aws_sdk_s3::Client,
    bucket: String,
}

/// One of the archiver's objects.
pub struct Object {
    pub key: String,
    pub partition: i32,
    pub start: i64,
    pub body: Bytes,
    pub metadata: HashMap<String, String>,
}

impl Stores {
    pub async fn connect(environment: &BTreeMap<String, String>) -> anyhow::Result<Stores> {
        let value = |name: &str| {
            environment
                .get(name)
                .map(String::as_str)
                .unwrap_or_default()
        };
        let keys = Credentials::new(
            value("AWS_ACCESS_KEY_ID"),
            value("AWS_SECRET_ACCESS_KEY"),
            None,
            None,
            "mesh",
        );
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(Region::new(value("AWS_REGION").to_owned()))
            .endpoint_url(value("S3_ENDPOINT_URL"))
            .force_path_style(true)
            .credentials_provider(keys)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Ok(Stores {
            postgres: PgPool::connect(value("DATABASE_URL")).await?,
            opensearch: OpenSearch::new(Transport::single_node(value("OPENSEARCH_URL"))?),
            s3: aws_sdk_s3::Client::from_conf(s3),
            bucket: value("S3_BUCKET").to_owned(),
        })
    }

    pub async fn sql(&self, statement: &str) -> anyhow::Result<()> {
        let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&self.postgres)
            .await;
        done.with_context(|| statement.to_owned())?;
        Ok(())
    }

    /// The partition and the offset of a row from the middle of what the table holds of a topic.
    pub async fn some_row(&self, table: &str, topic: &str) -> anyhow::Result<(i32, i64)> {
        let query = format!(
            "SELECT partition, \"offset\" FROM {table} WHERE topic = '{topic}' ORDER BY \"offset\", partition OFFSET 7 LIMIT 1"
        );
        Ok(sqlx::query_as(AssertSqlSafe(query))
            .fetch_one(&self.postgres)
            .await?)
    }

    /// How many rows the table holds of a topic.
    pub async fn count(&self, table: &str, topic: &str) -> anyhow::Result<i64> {
        let query = format!("SELECT count(*) FROM {table} WHERE topic = '{topic}'");
        Ok(sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&self.postgres)
            .await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(JsonBody::new);
        let none: Option<&()> = None;
        let send =
            self.opensearch
                .transport()
                .send(method, path, HeaderMap::new(), none, body, None);
        Ok(send.await?.error_for_status_code()?.json().await?)
    }

    /// The index that holds this document, and the document with its id.
    pub async fn document(&self, id: &str) -> anyhow::Result<(String, Value)> {
        let body = json!({"query": {"ids": {"values": [id]}}});
        let mut found = self
            .call(Method::Post, "/web-logs-*/_search", Some(&body))
            .await?;
        let hit = found["hits"]["hits"][0].take();
        Ok((
            hit["_index"]
                .as_str()
                .context("the document is not there")?
                .to_owned(),
            hit,
        ))
    }

    /// What the OpenSearch sink remembers of a partition.
    pub async fn position(&self, partition: &str) -> anyhow::Result<Value> {
        let path = format!("/millrace-ingest-offsets/_doc/{partition}");
        self.call(Method::Get, &path, None).await
    }

    pub async fn put_document(&self, index: &str, document: &Value) -> anyhow::Result<()> {
        let id = document["_id"].as_str().context("an id")?;
        let path = format!("/{index}/_doc/{id}?refresh=true");
        self.call(Method::Put, &path, Some(&document["_source"]))
            .await
            .map(drop)
    }

    pub async fn delete_document(&self, index: &str, document: &Value) -> anyhow::Result<()> {
        let id = document["_id"].as_str().context("an id")?;
        self.call(
            Method::Delete,
            &format!("/{index}/_doc/{id}?refresh=true"),
            None,
        )
        .await
        .map(drop)
    }

    /// The keys of all objects of lines under a prefix, in the order of text.
    async fn keys(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let list = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page?;
            let found = page.contents().iter().filter_map(|object| object.key());
            keys.extend(
                found
                    .filter(|key| key.ends_with(".json"))
                    .map(str::to_owned),
            );
        }
        Ok(keys)
    }

    /// An object that has others of its partition before and behind it.
    pub async fn some_object(&self, prefix: &str) -> anyhow::Result<Object> {
        let keys = self.keys(prefix).await?;
        let directory = |key: &str| {
            key.rsplit_once('/')
                .map(|(directory, _)| directory.to_owned())
        };
        let middle = &keys
            .windows(3)
            .find(|keys| directory(&keys[0]) == directory(&keys[2]))
            .context("three objects")?[1];
        self.get_object(middle).await
    }

    async fn get_object(&self, key: &str) -> anyhow::Result<Object> {
        let name = key.rsplit('/').next().unwrap_or_default();
        let parts: Vec<&str> = name.trim_end_matches(".json").split('+').collect();
        ensure!(parts.len() == 3, "{name}");
        let get = self.s3.get_object().bucket(&self.bucket).key(key);
        let found = get.send().await?;
        Ok(Object {
            key: key.to_owned(),
            partition: parts[1].parse()?,
            start: parts[2].parse()?,
            metadata: found.metadata.clone().unwrap_or_default(),
            body: found.body.collect().await?.into_bytes(),
        })
    }

    pub async fn put_object(
        &self,
        key: &str,
        body: Bytes,
        metadata: &HashMap<String, String>,
    ) -> anyhow::Result<()> {
        let put = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .set_metadata(Some(metadata.clone()))
            .body(body.into());
        put.send().await?;
        Ok(())
    }

    /// Adds an object to the end of a chain which says that the next one begins `beyond` offsets further; gives its key.
    pub async fn forge_object(&self, directory: &str, beyond: i64) -> anyhow::Result<String> {
        let keys = self.keys(directory).await?;
        let last = keys.last().context("an object")?;
        let found = self.get_object(last).await?;
        let next: i64 = found
            .metadata
            .get("millrace-next-offset")
            .context("our metadata")?
            .parse()?;
        let (stem, _) = last.rsplit_once('+').context("our name")?;
        let key = format!("{stem}+{next:010}.json");
        let mut metadata = found.metadata;
        metadata.insert("millrace-next-offset".into(), (next + beyond).to_string());
        self.put_object(&key, found.body, &metadata).await?;
        Ok(key)
    }

    pub async fn delete_object(&self, key: &str) -> anyhow::Result<()> {
        self.s3
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await?;
        Ok(())
    }
}

impl Object {
    /// The first line with another method.
    pub fn altered(&self) -> Bytes {
        let text = String::from_utf8_lossy(&self.body);
        Bytes::from(text.replacen("\"method\":\"", "\"method\":\"X", 1))
    }

    pub fn without_first_line(&self) -> Bytes {
        let end = self
            .body
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        self.body.slice(end..)
    }
}
