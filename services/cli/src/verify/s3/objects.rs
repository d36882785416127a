//! Listing and reading the archiver's objects.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder as Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::get_object::GetObjectError;
use clap::Args;
use futures::StreamExt;
use pipeline::unfinished;

use super::layout::{Metadata, Object, key, metadata, named};

/// Largest content of an object that is read: 64 MiB and one record, unpacked.
const MAX_OBJECT_BYTES: u64 = 96 << 20;
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

/// An object as it was read, or why it could not be.
pub struct Fetched {
    pub key: String,
    pub object: Object,
    pub content: anyhow::Result<(Metadata, Vec<u8>)>,
}

/// The objects of one archive.
pub struct Objects {
    client: Client,
    options: Options,
}

impl Objects {
    pub async fn connect(options: Options) -> Objects {
        let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .load()
            .await;
        let mut config = Config::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::new("us-east-1"));
        }
        if shared.credentials_provider().is_none() {
            config =
                config.credentials_provider(Credentials::new("none", "none", None, None, "absent"));
        }
        Objects::new(config, options)
    }

    /// With region and credentials that are known.
    pub fn new(config: Config, options: Options) -> Objects {
        let mut config = config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(url) = &options.s3_endpoint_url {
            config = config.endpoint_url(url).force_path_style(true);
        }
        Objects {
            client: Client::from_conf(config.build()),
            options,
        }
    }

    fn prefix(&self, topic: &str, partition: i32) -> String {
        format!(
            "{}/{topic}/partition={partition}/{topic}+{partition}+",
            self.options.s3_topics_dir
        )
    }

    pub fn key(&self, topic: &str, partition: i32, object: Object) -> String {
        key(&self.prefix(topic, partition), object)
    }

    /// All objects of a partition from start offset `from` on, in the order of numbers.
    pub async fn list(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
    ) -> anyhow::Result<Vec<Object>> {
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
                match named(&prefix, &key) {
                    Some(object) => objects.push(object),
                    None if unfinished(&key).is_some_and(|name| named(&prefix, name).is_some()) => {
                    }
                    None => bail!("object {key} has a name that the archiver does not give"),
                }
            }
        }
        objects.retain(|object| object.start >= from);
        objects.sort_unstable();
        Ok(objects)
    }

    pub async fn head(&self, key: &str) -> anyhow::Result<Metadata> {
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

    /// The object of this name, if there is one.
    async fn get(&self, key: &str) -> anyhow::Result<Option<(Metadata, Vec<u8>)>> {
        let found = self
            .client
            .get_object()
            .bucket(&self.options.s3_bucket)
            .key(key)
            .send()
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetObjectError::is_no_such_key) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(readable("GET", key, &error)),
        };
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
            return Ok(Some((metadata, body)));
        }
        let mut text = Vec::new();
        let unpacked = flate2::read::MultiGzDecoder::new(&body[..])
            .take(MAX_OBJECT_BYTES)
            .read_to_end(&mut text);
        unpacked.with_context(|| format!("object {key} is not gzip"))?;
        Ok(Some((metadata, text)))
    }

    /// One object of a partition, if it is there.
    pub async fn find(&self, topic: &str, partition: i32, object: Object) -> Option<Fetched> {
        let key = self.key(topic, partition, object);
        let content = self.get(&key).await.transpose()?;
        Some(Fetched {
            key,
            object,
            content,
        })
    }

    /// Gets the objects, a few at a time, in order.
    pub async fn get_all(&self, topic: &str, partition: i32, objects: Vec<Object>) -> Vec<Fetched> {
        let get = |object: Object| async move {
            let found = self.find(topic, partition, object).await;
            found.unwrap_or_else(|| {
                let key = self.key(topic, partition, object);
                let content = Err(anyhow::anyhow!("object {key} is listed but not there"));
                Fetched {
                    key,
                    object,
                    content,
                }
            })
        };
        futures::stream::iter(objects)
            .map(get)
            .buffered(CONCURRENT_READS)
            .collect()
            .await
    }
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
