//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use pipeline::KafkaOptions;

use crate::connector::Connector;
use crate::store::s3::Location;

/// How long an object may take after its interval is over.
const SLACK: Duration = Duration::from_secs(10);

/// Archives Kafka topics in S3, exactly once, with the layout of Kafka Connect's S3 sink.
///
/// Objects are named <topics.dir>/<topic>/partition=<N>/<topic>+<N>+<start offset>.json[.gz] and hold one JSON value a
/// line. Each is written by one conditional PUT (If-None-Match: *) and starts where the one before it ends, so that any
/// number of archivers can run at once. A record that is not JSON goes to <topic>.dlq with its reason.
///
/// An object is written when it has flush.size lines or 64 MiB, or after rotate.schedule.interval.ms; with fewer lines when
/// --memory-bytes are used up, or when its offsets have more holes than its metadata can name. What retention took before
/// it could be read stands in the metadata of the object that follows. A compacted topic is refused.
///
/// The configuration file holds the properties of Kafka Connect's S3 sink, flat or as {"name", "config"}. ${env:NAME} in a
/// value is replaced by the environment variable.
///
///   {"name": "demo", "topics": "web-logs,bk-orders", "s3.bucket.name": "millrace", "store.url": "http://localhost:17070",
///    "flush.size": "10", "rotate.schedule.interval.ms": "10000"}
///
/// Without store.url (and S3_ENDPOINT_URL) objects go to AWS. Credentials are found as AWS's own tools find them:
/// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profiles, web identity, instance metadata.
#[derive(Debug, Parser)]
#[command(name = "archiver", version, verbatim_doc_comment)]
pub struct Options {
    /// The file of S3-sink properties.
    #[arg(
        long,
        short,
        env = "ARCHIVER_CONFIG",
        default_value = "s3_conn_config.json",
        value_name = "FILE"
    )]
    pub config: PathBuf,

    #[command(flatten)]
    pub kafka: KafkaOptions,

    /// Consumer group [default: connect-<name>, as in Kafka Connect]
    #[arg(long, env = "ARCHIVER_GROUP_ID", value_name = "GROUP")]
    pub group_id: Option<String>,

    /// A name of this process, of its own and the same at each start (Kafka's group.instance.id): then a process that was
    /// killed gets its partitions back at once when it is started again, instead of after ten seconds
    #[arg(long, env = "INSTANCE_ID", value_name = "NAME")]
    pub instance_id: Option<String>,

    /// Bucket, over s3.bucket.name in the file. Where the file has none, S3_BUCKET is taken.
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,

    /// Endpoint of the store, over store.url in the file. Where the file has none, S3_ENDPOINT_URL is taken.
    #[arg(long, value_name = "URL")]
    pub store_url: Option<String>,

    /// Create the bucket when it does not exist.
    #[arg(long, env = "ARCHIVER_CREATE_BUCKET")]
    pub create_bucket: bool,

    /// Bytes of memory that objects in the making may take, over all partitions. When they are used up, the largest object
    /// is written early, with fewer records than flush.size
    #[arg(long, env = "ARCHIVER_MEMORY_BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..), value_name = "BYTES")]
    pub memory_bytes: u64,

    /// Within so many milliseconds after its timestamp a record should be in an object; only counted by, at /metrics
    /// [default: rotate.schedule.interval.ms and ten seconds]
    #[arg(long, env = "FRESHNESS_OBJECTIVE_MS", value_name = "MS")]
    pub freshness_objective_ms: Option<u64>,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(
        long,
        env = "METRICS_ADDR",
        default_value = "127.0.0.1:9404",
        value_name = "HOST:PORT"
    )]
    pub metrics_addr: String,

    #[command(subcommand)]
    pub action: Option<pipeline::Action>,
}

impl Options {
    /// Reads and checks the configuration file.
    pub fn connector(&self) -> anyhow::Result<Connector> {
        let file = self.config.display();
        let text = std::fs::read(&self.config)
            .with_context(|| format!("cannot read {file} (--config)"))?;
        Connector::parse(&text, variable).with_context(|| format!("in {file}"))
    }

    /// Within so long a record should be stored.
    pub fn objective(&self, connector: &Connector) -> Duration {
        let after_rotation = connector.rotate_interval.unwrap_or_default() + SLACK;
        let given = self.freshness_objective_ms.map(Duration::from_millis);
        given.unwrap_or(after_rotation)
    }

    pub fn location(&self, connector: &Connector) -> anyhow::Result<Location> {
        let bucket = self
            .bucket
            .clone()
            .or_else(|| connector.bucket.clone())
            .or_else(|| variable("S3_BUCKET"));
        Ok(Location {
            bucket: bucket
                .ok_or_else(|| anyhow!("no bucket: set s3.bucket.name, --bucket or S3_BUCKET"))?,
            region: connector.region.clone(),
            endpoint_url: self
                .store_url
                .clone()
                .or_else(|| connector.store_url.clone())
                .or_else(|| variable("S3_ENDPOINT_URL")),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
