//! Web logs and bakery orders from Kafka into PostgreSQL and OpenSearch, exactly once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Parser;
use etl::model::Topics;
use etl::opensearch::{self, OpenSearch};
use etl::postgres::{self, Postgres};
use pipeline::{BatchLimits, DeadLetters, KafkaOptions, Secret, Service, Settings, Sink};
use telemetry::traces::Tracer;

/// Reads web logs and bakery orders from Kafka and stores them in PostgreSQL and in OpenSearch, each record once, whatever
/// is killed. A sink is used when its address is given. Each is a consumer group of its own, so that an outage of one
/// store never delays the other; during an outage the sink waits and goes on where it was.
///
/// What cannot be read or stored goes to <topic>.dlq with Kafka Connect's error headers. What retention took before it
/// could be stored is written to ingest_gaps. A position beyond the end of a log, or a topic that was recreated, stops
/// that topic with an error that names the ways out; /readyz shows it.
///
/// Example:
///   etl --database-url postgres://user@localhost/millrace --opensearch-url http://localhost:9200
#[derive(Parser, Debug)]
#[command(name = "etl", version, verbatim_doc_comment)]
struct Command {
    /// The PostgreSQL database; the tables are created there.
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "postgres://...",
        hide_env_values = true
    )]
    database_url: Option<String>,

    /// A file with the password of the user in --database-url.
    #[arg(long, env = "DATABASE_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::from_file)]
    database_password_file: Option<Secret>,

    /// OpenSearch, by http or https; may carry a user name and a password.
    #[arg(
        long,
        env = "OPENSEARCH_URL",
        value_name = "http://...",
        hide_env_values = true
    )]
    opensearch_url: Option<String>,

    /// A file with the password of the user in --opensearch-url.
    #[arg(long, env = "OPENSEARCH_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::from_file)]
    opensearch_password_file: Option<Secret>,

    /// The certificates in PEM form that OpenSearch's certificate is checked against, besides the system's.
    #[arg(long, env = "OPENSEARCH_CA_FILE", value_name = "FILE")]
    opensearch_ca_file: Option<PathBuf>,

    /// The topic of the web logs.
    #[arg(long, env = "WEBLOG_TOPIC", default_value = "web-logs")]
    weblog_topic: String,

    /// The topic of the bakery's orders.
    #[arg(long, env = "BAKERY_TOPIC", default_value = "bk-orders")]
    bakery_topic: String,

    /// Prefix of the consumer groups: <prefix>-postgres and <prefix>-opensearch.
    #[arg(long, env = "GROUP_PREFIX", default_value = "millrace-etl")]
    group_prefix: String,

    /// A name of this process, of its own and the same at each start (Kafka's group.instance.id): then a process that was
    /// killed gets its partitions back at once when it is started again, instead of after ten seconds.
    #[arg(long, env = "INSTANCE_ID")]
    instance_id: Option<String>,

    /// Records of a batch at most.
    #[arg(long, env = "BATCH_RECORDS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_records: u32,

    /// Bytes of a batch at most.
    #[arg(long, env = "BATCH_BYTES", default_value_t = 4 << 20, value_parser = clap::value_parser!(u32).range(1_024..=1 << 28))]
    batch_bytes: u32,

    /// Milliseconds that a batch waits for more records.
    #[arg(long, env = "BATCH_WAIT_MS", default_value_t = 500)]
    batch_wait_ms: u64,

    /// Bytes of records in memory that are not in a batch yet, per sink.
    #[arg(long, env = "BUFFER_BYTES", default_value_t = 64 << 20)]
    buffer_bytes: u64,

    /// Connections to PostgreSQL at most.
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    database_connections: u32,

    /// Within so many milliseconds after its timestamp a record should be stored; only counted by, at /metrics.
    #[arg(
        long,
        env = "FRESHNESS_OBJECTIVE_MS",
        default_value_t = 10_000,
        value_name = "MS"
    )]
    freshness_objective_ms: u64,

    /// Address for /metrics, /healthz and /readyz; not served when absent.
    #[arg(long, env = "METRICS_ADDR", value_name = "HOST:PORT")]
    metrics_addr: Option<String>,

    #[command(flatten)]
    kafka: KafkaOptions,

    #[command(subcommand)]
    action: Option<pipeline::Action>,
}

