//! Kafka topics to S3 with the layout of Kafka Connect's S3 sink, exactly once.

mod connector;
mod json_line;
mod naming;
mod object;
mod options;
mod ranges;
mod sink;
mod store;
mod writer;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use connector::Connector;
use options::Options;
use pipeline::families;
use pipeline::{Backoff, BatchLimits, CancellationToken, DeadLetters, Settings, TRACES_GRACE};
use sink::{Archive, LookUps, refuse_compacted};
use store::probe;
use store::s3::S3;
use telemetry::traces::{Identity, Traces};
use telemetry::{Readiness, Registry};
use writer::Shared;

/// Bytes of records at which an object is cut, as DESIGN has it: one object is one PUT.
const MAX_OBJECT_BYTES: usize = 64 << 20;
/// Stands for "never": `rotate.schedule.interval.ms` is off.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("archiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(action) = options.action {
        action.run(Some(&options.metrics_addr));
    }
    telemetry::init_logs("archiver")?;
    let connector = options.connector()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(options, connector))
}

async fn run(options: Options, connector: Connector) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signal = telemetry::shutdown_signal().context("cannot handle signals")?;
    let stop_on_signal = stop.clone();
    tokio::spawn(async move {
        let name = signal.await;
        tracing::info!(signal = name, "stopping");
        stop_on_signal.cancel();
    });
    let registry = Registry::from_env()?;
    let traces = Traces::start(&Identity {
        service: "archiver",
        instance: options.instance_id.clone(),
    })?;
    traces.counters().register(&registry);
    telemetry::describe_process(&registry, "archiver");
    let readiness = Readiness::waiting_for(["store"]);
    let http =
        telemetry::serve_http(&options.metrics_addr, registry.clone(), readiness.clone()).await?;
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(None),
        prepared = prepare(&options, &connector, &registry, &readiness) => prepared.map(Some),
    };
    let mut outcome = Ok(());
    if let Some((mut settings, archive)) = ended? {
        settings.tracer = traces.tracer();
        outcome = pipeline::run(settings, archive, &registry, readiness, stop).await;
    }
    http.stop().await;
    traces.stop(TRACES_GRACE).await;
    outcome
}

/// Connects, and refuses what cannot work before anything is read.
async fn prepare(
    options: &Options,
    connector: &Connector,
    registry: &Registry,
    readiness: &Readiness,
) -> anyhow::Result<(Settings, Archive<S3, DeadLetters>)> {
    let group_id = options
        .group_id
        .clone()
        .unwrap_or_else(|| format!("connect-{}", connector.name));
    let kafka = Arc::new(LookUps::new(&options.kafka, &group_id)?);
    for topic in &connector.topics {
        // A topic that does not exist yet, or a cluster that is away, is looked at again when a partition is opened.
        if let Ok(policy) = kafka.cleanup_policy(topic).await {
            refuse_compacted(topic, &policy)?;
        }
    }
    let objects = connect(options, connector, readiness).await?;
    let letters = DeadLetters::new("s3", &options.kafka, registry)?;
    let mut settings = Settings::new(options.kafka.clone(), group_id, connector.topics.clone());
    settings.instance_id = options.instance_id.clone();
    settings.limits = BatchLimits {
        max_records: connector.flush_size,
        max_bytes: MAX_OBJECT_BYTES,
        max_wait: connector.rotate_interval.unwrap_or(NEVER),
    };
    settings.objective = options.objective(connector);
    settings.batch_bytes = usize::try_from(options.memory_bytes).unwrap_or(usize::MAX);
    let archive = Archive {
        shared: Arc::new(Shared {
            objects,
            letters,
            compression: connector.compression,
            objects_written: registry.counters(&families::OBJECTS),
            object_bytes: registry.counters(&families::OBJECT_BYTES),
        }),
        topics_dir: connector.topics_dir.clone(),
        flush_size: connector.flush_size,
        kafka,
    };
    Ok((settings, archive))
}

async fn connect(
    options: &Options,
    connector: &Connector,
    readiness: &Readiness,
) -> anyhow::Result<Arc<S3>> {
    let location = options.location(connector)?;
    let endpoint = location
        .endpoint_url
        .clone()
        .unwrap_or_else(|| "AWS".into());
    tracing::info!(bucket = location.bucket, endpoint, topics = ?connector.topics, "archiving");
    let objects = Arc::new(S3::connect(connector, location).await);
    let waits = |unclear: &store::Unclear| {
        tracing::warn!(%unclear, "waiting for the store");
        readiness.not_ready("store", unclear.to_string());
    };
    let mut backoff = Backoff::default();
    while options.create_bucket
        && let Err(unclear) = objects.create_bucket().await
    {
        waits(&unclear);
        backoff.wait().await;
    }
    probe::run(&objects, &connector.topics_dir, waits).await?;
    readiness.ready("store");
    Ok(objects)
}