impl Command {
    fn topics(&self) -> Topics {
        Topics {
            web_logs: self.weblog_topic.clone(),
            orders: self.bakery_topic.clone(),
        }
    }

    fn settings(&self, sink: &str, tracer: Tracer) -> Settings {
        Settings {
            limits: BatchLimits {
                max_records: self.batch_records as usize,
                max_bytes: self.batch_bytes as usize,
                max_wait: Duration::from_millis(self.batch_wait_ms),
            },
            instance_id: self.instance_id.clone(),
            objective: Duration::from_millis(self.freshness_objective_ms),
            buffer_bytes: usize::try_from(self.buffer_bytes).unwrap_or(usize::MAX),
            tracer,
            ..Settings::new(
                self.kafka.clone(),
                format!("{}-{sink}", self.group_prefix),
                self.topics().names(),
            )
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    if let Some(action) = command.action {
        action.run(command.metrics_addr.as_deref());
    }
    let service = Service::start("etl", command.metrics_addr.as_deref()).await?;
    let outcome = run_sinks(&command, &service).await;
    service.end().await;
    outcome
}

/// Runs the sinks side by side; when one fails for good, the other ends in order too.
async fn run_sinks(command: &Command, service: &Service) -> anyhow::Result<()> {
    if command.database_url.is_none() && command.opensearch_url.is_none() {
        bail!(
            "nowhere to store: give --database-url (DATABASE_URL), --opensearch-url (OPENSEARCH_URL), or both"
        );
    }
    let (first, second) = tokio::join!(
        ending_all(service, run_postgres(command, service)),
        ending_all(service, run_opensearch(command, service)),
    );
    first.and(second)
}

async fn ending_all(
    service: &Service,
    sink: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let outcome = sink.await;
    if outcome.is_err() {
        service.stop.cancel();
    }
    outcome
}

async fn run_postgres(command: &Command, service: &Service) -> anyhow::Result<()> {
    let Some(url) = &command.database_url else {
        return Ok(());
    };
    let letters = DeadLetters::new(postgres::NAME, &command.kafka, &service.registry)?;
    let connections = command.database_connections;
    let url = with_password(
        "--database-url",
        url,
        command.database_password_file.as_ref(),
    )?;
    let sink = Postgres::new(&url, connections, command.topics(), letters)?;
    run_sink(command, service, sink).await
}

async fn run_opensearch(command: &Command, service: &Service) -> anyhow::Result<()> {
    let Some(url) = &command.opensearch_url else {
        return Ok(());
    };
    let ca_file = command.opensearch_ca_file.as_deref();
    // A variable that is set to nothing is not set.
    let ca_file = ca_file.filter(|file| *file != Path::new(""));
    let letters = DeadLetters::new(opensearch::NAME, &command.kafka, &service.registry)?;
    let password = command.opensearch_password_file.as_ref();
    let url = with_password("--opensearch-url", url, password)?;
    let sink = OpenSearch::new(&url, ca_file, command.topics(), letters)?;
    run_sink(command, service, sink).await
}

fn with_password(flag: &str, url: &str, password: Option<&Secret>) -> anyhow::Result<String> {
    match password {
        Some(password) => password.in_url(url).map_err(|why| anyhow!("{flag}: {why}")),
        None => Ok(url.to_owned()),
    }
}

async fn run_sink<S: Sink>(command: &Command, service: &Service, sink: S) -> anyhow::Result<()> {
    let (ready, stop) = (service.readiness.clone(), service.stop.clone());
    pipeline::run(
        command.settings(sink.name(), service.traces.tracer()),
        sink,
        &service.registry,
        ready,
        stop,
    )
    .await
}
